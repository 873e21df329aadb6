#!/usr/bin/env bash
# image.sh SERVE TIME_TRAVELER: checks the parts of the images for CPUs, of the model server and of the whole pipeline, without a Docker
# daemon, a registry or an account: the final file systems, which are also run like images, the scripts, and the Dockerfiles. Needs
# curl, root to run the file systems, and shellcheck for the scripts.
set -euo pipefail

# Twice the present sizes. A larger image holds something unwanted.
declare -A LIMIT_MB=([serve]=60 [time-traveler]=160)
SECONDS_TO_START=120

fail() {
    echo "image.sh: FAILED: $*" >&2
    exit 1
}
passed() {
    echo "image.sh: $*"
}

(($# == 2)) || fail "two arguments would work: the binaries, such as target/release/serve and target/release/time-traveler"
serve=$(realpath "$1") up=$(realpath "$2")
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
chmod 755 "$work"
server=''
cleanup() {
    [[ -z $server ]] || kill -KILL "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

# check_files BINARY ROOTFS FURTHER_PATH...
check_files() {
    local name root=$2
    name=$(basename "$1")
    container/rootfs.sh "$1" "$root" || fail "rootfs.sh ended with $?"
    cd "$root"
    local doc=usr/share/doc kind path found
    local expected=(
        etc/group etc/passwd "$doc"/time-traveler/{LICENSE-APACHE,LICENSE-MIT,NOTICES.md} "usr/local/bin/$name"
        etc/ssl/certs/ca-certificates.crt opt/face-models/ opt/ml/model/ tmp/ "${@:3}"
    )
    # The paths of the loader and the libraries depend on the machine; which libraries are needed depends on the program alone.
    local library='/(ld-linux[a-z0-9_-]*\.so\.[12]|libc\.so\.6|libm\.so\.6|libgcc_s\.so\.1)$'
    found=$(find . -mindepth 1 ! -type d -printf '%y %P\n' , -type d -empty -printf 'd %P/\n' | sort)
    while read -r kind path; do
        [[ $kind == [fd] ]] || fail "$path is of the kind '$kind': only files and folders were expected"
        [[ $path =~ ^(usr/)?lib(64)?/([a-z0-9_]+-linux-gnu/)?[^/]+$ && /$path =~ $library ]] ||
            [[ $path == "$doc"/@(libc6|libgcc-s1)/copyright || " ${expected[*]} " == *" $path "* ]] ||
            fail "$path was not expected in the image"
    done <<<"$found"
    for path in "${expected[@]}"; do
        [[ $'\n'$found$'\n' == *" $path"$'\n'* ]] || fail "$path is missing, or is a folder and not empty"
    done
    [[ $found == */ld-linux* && $found == */libc.so.6* ]] || fail "there is no loader, or no libc: $found"
    [[ $(<etc/passwd) == model:x:10001:10001:* && $(<etc/group) == model:x:10001: ]] || fail "there is no user model, 10001"

    found=$(find . -perm /7022 ! -path ./tmp ! -path ./data -printf '%m %P\n')
    [[ -z $found ]] || fail "setuid, setgid, sticky, or writable by others: $found"
    found=$(stat -c %a tmp)
    [[ $found == 1777 ]] || fail "tmp has mode $found, not 1777"
    find . -type f -printf '%10s %P\n' | sort -k 2
    found=$(find . -type f -printf '%s\n' | awk '{ bytes += $1 } END { printf "%d", bytes / 1e6 + 1 }')
    ((found <= LIMIT_MB[$name])) || fail "the files take $found MB, and ${LIMIT_MB[$name]} are allowed"
    cd "$OLDPWD"
    passed "the file system of $name is as expected: at most $found MB (limit ${LIMIT_MB[$name]})"
}

# Like an image: its own read-only root, a user, no other environment.
check_server() {
    if [[ $EUID != 0 ]] || ! unshare --mount true 2>/dev/null; then
        passed "NOT CHECKED, since this user may not unshare and chroot: that the file system serves"
        return
    fi
    local user=$1 port url status waited=0
    # A port below the ephemeral ports, which other programs may take meanwhile.
    while port=$((10000 + RANDOM % 20000)) && (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    url=http://127.0.0.1:$port
    cat >"$work/enter" <<'ENTER'
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit
if touch "$1/tmp/written" 2>/dev/null; then echo "the file system can be written" && exit 1; fi
exec chroot --userspec="$2" "$1" /usr/local/bin/serve serve
ENTER
    env -i PATH="$PATH" BIND_HOST=127.0.0.1 SAGEMAKER_BIND_TO_PORT="$port" \
        unshare --mount --propagation private bash "$work/enter" "$work/rootfs" "$user" >"$work/log" 2>&1 &
    server=$!
    until status=$(curl -s -o "$work/ping" -w '%{http_code}' "$url/ping"); [[ $status == 200 ]]; do
        kill -0 "$server" 2>/dev/null || fail "the server ended: $(<"$work/log")"
        ((waited++ < SECONDS_TO_START * 5)) || fail "/ping says $status after $SECONDS_TO_START s: $(<"$work/log")"
        sleep 0.2
    done
    status=$(stat -c %u:%g "/proc/$server")
    [[ $status == "$user" ]] || fail "the server runs as $status"
    status=$(curl -s -o "$work/strip" -w '%{http_code} %{content_type}' -H 'Content-Type: image/png' \
        --data-binary @examples/astronaut.png "$url/invocations") || fail "an invocation has no answer: $(<"$work/log")"
    [[ $status == "200 application/x-npy"* ]] || fail "an invocation got $status: $(head -c 300 "$work/strip")"
    status=$(head -c 6 "$work/strip" | od -An -tx1)
    [[ $status == " 93 4e 55 4d 50 59" ]] || fail "the answer is no .npy: it begins with$status"
    kill -TERM "$server"
    status=0
    wait "$server" || status=$?
    server=''
    [[ $status == 0 ]] || fail "after SIGTERM the server ended with $status: $(<"$work/log")"
    passed "it serves, read-only and as $user: ping, a strip of $(stat -c %s "$work/strip") bytes, SIGTERM"
}

# The whole pipeline, like its image: a user, one folder to write to, no other environment. A portrait becomes pictures.
check_up() {
    if [[ $EUID != 0 ]] || ! unshare --mount true 2>/dev/null; then
        passed "NOT CHECKED, since this user may not unshare and chroot: that the file system runs the pipeline"
        return
    fi
    local root=$work/rootfs-up url path status waited=0
    cat >"$work/enter-up" <<'ENTER'
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && mount -t tmpfs -o mode=1777 none "$1/data" || exit
# As Docker does: the program looks its own file up there, and gives its children /dev/null.
mount -t proc none "$1/proc" && mount --bind /dev "$1/dev" || exit
exec chroot --userspec=10001:10001 "$1" /usr/local/bin/time-traveler up --data /data/here --port 0 --aws-port 0 --json
ENTER
    mkdir -p "$root/proc" "$root/dev"
    touch "$work/up.json"
    env -i PATH="$PATH" unshare --mount --propagation private bash "$work/enter-up" "$root" \
        >"$work/up.json" 2>"$work/log" &
    server=$!
    until url=$(sed -n 's/.*"api":"\([^"]*\)".*/\1/p' "$work/up.json") && [[ $url ]]; do
        kill -0 "$server" 2>/dev/null || fail "up ended: $(<"$work/log")"
        ((waited++ < SECONDS_TO_START * 5)) || fail "up is not ready after $SECONDS_TO_START s: $(<"$work/log")"
        sleep 0.2
    done
    status=$(stat -c %u:%g "/proc/$server")
    [[ $status == 10001:10001 ]] || fail "up runs as $status"
    curl -sf -o /dev/null -T examples/astronaut.png "$url/images/ada?ages=60" || fail "an upload is refused: $(<"$work/log")"
    status=$(curl -sf "$url/jobs/ada?wait=20") || fail "there is no job: $(<"$work/log")"
    [[ $status == *'"status":"SUCCESS"'* ]] || fail "the job is $status"
    for path in health ''; do curl -sf -o /dev/null "$url/$path" || fail "there is nothing at /$path"; done
    kill -TERM "$server"
    status=0
    wait "$server" || status=$?
    server=''
    [[ $status == 0 ]] || fail "after SIGTERM up ended with $status: $(<"$work/log")"
    passed "it runs the whole pipeline, read-only but for /data: an upload, a job, health, the page, SIGTERM"
}

# Executables in the place of aws and docker. They record their arguments, and answer as $CASE says.
make_stand_ins() {
    mkdir "$work/stand-ins"
    cat >"$work/stand-ins/aws" <<'AWS'
#!/usr/bin/env bash
echo "aws $*" >>"$CALLS"
case "$CASE $*" in
*get-caller-identity*) echo 210987654321 ;;
*get-login-password*) echo secret ;;
pushed*describe-images*) echo "sha256:$(printf '1%.0s' {1..64})" ;;
*describe-images*) echo "An error occurred (ImageNotFoundException)" >&2 && exit 254 ;;
missing*describe-repositories*) echo "An error occurred (RepositoryNotFoundException)" >&2 && exit 254 ;;
denied*describe-repositories*) echo "An error occurred (AccessDeniedException)" >&2 && exit 254 ;;
*) echo "something on stdout" ;;
esac
AWS
    cat >"$work/stand-ins/docker" <<'DOCKER'
