# What `deploy` and `destroy` ask of an AWS account, and how they report it. They set $region, $dry_run and $failures.
# shellcheck shell=bash disable=SC2034,SC2154

failures=0 account='' domain=amazonaws.com

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}
good() {
    echo "   ok      $*"
}
# Something that has to be repaired first.
bad() {
    echo "   FAILED  $*"
    failures=$((failures + 1))
}
# Something that may be so.
note() {
    echo "   note    $*"
}
would() {
    printf '   would run: '
    printf '%q ' "$@"
    echo
}
# Runs a command that changes something; prints it in a dry run.
run() {
    if [[ $dry_run ]]; then would "$@"; else "$@"; fi
}

check_tools() {
    local tool missing=()
    ((BASH_VERSINFO[0] >= 4)) || fail "bash $BASH_VERSION is too old: version 4 or later would work"
    for tool in "$@"; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    if ((${#missing[@]})); then
        bad "missing: ${missing[*]}. docs/deploy.md says where they come from"
    else
        good "tools: $*"
    fi
}

check_region() {
    [[ $region ]] || region=$(aws configure get region 2>/dev/null) || true
    [[ $region ]] || fail "no region is known: --region eu-central-1 would work, or AWS_REGION"
    [[ $region =~ ^[a-z]+(-[a-z]+)+-[0-9]+$ ]] || fail "--region $region: one such as eu-central-1 would work"
    [[ $region != cn-* ]] || domain=amazonaws.com.cn
    # Programs of this run that read the environment get the same.
    export AWS_REGION=$region AWS_DEFAULT_REGION=$region
    good "region: $region, for the stacks, the image and the weights"
}

check_credentials() {
    account=$(aws sts get-caller-identity --query Account --output text --region "$region" 2>/dev/null) || account=''
    [[ $account =~ ^[0-9]{12}$ ]] || fail "AWS does not know who asks: aws configure, or aws sso login, would work"
    good "account: $account"
}

# check_instances TYPE COUNT: the quota of instances for endpoints.
check_instances() {
    local quota
    # The query is asked of each page of the list, so the answer has a line for each.
    quota=$(aws service-quotas list-service-quotas --region "$region" --service-code sagemaker \
        --query "Quotas[?QuotaName=='$1 for endpoint usage'].Value | [0]" --output text 2>/dev/null | grep '^[0-9]') || quota=''
    quota=${quota%%.*}
    if [[ ! $quota =~ ^[0-9]+$ ]]; then
        note "the quota of $1 for endpoint usage cannot be read: it has to be $2 or more"
    elif ((quota < 1)); then
        bad "the quota of $1 for endpoint usage is 0: ask for $2 under Service Quotas, SageMaker"
    elif ((quota < $2)); then
        note "the quota of $1 for endpoint usage is $quota. An update needs $2, since it starts new instances beside the old: ask for" \
            "more, or update while no instance is up"
    else
        good "quota of $1 for endpoint usage: $quota"
    fi
}

# check_functions RATE: the functions that may run at once, for requests that are held for 25 seconds.
check_functions() {
    local limit needed=$(($1 * 25))
    limit=$(aws lambda get-account-settings --region "$region" --query AccountLimit.ConcurrentExecutions --output text 2>/dev/null) ||
        limit=''
    if [[ ! $limit =~ ^[0-9]+$ ]]; then
        note "the account's limit of functions at once cannot be read"
    elif ((limit < needed)); then
        note "the account runs $limit functions at once, and HttpApiRate=$1 may hold $needed: ask for more under Service Quotas," \
            "Lambda, or deploy with a lower HttpApiRate"
    else
        good "functions at once: $limit, of which held requests may take $needed"
    fi
}

# check_system_image TYPE AMI
check_system_image() {
    if [[ $1 =~ ^ml\.[gp][0-9] && ! $2 ]]; then
        bad "$1 has a GPU, and InferenceAmiVersion is empty: its driver would be too old"
    elif [[ ! $1 =~ ^ml\.[gp][0-9] && $2 ]]; then
        bad "$1 has no GPU of NVIDIA, and InferenceAmiVersion is $2: nothing would work"
    else
        good "instance: $1, system image ${2:-of SageMaker}"
    fi
    [[ ! $1 =~ ^ml\.g4dn\. ]] || note "a T4 has no TF32: the network takes the slow path there"
}

# check_stack NAME: it is not there, or can be updated.
check_stack() {
    local status
    status=$(aws cloudformation describe-stacks --region "$region" --stack-name "$1" --query 'Stacks[0].StackStatus' \
        --output text 2>/dev/null) || status=''
    case $status in
    '' | None) good "stack $1: new" ;;
    ROLLBACK_COMPLETE | DELETE_FAILED) bad "stack $1: $status. infra/destroy would work first" ;;
    *_IN_PROGRESS) bad "stack $1: $status. Wait until it has ended" ;;
    *) good "stack $1: $status, is updated" ;;
    esac
}

