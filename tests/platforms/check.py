"""Runs on the platform that is tried: unit and api tests and an example pair, on both transports.

On Windows the tests of the tools as well.

More arguments are pytest's.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parent.parent.parent
PYTEST = [
    *("-m", "pytest", "-q", "-p", "no:cacheprovider"),
    *("-o", "timeout=600"),  # emulated, each start of a child takes seconds
    # Minutes; a limit that qemu ignores.
    *("-k", "not killed_readers_give and not failed_attach"),
]
# What differs between platforms (words, byte order, files, locks, waiting), without what starts so
# many processes that it takes hours where each start takes seconds.
FOLDERS = ["unit", "api", *(["tools"] if sys.platform == "win32" else [])]


def run(what: str, *command: str, quiet: bool = False) -> bool:
    """Run Python; say how it ended and how long it took. Quiet: its output only if it failed."""
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, *command],
        cwd=PROJECT,
        check=False,
        stdout=subprocess.PIPE if quiet else None,
        text=True,
    )
    if quiet and ended.returncode:
        print(ended.stdout)
    print(f"{what}: exit code {ended.returncode}, {time.monotonic() - began:.0f} s", flush=True)
    return ended.returncode == 0


def main(options: list[str]) -> int:
    bits = 8 * np.dtype(np.intp).itemsize
    print(
        f"Python {platform.python_version()}, numpy {np.__version__}, {sys.platform}, "
        f"{platform.machine()}, {bits} bits, {sys.byteorder}-endian",
        flush=True,
    )
    pair = str(PROJECT / "examples" / "changing_shapes")
    results = [
        run("example pair, mmap", pair, "--transport=mmap", quiet=True),
        run("example pair, posix_shm", pair, "--transport=posix_shm", quiet=True),
        run("tests", *PYTEST, *options, *(str(PROJECT / "tests" / name) for name in FOLDERS)),
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
