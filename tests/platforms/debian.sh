#!/usr/bin/env bash
# debian.sh ROOT ARCH SUITE PACKAGES: unpack a small Debian with some packages (and what they need)
# into a new directory. Nothing of it is run, so the architecture may be any.
set -euo pipefail
root=$1 arch=$2 suite=$3 packages=$4
mkdir -p "$(dirname "$root")"
debootstrap --arch="$arch" --foreign --variant=minbase --include="$packages" \
    --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
    "$suite" "$root" >"$root.log" 2>&1 || { tail -n 3 "$root.log" >&2; exit 1; }
for package in "$root"/var/cache/apt/archives/*.deb; do
    dpkg-deb -x "$package" "$root"
    rm "$package"
done
# What the packages' own scripts would have linked.
for library in "$root"/usr/lib/*/{blas/libblas,lapack/liblapack}.so.3; do
    [ ! -e "$library" ] || ln -sf "${library#"$root"}" "${library%/*/*}/${library##*/}"
done
mkdir -p "$root"/{tmp,proc,dev}
