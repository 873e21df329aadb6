#!/bin/sh
# aws-cli: a folder up and down, large files in parts, copies, moves, presigned URLs and keys of the client. Prints what went wrong.
set -eu
export AWS_PAGER=

fail() {
    echo "aws_cli.sh: $*" >&2
    exit 1
}

mkdir -p up/deep
printf 'hello' > 'up/a name with spaces.txt'
printf '{}' > 'up/deep/größe 日本+&.json'
head -c 20000000 /dev/urandom > up/deep/large.bin

aws s3 mb s3://files
aws s3 sync --only-show-errors up s3://files/up --metadata owner=ada
[ -z "$(aws s3 sync up s3://files/up)" ] || fail "a second sync sends files again"
aws s3 sync --only-show-errors s3://files/up down
diff -r up down
aws s3 ls s3://files/up/ --recursive | grep -q 'up/deep/größe 日本+&.json' || fail "a key is not listed"
aws s3api head-object --bucket files --key 'up/deep/größe 日本+&.json' --output text --query '[ContentType, Metadata.owner]' |
    grep -q 'application/json.*ada' || fail "type or metadata are lost"

# A copy keeps type and metadata. One in parts, as that of 20 MB, has the bytes.
aws s3 cp --only-show-errors 's3://files/up/deep/größe 日本+&.json' s3://files/copy
aws s3api head-object --bucket files --key copy --output text --query '[ContentType, Metadata.owner]' |
    grep -q 'application/json.*ada' || fail "a copy loses type or metadata"
aws s3 cp --only-show-errors s3://files/up/deep/large.bin s3://files/copy.bin
aws s3 mv --only-show-errors s3://files/copy.bin s3://files/moved.bin
aws s3 cp --only-show-errors s3://files/moved.bin - | cmp - up/deep/large.bin
if aws s3api head-object --bucket files --key copy.bin 2>/dev/null; then fail "a moved object is still there"; fi

url=$(aws s3 presign 's3://files/up/a name with spaces.txt' --expires-in 60)
[ "$(curl --silent --fail "$url")" = hello ] || fail "a presigned URL does not work"

# A key of the client, also for an object in parts.
head -c 32 /dev/urandom > key
head -c 32 /dev/urandom > other
aws s3 cp --only-show-errors up/deep/large.bin s3://files/sealed --sse-c AES256 --sse-c-key fileb://key
aws s3 cp --only-show-errors s3://files/sealed opened --sse-c AES256 --sse-c-key fileb://key
cmp opened up/deep/large.bin
if aws s3 cp s3://files/sealed stolen --sse-c AES256 --sse-c-key fileb://other 2>/dev/null; then fail "another key opens it"; fi
if aws s3 cp s3://files/sealed stolen 2>/dev/null; then fail "no key opens it"; fi

aws s3 rm --only-show-errors s3://files --recursive
aws s3 rb s3://files
