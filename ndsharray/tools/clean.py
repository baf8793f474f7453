"""``ndsharray clean``: removing what killed writers left, and nothing that any process uses."""

from __future__ import annotations

import argparse
import sys
from typing import NamedTuple

from .. import ArrayInfo, NoArrayError
from .._registry.cleanup import remove_stale, stale
from .._registry.inspection import transports
from .._registry.names import Address
from .._registry.probe import Probe
from .common import ToolError, common, duration, emit, fits, human, listed, matches, plural, select
from .common.terminal import print_rows, shown

__all__ = ["EXAMPLE", "HELP", "arguments", "run"]

HELP = (
    "Print what killed writers left, and with --yes remove it: arrays that have no living writer "
    "and no living reader. (The next writer in the same directory removes them, too.)"
)
_DROP = (2, 4, 3)  # which columns a narrow terminal can do without
EXAMPLE = "ndsharray clean --yes"


class _Left(NamedTuple):
    address: Address
    info: ArrayInfo


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="names or globs (default: all)")
    parser.add_argument(
        "--yes", action="store_true", help="remove it; without this option, change nothing"
    )
    common(parser, wait=False)


def run(options: argparse.Namespace) -> int:
    """Print what is left, or remove it; return 1 if something stays that was to go."""
    left = _left(options)
    for name in options.names:
        if not any(matches(each.info.name, name) for each in left):
            for info in select([name], options):
                used = "has a living writer" if info.state == "live" else "is in use"
                raise ToolError(f"{info.name!r} {used}: it stays")
    removed = [options.yes and _remove(each) for each in left]
    infos = [each.info for each in left]
    if options.json:
        for info, gone in zip(infos, removed):
            emit({**info.as_dict(), "removed": gone})
    else:
        print_rows([_cells(i, r, options.yes) for i, r in zip(infos, removed)], _DROP)
        print(_sum(infos, removed, options.yes))
        _tell_of_the_others(infos, options)
    return 1 if options.yes and not all(removed) else 0


def _left(options: argparse.Namespace) -> list[_Left]:
    found = []
    for transport in transports(options.transport, options.root):
        for address in stale(transport):
            probe = Probe.at(address)
            try:
                info = probe.info()
            except NoArrayError:
                continue  # another process has just removed it
            finally:
                probe.close()
            if not options.names or fits(info.name, options.names):
                found.append(_Left(address, info))
    return sorted(found, key=lambda each: each.info.name)


def _tell_of_the_others(left: list[ArrayInfo], options: argparse.Namespace) -> None:
    known = {(info.name, info.transport) for info in left}
    used = [
        info
        for info in listed(options)
        if info.state == "killed" and (info.name, info.transport) not in known and info.readers
    ]
    if used and not options.names:
        stay = "stays, as readers have it" if len(used) == 1 else "stay, as readers have them"
        names = ", ".join(repr(info.name) for info in used)
        print(shown(f"{plural(len(used), 'array')} of killed writers {stay}: {names}"))


def _remove(each: _Left) -> bool:
    try:
        return remove_stale(each.address)
    except OSError as error:
        print(f"ndsharray: {each.info.name!r} stays: {error}", file=sys.stderr)
        return False


def _cells(info: ArrayInfo, removed: bool, asked: bool) -> list[str]:
    what = "removed" if removed else "stays, it is in use" if asked else "left"
    ago = "" if info.age is None else f"last frame {duration(info.age)} ago"
    return [shown(info.name), what, info.transport, info.state, human(info.nbytes), ago]


def _sum(infos: list[ArrayInfo], removed: list[bool], asked: bool) -> str:
    if not infos:
        return "nothing to remove"
    counted = [info for info, gone in zip(infos, removed) if gone or not asked]
    size = human(sum(info.nbytes for info in counted))
    found = f"{plural(len(counted), 'array')} ({size})"
    return f"removed {found}" if asked else f"would remove {found}: 'ndsharray clean --yes' does it"