#!/usr/bin/env bash
echo "docker $*" >>"$CALLS"
[[ $* != login* || $(cat) == secret ]] || exit 1
[[ "$CASE $*" != "broken buildx build"* ]] || exit 1
while (($#)); do
    [[ $1 != --metadata-file ]] || printf '{\n  "containerimage.digest": "sha256:%s"\n}' "$(printf '2%.0s' {1..64})" >"$2"
    shift
done
echo "something on stdout"
DOCKER
    chmod +x "$work"/stand-ins/*
}
# run CASE REGION OPTION...: runs the script with them; sets $out, $err and $code.
run() {
    local case=$1 region=$2
    shift 2
    : >"$work/calls"
    code=0
    out=$(CASE=$case CALLS=$work/calls PATH=$work/stand-ins:$PATH container/build_and_push.sh \
        --repository faces --tag v1 --region "$region" "$@" 2>"$work/err") || code=$?
    err=$(<"$work/err")
    return "$code"
}
called() {
    grep -Eq -- "$1" "$work/calls" || fail "nothing was called like '$1': $(<"$work/calls")"
}
never_called() {
    ! grep -Eq -- "$1" "$work/calls" || fail "something was called like '$1': $(<"$work/calls")"
}

check_scripts() {
    if command -v shellcheck >/dev/null; then
        shellcheck container/*.sh container/tests/image.sh || fail "shellcheck has found something"
        passed "shellcheck has found nothing"
    else
        passed "NOT CHECKED, since shellcheck is not installed: the scripts' style"
    fi
    make_stand_ins
    local registry=210987654321.dkr.ecr.eu-west-1.amazonaws.com options words tool
    for options in exists missing; do
        run "$options" eu-west-1 || fail "a repository that is $options: $err"
        [[ $out == "$registry/faces@sha256:$(printf '2%.0s' {1..64})" ]] || fail "stdout is '$out', not the URI by digest alone"
        called "^docker login --username AWS --password-stdin $registry$"
        called "^docker buildx build .*--platform linux/amd64 .*--tag $registry/faces:v1 --provenance=false --sbom=false"
        called 'push=true,oci-mediatypes=false \.$'
        [[ $options != exists ]] || never_called create
        [[ $options != missing ]] || called 'create-repository .*-name faces .*scanOnPush=true .*IMMUTABLE'
    done
    run pushed eu-west-1 || fail "an image that was pushed before: $err"
    [[ $out == "$registry/faces@sha256:$(printf '1%.0s' {1..64})" ]] || fail "stdout is '$out', not the URI of the image that is there"
    never_called '^docker buildx build'
    run missing cn-north-1 --gpu --platform linux/arm64 --face-models dlib || fail "in China: $err"
    [[ $out == 210987654321.dkr.ecr.cn-north-1.amazonaws.com.cn/faces@sha256:2* ]] || fail "in China the URI is '$out'"
    called '--file container/Dockerfile.gpu --platform linux/arm64 --build-arg FACE_MODELS=dlib .* --build-arg RUN_AS=0:0 '
    ! run denied eu-west-1 || fail "a repository that may not be looked up was taken for one"
    [[ -z $out && $err == *AccessDeniedException* ]] || fail "denied: '$out', $err"
    never_called 'create|login|buildx build|push'
    ! run broken eu-west-1 || fail "a build that fails was taken for one that does not"
    [[ -z $out ]] || fail "the build has failed, and yet there is a URI: '$out'"
    never_called '^docker push'
    ! run exists eu-west-1 --frobnicate || fail "an unknown option is taken"
    [[ $code == 2 && $err == *--frobnicate*--repository* ]] || fail "an unknown option ends with $code: $err"
    # Each state of changed files has its own tag, or the image of an earlier state would be taken.
    git init -q "$work/tree" && mkdir "$work/tree/container" && cp container/build_and_push.sh "$work/tree/container/"
    git -C "$work/tree" add . && git -C "$work/tree" -c user.name=a -c user.email=a@b.c commit -qm first
    local tags=()
    for options in "" one two; do
        [[ -z $options ]] || echo "$options" | tee -a "$work/tree/new" >>"$work/tree/container/build_and_push.sh"
        tags+=("$("$work/tree/container/build_and_push.sh" --dry-run 2>/dev/null || true)")
    done
    [[ ${tags[0]} =~ :[0-9a-f]+$ && ${tags[1]} =~ -dirty-[0-9a-f]{8}$ && ${tags[2]} =~ -dirty-[0-9a-f]{8}$ && ${tags[1]} != "${tags[2]}" ]] ||
        fail "the tags of three states are ${tags[*]}"
    passed "build_and_push.sh does what it should with stand-ins for aws and docker"

    # This path has the script's own needs, and neither aws nor docker.
    mkdir "$work/bare"
    for tool in bash cat dirname git mktemp rm sed; do ln -s "$(command -v "$tool")" "$work/bare/"; done
    for options in "" "--gpu" "--region cn-north-1 --face-models dlib"; do
        read -ra words <<<"$options"
        out=$(env -i PATH="$work/bare" AWS_ACCOUNT_ID=111122223333 bash container/build_and_push.sh \
            --dry-run --tag v1 "${words[@]}" 2>"$work/err") || fail "--dry-run $options: $(<"$work/err")"
        [[ $out =~ ^111122223333\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/time-traveler:v1$ ]] ||
            fail "--dry-run $options prints '$out', not one URI"
        grep -q '^docker buildx build ' "$work/err" || fail "--dry-run $options does not say what it would run"
    done
    passed "build_and_push.sh --dry-run prints one URI, and needs neither aws nor docker"
}

check_dockerfile() {
    local file=$1 word first rest stages=' scratch ' user='' toolchain
    local -A value=()
    while read -r word first rest; do
        case $word in
        ARG) [[ $first != *=* ]] || value[${first%%=*}]=${first#*=} ;;
        FROM)
            while [[ $first =~ \$\{([A-Z_]+)\} ]]; do
                [[ ${value[${BASH_REMATCH[1]}]:-} ]] || fail "$file: ${BASH_REMATCH[1]} has no default"
                first=${first/"${BASH_REMATCH[0]}"/"${value[${BASH_REMATCH[1]}]}"}
            done
            [[ $stages == *" $first "* || $first =~ :[0-9]+\.[0-9]+\.[0-9]+[a-z0-9.-]*(@sha256:[0-9a-f]{64})?$ ]] ||
                fail "$file: $first is not pinned to a version"
            stages+="${rest#AS } " user=''
            ;;
        USER) user=$first ;;
        COPY)
            if [[ $first == --from=* ]]; then
                [[ $stages == *" ${first#--from=} "* ]] || fail "$file: COPY $first: there is no such stage"
            else
                for word in $first ${rest% *}; do [[ -e $word ]] || fail "$file: COPY $word: there is no such thing"; done
            fi
            ;;
        esac
    done <"$file"
    # SageMaker's contract: "containers to run with root users".
    # shellcheck disable=SC2016
    [[ $user == '${RUN_AS}' && ${value[RUN_AS]:-} == 0:0 ]] ||
        fail "$file: the final stage's USER is '$user', by default '${value[RUN_AS]:-}': \${RUN_AS}, by default 0:0, would work"
    toolchain=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
    [[ ${value[RUST_IMAGE]} == "rust:$toolchain-"* ]] ||
        fail "$file: ${value[RUST_IMAGE]}, but rust-toolchain.toml says $toolchain"
    [[ $(grep '^ENTRYPOINT' "$file" | tail -1) == 'ENTRYPOINT ["/usr/local/bin/serve"]' ]] ||
        fail "$file: the entry point of the last stage is not serve"
}
# The stages of face models, without comments.
face_models() {
    sed -n '/^FROM scratch AS face-models-built-in$/,/^FROM face-models-/p' "$1" | grep -v '^#'
}
check_dockerfiles() {
    check_dockerfile container/Dockerfile
    # What the last instructions of the stage `up` say.
    [[ $(sed -n '/^FROM scratch AS up$/,/^$/p' container/Dockerfile | tail -5) == 'USER 10001:10001
VOLUME /data
ENTRYPOINT ["/usr/local/bin/time-traveler"]
CMD ["up", "--data", "/data"]' ]] || fail "container/Dockerfile: the stage up is not as it was checked here"
    # What the program takes in when it is built.
    local included
    for included in examples/astronaut.png infra/jobs-table.json infra/upload-rule.json; do
        grep -qx "!$included" .dockerignore || fail ".dockerignore leaves out $included, which time-traveler includes"
    done
    check_dockerfile container/Dockerfile.gpu
    [[ $(face_models container/Dockerfile) == "$(face_models container/Dockerfile.gpu)" ]] ||
        fail "the two Dockerfiles make face models differently"
    local folder
    for folder in $(sed -n 's/^members = \[\(.*\)\]$/\1/p' Cargo.toml | tr -d '",*'); do
        grep -qx "!${folder%/}" .dockerignore || fail ".dockerignore leaves out ${folder%/}, which the workspace has"
    done
    passed "the Dockerfiles name versions, a user, and only what is there"
}

check_files "$serve" "$work/rootfs"
check_files "$up" "$work/rootfs-up" data/
check_up
# As SageMaker runs it, and as anybody should elsewhere.
check_server 0:0
check_server 10001:10001
check_scripts
check_dockerfiles