# API Gateway writes access logs of REST APIs with a role of the account's settings.
access_logs() {
    local role
    role=$(aws apigateway get-account --region "$region" --query cloudwatchRoleArn --output text 2>/dev/null) || role=''
    if [[ $role == arn:* ]]; then
        echo on
    else
        note "the account's settings of API Gateway name no role for logs: the REST API gets no access logs" >&2
        echo off
    fi
}

# check_image URI: its region, and its manifest, of which SageMaker takes one media type.
check_image() {
    local repository tag id type
    if [[ $1 != *.dkr.ecr."$region".* ]]; then
        bad "the image is in another region than $region: $1"
        return
    fi
    [[ ! $dry_run || $1 != *@sha256:0000000000000000* ]] || return 0
    repository=${1#*/} tag=''
    case $repository in
    *@*) id=imageDigest=${repository#*@} repository=${repository%@*} ;;
    *) id=imageTag=${repository##*:} repository=${repository%:*} tag=1 ;;
    esac
    type=$(aws ecr describe-images --region "$region" --registry-id "${1%%.*}" --repository-name "$repository" --image-ids "$id" \
        --query 'imageDetails[0].imageManifestMediaType' --output text 2>/dev/null) || type=''
    if [[ $type == application/vnd.docker.distribution.manifest.v2+json ]]; then
        good "image: $1"
    else
        bad "the image $1 has a manifest of the type '$type': SageMaker takes application/vnd.docker.distribution.manifest.v2+json"
    fi
    [[ ! $tag ]] || note "a tag can be moved to another image: the URI with @sha256: cannot"
}

# check_weights URL: SageMaker reads weights of its own region only.
check_weights() {
    local bucket=${1#s3://} place
    bucket=${bucket%%/*}
    place=$(aws s3api get-bucket-location --bucket "$bucket" --query LocationConstraint --output text 2>/dev/null) || place=''
    # The oldest region has no name.
    [[ $place != None && $place != null ]] || place=us-east-1
    if [[ $place == "$region" ]]; then
        good "weights: $1"
    elif [[ ! $place && $dry_run ]]; then
        good "weights: $1, in a bucket that would be made"
    else
        bad "the weights $1 are in '${place:-a bucket that is not there}', and the stack is in $region"
    fi
}

# output STACK NAME
output() {
    local value
    value=$(aws cloudformation describe-stacks --region "$region" --stack-name "$1" --output text \
        --query "Stacks[0].Outputs[?OutputKey=='$2'].OutputValue" 2>/dev/null) || value=''
    if [[ ! $value || $value == None ]]; then
        [[ $dry_run ]] || fail "the stack $1 has no output $2"
        value="<$2>"
    fi
    printf '%s' "$value"
}

# parameter STACK NAME
parameter() {
    aws cloudformation describe-stacks --region "$region" --stack-name "$1" --output text \
        --query "Stacks[0].Parameters[?ParameterKey=='$2'].ParameterValue" 2>/dev/null || true
}

# costs TYPE
costs() {
    local hour
    case $1 in
    ml.g5.xlarge) hour=1.41 ;;
    ml.g6.xlarge) hour=1.13 ;;
    ml.g4dn.xlarge) hour=0.74 ;;
    ml.c5.2xlarge) hour=0.41 ;;
    *) hour='?' ;;
    esac
    cat <<COSTS
Costs, in US dollars of us-east-1 (prices of November 2026, from memory: check them):
  with nothing to do   about 3 a month, most of it for alarms
  in use               $hour an hour of $1, until some 25 minutes after the last portrait
COSTS
}
