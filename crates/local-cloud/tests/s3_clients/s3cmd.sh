#!/bin/sh
# s3cmd: a folder up and down, parts, copies, moves, information and deletion. Prints what went wrong.
set -eu

fail() {
    echo "s3cmd.sh: $*" >&2
    exit 1
}

host=${AWS_ENDPOINT_URL#http://}
cat > config <<CONFIG
[default]
access_key = $AWS_ACCESS_KEY_ID
secret_key = $AWS_SECRET_ACCESS_KEY
host_base = $host
host_bucket = $host
use_https = False
CONFIG
s3() { s3cmd --config config --no-progress --quiet "$@"; }

mkdir -p up/deep
printf 'hello' > 'up/a name with spaces.txt'
printf 'x' > 'up/deep/größe 日本+&.txt'
head -c 12000000 /dev/urandom > up/deep/large.bin

s3 mb s3://files
s3 sync --multipart-chunk-size-mb=5 --add-header=x-amz-meta-owner:ada up/ s3://files/up/
mkdir down
s3 sync s3://files/up/ down/
diff -r up down
s3 cp s3://files/up/deep/large.bin s3://files/copy.bin
s3 mv s3://files/copy.bin s3://files/moved.bin
s3cmd --config config ls s3://files/ | grep -q moved.bin || fail "a moved object is not listed"
s3cmd --config config info 's3://files/up/a name with spaces.txt' | grep -q 'owner: *ada' || fail "metadata are lost"
s3 get s3://files/moved.bin moved.bin
cmp moved.bin up/deep/large.bin
s3 del --recursive --force s3://files/
s3 rb s3://files
