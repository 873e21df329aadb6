#!/usr/bin/env bash
# Builds an image of the model server and pushes it to Amazon ECR. `--help` says how.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'USAGE'
build_and_push.sh builds an image of the model server, pushes it to Amazon ECR, and prints its URI on stdout, by digest. An image that
was pushed under the tag before is not built again, since a tag stays with its image.

  --gpu                            for NVIDIA GPUs (container/Dockerfile.gpu)
  --face-models built-in|dlib      dlib's face models in the image, or only those of the binary (default: built-in)
  --repository NAME                the ECR repository, which is created if it is missing (default: time-traveler)
  --tag TAG                        default: `git describe` of this commit, then a hash of changes, -gpu and -dlib, if the image is so
  --region REGION                  default: AWS_REGION, AWS_DEFAULT_REGION, or `aws configure get region`
  --platform linux/amd64|linux/arm64   default: linux/amd64
  --run-as USER:GROUP              the user that the image runs as (default: 0:0, which SageMaker expects)
  --dry-run                        runs nothing: prints the commands on stderr, and the URI with the tag. The account is
                                   AWS_ACCOUNT_ID or 123456789012; the region is us-east-1 if no variable or option names one
  --help
USAGE
}
refuse() {
    echo "build_and_push.sh: $*" >&2
    usage >&2
    exit 2
}
fail() {
    echo "build_and_push.sh: $*" >&2
    exit 1
}

gpu='' face_models=built-in repository=time-traveler tag='' platform=linux/amd64 run_as=0:0 dry_run=''
region=${AWS_REGION:-${AWS_DEFAULT_REGION:-}}
while (($#)); do
    case $1 in
    --gpu) gpu=1 ;;
    --dry-run) dry_run=1 ;;
    --help) usage && exit ;;
    --face-models | --repository | --tag | --region | --platform | --run-as)
        [[ -n ${2:-} ]] || refuse "$1 needs a value"
        case $1 in
        --face-models) face_models=$2 ;;
        --repository) repository=$2 ;;
        --tag) tag=$2 ;;
        --region) region=$2 ;;
        --platform) platform=$2 ;;
        --run-as) run_as=$2 ;;
        esac
        shift
        ;;
    *) refuse "there is no option $1" ;;
    esac
    shift
done

# Runs a command; prints it in a dry run. stdout is for the URI alone.
run() {
    if [[ $dry_run ]]; then
        printf '%q ' "$@" >&2
        echo >&2
    else
        "$@" >&2
    fi
}
needs() {
    [[ $dry_run ]] || command -v "$1" >/dev/null || fail "$1 is not installed: $2 would work"
}

[[ $face_models =~ ^(built-in|dlib)$ ]] || refuse "--face-models $face_models: built-in or dlib would work"
[[ $platform =~ ^linux/(amd64|arm64)$ ]] || refuse "--platform $platform: linux/amd64 or linux/arm64 would work"
[[ $run_as =~ ^[0-9]+:[0-9]+$ ]] || refuse "--run-as $run_as: 0:0 or 10001:10001 would work"
[[ $repository =~ ^[a-z0-9]+([._/-][a-z0-9]+)*$ ]] ||
    refuse "--repository $repository: lower-case letters, digits, and . _ - / between them would work"
if [[ -z $tag ]]; then
    tag=$(git describe --tags --always --dirty 2>/dev/null) || fail "git does not know this commit: --tag TAG would work"
    # A tag stays with its image, so each state of changed files has a tag of its own.
    [[ $tag != *-dirty ]] || tag=$tag-$({ git diff HEAD && git ls-files --others --exclude-standard -z |
        while IFS= read -r -d '' file; do git hash-object "$file"; done; } | git hash-object --stdin | cut -c 1-8)
    tag=$tag${gpu:+-gpu}
    [[ $face_models == built-in ]] || tag=$tag-$face_models
fi
[[ $tag =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]] ||
    refuse "--tag $tag: up to 128 letters, digits, . _ and - would work"

