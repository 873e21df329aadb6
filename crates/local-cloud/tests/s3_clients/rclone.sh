#!/bin/sh
# rclone: a folder up and down, parts, copies within S3, moves, metadata, links and deletion. Prints what went wrong.
set -eu

fail() {
    echo "rclone.sh: $*" >&2
    exit 1
}

export RCLONE_CONFIG=/dev/null
export RCLONE_CONFIG_LOCAL_TYPE=s3 RCLONE_CONFIG_LOCAL_PROVIDER=Other RCLONE_CONFIG_LOCAL_ENV_AUTH=true
export RCLONE_CONFIG_LOCAL_REGION=us-east-1 RCLONE_CONFIG_LOCAL_ENDPOINT="$AWS_ENDPOINT_URL" RCLONE_CONFIG_LOCAL_FORCE_PATH_STYLE=true

mkdir -p up/deep
printf 'hello' > 'up/a name with spaces.txt'
printf '{}' > 'up/deep/größe 日本+&.json'
head -c 12000000 /dev/urandom > up/deep/large.bin

rclone mkdir local:files
rclone sync up local:files/up --s3-upload-cutoff 5M --s3-chunk-size 5M
# It compares MD5s, which rclone keeps as metadata for objects in parts.
rclone check up local:files/up --one-way --checksum
rclone sync local:files/up down
diff -r up down
[ "$(rclone lsf local:files/up/deep | sort | head -n 1)" = 'größe 日本+&.json' ] || fail "a key is not listed"

rclone copyto local:files/up/deep/large.bin local:files/copy.bin --s3-copy-cutoff 5M
rclone moveto local:files/copy.bin local:files/moved.bin
rclone cat local:files/moved.bin | cmp - up/deep/large.bin
rclone cat local:files/moved.bin --offset 6000000 --count 5 | cmp - "$(tail -c +6000001 up/deep/large.bin | head -c 5 > part; echo part)"
[ "$(curl --silent --fail "$(rclone link --expire 1m 'local:files/up/a name with spaces.txt')")" = hello ] || fail "a link does not work"
printf 'from a pipe' | rclone rcat local:files/piped
[ "$(rclone cat local:files/piped)" = 'from a pipe' ] || fail "rcat"
rclone cleanup local:files
rclone delete local:files/up
rclone purge local:files
