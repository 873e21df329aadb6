#!/usr/bin/env bash
# rootfs.sh BINARY DEST: creates DEST, the file system of an image of the model server.
set -euo pipefail
umask 022

fail() {
    echo "rootfs.sh: $*" >&2
    exit 1
}

(($# == 2)) || fail "two arguments would work: the server's binary, and a folder to create"
binary=$1 dest=$2
sources=$(cd "$(dirname "$0")/.." && pwd)
[[ -f $binary ]] || fail "$binary is no file: cargo build --release -p container --bin serve makes one"
[[ ! -e $dest || -z $(ls -A "$dest") ]] || fail "$dest is not empty"

serve=$dest/usr/local/bin/serve
install -D --mode=755 "$binary" "$serve"
strip "$serve"

# Libraries keep their paths, since the loader of this distribution looks for them there.
take() {
    install -D --mode=755 "$1" "$dest$1"
}
libraries=$(ldd "$serve") || fail "ldd cannot read $binary: one for this machine's Linux would work"
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
install -d --mode=1777 "$dest/tmp"