needs aws "AWS CLI 2"
needs docker "Docker 23 or later"
[[ $dry_run ]] || docker buildx version >/dev/null 2>&1 || fail "docker has no buildx: its plugin docker-buildx would work"

if [[ -z $region ]]; then
    if [[ $dry_run ]]; then region=us-east-1; else region=$(aws configure get region) || true; fi
fi
[[ $region ]] || fail "no region is known: --region REGION would work, or AWS_REGION"
[[ $region =~ ^[a-z]+(-[a-z]+)+-[0-9]+$ ]] || refuse "--region $region: one such as eu-central-1 would work"

identity=(aws sts get-caller-identity --query Account --output text --region "$region")
if [[ $dry_run ]]; then
    run "${identity[@]}"
    account=${AWS_ACCOUNT_ID:-123456789012}
else
    account=$("${identity[@]}") || fail "AWS does not know who asks: aws configure, or aws sso login, would work"
fi
[[ $account =~ ^[0-9]{12}$ ]] || fail "$account is no AWS account: 12 digits would be one"

domain=amazonaws.com
[[ $region != cn-* ]] || domain=amazonaws.com.cn
registry=$account.dkr.ecr.$region.$domain
uri=$registry/$repository:$tag

describe=(aws ecr describe-repositories --region "$region" --repository-names "$repository")
create=(aws ecr create-repository --region "$region" --repository-name "$repository"
    --image-scanning-configuration "scanOnPush=true" --image-tag-mutability IMMUTABLE)
if [[ $dry_run ]]; then
    run "${describe[@]}"
    echo "# if that says RepositoryNotFoundException:" >&2
    run "${create[@]}"
elif ! why=$("${describe[@]}" 2>&1 >/dev/null); then
    # After any other failure (no permission, no network), the repository may exist.
    [[ $why == *RepositoryNotFoundException* ]] || fail "the repository $repository cannot be looked up: $why"
    run "${create[@]}" ||
        fail "the repository $repository is missing and cannot be created: the permission ecr:CreateRepository would work"
fi

password=(aws ecr get-login-password --region "$region")
login=(docker login --username AWS --password-stdin "$registry")
if [[ $dry_run ]]; then
    printf '%q ' "${password[@]}" '|' "${login[@]}" | sed 's/ \\| / | /' >&2
    echo >&2
else
    "${password[@]}" | "${login[@]}" >&2 ||
        fail "docker cannot log in to $registry: the permission ecr:GetAuthorizationToken would work"
fi

# The digest of the image that has this tag; nothing if there is none.
pushed=(aws ecr describe-images --region "$region" --repository-name "$repository" --image-ids "imageTag=$tag"
    --query 'imageDetails[0].imageDigest' --output text)
if [[ $dry_run ]]; then
    run "${pushed[@]}"
    echo "# if that says ImageNotFoundException:" >&2
elif digest=$("${pushed[@]}" 2>/dev/null) && [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]]; then
    echo "build_and_push.sh: $tag was pushed before, and is not built again" >&2
    echo "$registry/$repository@$digest"
    exit
fi

# SageMaker takes a single manifest of Docker's media type. Attestations would make an index, and OCI media types are refused.
metadata=$(mktemp)
trap 'rm -f "$metadata"' EXIT
run docker buildx build --file "container/Dockerfile${gpu:+.gpu}" --platform "$platform" \
    --build-arg "FACE_MODELS=$face_models" --build-arg "VERSION=$tag" --build-arg "RUN_AS=$run_as" --tag "$uri" \
    --provenance=false --sbom=false --metadata-file "$metadata" --output type=image,push=true,oci-mediatypes=false . ||
    fail "the image was not built, or not pushed: docker says above why"
if [[ $dry_run ]]; then
    echo "$uri"
else
    digest=$(sed -n 's/.*"containerimage.digest": *"\(sha256:[0-9a-f]\{64\}\)".*/\1/p' "$metadata" | head -1)
    [[ $digest ]] || fail "docker does not say the digest of $uri: Docker 23 or later, with buildx, would work"
    echo "$registry/$repository@$digest"
fi
