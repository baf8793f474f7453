#!/usr/bin/env bash
# emulated.sh [TARGET...] [-- PYTEST'S OPTIONS]: the unit and api tests and an example pair on other
# processors (all four by default), each in a small Debian of its own, which is made once. A TARGET is
# an architecture of Debian's, or one and a suite: s390x, amd64-sid. NDSHARRAY_PLATFORMS says where.
#
# Needs root, Linux 6.7, and on Debian or Ubuntu:
# apt-get install debootstrap debian-archive-keyring qemu-user-static
#
# Emulation shows word sizes, byte order and numbers of system calls. It cannot show weak ordering,
# as qemu orders memory as the machine beneath does: the models do that (tests/model).
set -euo pipefail
cd "$(dirname "$0")"
cache=${NDSHARRAY_PLATFORMS:-${XDG_CACHE_HOME:-$HOME/.cache}/ndsharray-platforms}
targets=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    targets+=("$1")
    shift
done
[ $# -eq 0 ] || shift
[ ${#targets[@]} -gt 0 ] || targets=(arm64 armhf i386 s390x)

make() { # TARGET
    local root=$cache/$1 suite=bookworm
    [[ $1 != *-* ]] || suite=${1#*-}
    rm -rf "$root"
    ./debian.sh "$root" "${1%%-*}" "$suite" python3,python3-numpy,python3-typing-extensions
    # Wheels without compiled code, whatever this machine is.
    python3 -m pip install --quiet --no-compile --target "$root/opt/tests" \
        --only-binary=:all: --implementation py --abi none --platform any --python-version 3.11 \
        pytest pytest-timeout hypothesis
    touch "$root/.made"
}

failed=()
for target in "${targets[@]}"; do
    echo "== $target"
    [ -e "$cache/$target/.made" ] || make "$target"
    ./project.sh "$cache/$target"
    ./enter.sh "$cache/$target" env PYTHONPATH=/project:/opt/tests \
        python3 /project/tests/platforms/check.py "$@" || failed+=("$target")
done
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
