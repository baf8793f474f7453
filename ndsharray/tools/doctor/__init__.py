"""``ndsharray doctor``: whether arrays can work here, and what to do where they cannot."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator

from ..common import common, emit
from ..common.terminal import Terminal, shown, terminal
from . import checks
from .checks import Check

__all__ = ["EXAMPLE", "HELP", "arguments", "run"]

HELP = (
    "Check the directory, memory, limits, waiting and clocks that arrays need, and send a frame "
    "through each transport. Each line says ok, warn or fail, and what you can do."
)
EXAMPLE = "ndsharray doctor --root /dev/shm/team"
_MARGIN = 22  # columns of verdict and title
_COLOURS = {"ok": 32, "warn": 33, "fail": 31}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    common(parser, wait=False)


def run(options: argparse.Namespace) -> int:
    """Print a line for each check; return 1 if one failed."""
    screen, failed = terminal(), False
    for check in checks.all_checks(options.transport, options.root):
        failed |= check.verdict == "fail"
        if options.json:
            emit(check._asdict())
        else:
            for line in _lines(check, screen):
                print(line, flush=True)
    return 1 if failed else 0


def _lines(check: Check, screen: Terminal) -> Iterator[str]:
    verdict = f"{check.verdict:4}"
    if screen.colours:
        verdict = f"\x1b[{_COLOURS[check.verdict]}m{verdict}\x1b[0m"
    margin = " " * _MARGIN
    first, *rest = _wrapped(check.found, screen)
    yield f"{verdict}  {check.what:14}  {first}"
    for line in [*rest, *(_wrapped(check.advice, screen) if check.advice else ())]:
        yield margin + line


def _wrapped(text: str, screen: Terminal) -> list[str]:
    text = shown(text)
    if not screen.tty:
        return [text]
    width = max(screen.columns - _MARGIN, _MARGIN)
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
