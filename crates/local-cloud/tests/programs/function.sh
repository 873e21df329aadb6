#!/bin/sh
# A Lambda function on a custom runtime, in the shell. Its event chooses its behaviour.
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
headers=$(mktemp)
while :; do
    event=$(curl --silent --dump-header "$headers" "$api/next") || exit 1
    id=$(grep -i '^lambda-runtime-aws-request-id:' "$headers" | tr -d '\r' | cut -d ' ' -f 2)
    printf '%s %s\n' "$id" "$event" >>"$EVENTS"
    case $event in
    *sleep*) sleep 600 ;;
    *exit*) exit 7 ;;
    *fail*) curl --silent -d '{"errorType":"Asked","errorMessage":"as asked"}' "$api/$id/error" >/dev/null ;;
    *) curl --silent -d "{\"pid\":$$,\"event\":$event}" "$api/$id/response" >/dev/null ;;
    esac
done
