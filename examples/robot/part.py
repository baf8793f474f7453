"""What all parts of the robot have in common: their options, and how they end."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable


def options(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--name", default="robot", help="of the arrays (default: %(default)s)")
    parser.add_argument("--transport", choices=["mmap", "posix_shm"])
    return parser


def run(part: Callable[[], None]) -> None:
    """Run a part until SIGTERM or Ctrl-C, which end it as its last line would: arrays close."""
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    try:
        part()
    except BrokenPipeError:
        sys.stdout = None  # whose last flush would fail as well
        sys.stderr.write("the supervisor is gone\n")  # in one write: all parts say it at once
        sys.exit(1)
    except OSError as error:  # no room, or another writer exists
        sys.exit(str(error))


def leave(*_: object) -> None:
    """End the program once: at Ctrl-C a terminal signals all processes, and so does the parent."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # SIG_IGN makes Python complain of one on its way
    sys.exit()
