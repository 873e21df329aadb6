#!/usr/bin/env bash
# rootfs.sh BINARY DEST: creates DEST, the file system of an image: of the model server, for `serve`, or of the whole pipeline, for
# `time-traveler`.
set -euo pipefail
umask 022

fail() {
    echo "rootfs.sh: $*" >&2
    exit 1
}

(($# == 2)) || fail "two arguments would work: the binary, and a folder to create"
binary=$1 dest=$2
sources=$(cd "$(dirname "$0")/.." && pwd)
kind=$(basename "$binary")
[[ $kind == @(serve|time-traveler) ]] || fail "$binary has another name: serve or time-traveler would work"
[[ -f $binary ]] || fail "$binary is no file: cargo build --release --bin $kind makes one"
[[ ! -e $dest || -z $(ls -A "$dest") ]] || fail "$dest is not empty"

program=$dest/usr/local/bin/$kind
install -D --mode=755 "$binary" "$program"
strip "$program"

# Libraries keep their paths, since the loader of this distribution looks for them there.
take() {
    install -D --mode=755 "$1" "$dest$1"
}
libraries=$(ldd "$program") || fail "ldd cannot read $binary: one for this machine's Linux would work"
while read -r name arrow path _; do
    case $name in
    linux-vdso.so.* | statically) ;; # the kernel's; a static binary has none
    /*) take "$name" ;;              # the loader
    *)
        [[ $arrow == "=>" && $path == /* ]] || fail "$name, which $binary needs, is not on this machine"
        take "$path"
        ;;
    esac
done <<<"$libraries"

# The names of user and group 10001, which some container tools need. No login is possible.
install -d "$dest/etc"
echo 'model:x:10001:10001:model server:/tmp:/sbin/nologin' >"$dest/etc/passwd"
echo 'model:x:10001:' >"$dest/etc/group"

doc=$dest/usr/share/doc
install -D --mode=644 --target-directory="$doc/time-traveler" "$sources"/LICENSE-* "$sources/NOTICES.md"
# The libraries' licences.
for package in libc6 libgcc-s1; do
    terms=/usr/share/doc/$package/copyright
    [[ ! -f $terms ]] || install -D --mode=644 "$terms" "$doc/$package/copyright"
done

# The mount point of the model, the folder of face models, and /tmp, which SageMaker's contract expects.
install -d "$dest/opt/ml/model" "$dest/opt/face-models"
# The data of the pipeline, for whichever user the image runs as.
[[ $kind == serve ]] || install -d --mode=1777 "$dest/data"
# The certificates that clients of AWS read when they start, even for a cloud on this machine. `serve` is a client of S3.
certificates=/etc/ssl/certs/ca-certificates.crt
[[ -f $certificates ]] || fail "$certificates is not on this machine: the package ca-certificates has it"
install -D --mode=644 "$certificates" "$dest$certificates"
install -d --mode=1777 "$dest/tmp"
