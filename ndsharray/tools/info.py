"""``ndsharray info``: all that is known about an array."""

from __future__ import annotations

import argparse
import dataclasses
import time

from .. import ArrayInfo
from .common import (
    ToolError,
    common,
    describe,
    duration,
    emit,
    hertz,
    human,
    nothing_there,
    select,
)
from .common.rates import rate_of
from .common.terminal import aligned, shown

__all__ = ["EXAMPLE", "HELP", "arguments", "run"]

HELP = "Print all that is known about arrays."
EXAMPLE = "ndsharray info camera --slots"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="names or globs (default: all)")
    parser.add_argument(
        "--slots", action="store_true", help="also print each slot's state and pins"
    )
    common(parser)


def run(options: argparse.Namespace) -> int:
    """Print a paragraph for each array."""
    found = select(options.names, options, dead=True)
    if not found:
        raise ToolError(nothing_there(options))
    for index, info in enumerate(found):
        if options.json:
            slots = [dataclasses.asdict(slot) for slot in info.slot_list]
            emit({**info.as_dict(), **({"slot_list": slots} if options.slots else {})})
            continue
        if index:
            print()
        print(shown(info.name))
        rows = [[f"  {what}", shown(value)] for what, value in _facts(info) if value]
        print("\n".join(aligned(rows)))
        if options.slots and info.slot_list:
            print("\n".join(_slots(info)))
    return 0


def _facts(info: ArrayInfo) -> list[tuple[str, str]]:
    pinned = f", {info.pinned_slots} pinned" if info.pinned_slots else ""
    hz = rate_of(info).hz
    since = "" if info.since_ns is None else f", since {_moment(info.since_ns)}"
    return [
        ("state", info.state),
        ("problem", info.problem or ""),
        ("writer", "" if info.pid is None else f"pid {info.pid}{since}"),
        ("where", f"{info.transport}, {info.root}"),
        ("frame", describe(info.shape, info.dtype)),
        ("fields", _fields(info)),
        ("number", str(info.frame_id or "no frame yet")),
        ("written", "" if info.write_time_ns is None else _with_age(info, info.write_time_ns)),
        ("captured", _captured(info)),
        ("rate", "" if hz is None else f"{hertz(hz)} (the frames in its slots)"),
        ("slots", f"{info.slots}{pinned}" if info.slots else ""),
        ("readers", str(info.readers)),
        ("memory", human(info.nbytes)),
    ]


def _fields(info: ArrayInfo) -> str:
    fields = info.dtype.fields if info.dtype is not None else None
    if not fields:
        return ""
    parts = {name: kind[0] for name, kind in fields.items()}
    return ", ".join(
        f"{shown(str(name))} {describe(part.shape, part.base)}".replace(" scalar ", " ")
        for name, part in parts.items()
    )


def _moment(unix_ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_ns / 1e9))


def _with_age(info: ArrayInfo, unix_ns: int) -> str:
    ago = "" if info.age is None else f", {duration(info.age)} ago"
    return f"{_moment(unix_ns)}.{unix_ns // 1_000_000 % 1000:03}{ago}"


def _captured(info: ArrayInfo) -> str:
    if info.time_ns is None or info.write_time_ns is None or info.time_ns == info.write_time_ns:
        return ""
    return f"{duration((info.write_time_ns - info.time_ns) / 1e9)} before it was written"


def _slots(info: ArrayInfo) -> list[str]:
    newest = info.write_time_ns or 0
    rows = [["  slot", "state", "frame", "written", "pins"]]
    for slot in info.slot_list:
        written = slot.write_time_ns
        before = "" if written is None else f"{duration((newest - written) / 1e9)} before"
        frame = f"#{slot.frame_id}" if slot.frame_id else ""
        written_text = "newest" if slot.state == "newest" else before
        rows.append([f"  {slot.index:4}", slot.state, frame, written_text, str(slot.pins)])
    return aligned(rows, right=(2, 4))
