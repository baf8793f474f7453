"""The tables of docs/performance.md, from the figures that ``--json`` wrote.

``python benchmarks --page figures.json`` prints them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from harness.stats import median_of

_SIZES = ("64 B", "64 KiB", "720p", "4K RGB", "50 MB")
_ROUND_TRIPS = (("64 B", "a CPU each"), ("64 B, one CPU", "one CPU"))
_DASH = "–"


def show(path: str) -> int:
    with open(path, encoding="utf8") as file:
        told = json.load(file)
    figures = told["figures"]
    for table in (_copies(figures), _streams(figures), _trips(figures), _targets(told["targets"])):
        print("\n".join(table), end="\n\n")
    return 0


def _rivals(*cases: Any) -> list[str]:
    names = dict.fromkeys(name for case in cases for name in case)
    return [name for name in names if name not in ("steps", "posix_shm in place", "posix_shm out")]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _head(*titles: str) -> list[str]:
    return [_row(*titles), _row(*["---"] * len(titles))]


def _time(microseconds: float | None) -> str:
    if microseconds is None:
        return _DASH
    if microseconds >= 1000:
        return f"{microseconds / 1000:.{1 if microseconds < 10_000 else 0}f} ms"
    places = 2 if microseconds < 1 else 1 if microseconds < 10 else 0
    return f"{microseconds:.{places}f}"


def _copies(figures: Any) -> Iterator[str]:
    cases = {**figures["small"], **figures["frames"]}
    yield from _head("write / read", *_SIZES)
    for name in _rivals(*cases.values()):
        cells = [name]
        for size in _SIZES:
            found = cases.get(size, {}).get(name, {})
            times = [_time(median_of(found.get(key))) for key in ("write", "read")]
            cells.append(_DASH if times == [_DASH] * 2 else " / ".join(times))
        yield _row(*cells)


def _streams(figures: Any) -> Iterator[str]:
    camera, flood = figures["camera"]["720p"], figures["flood"]["720p"]
    yield from _head(
        "720p",
        "camera, ms: median / p99",
        "reader, of a core",
        "flood: whole frames/s",
        "torn",
        "longest gap, ms",
    )
    for name in _rivals(camera, flood):
        cells, seen, poured = [name], camera.get(name), flood.get(name)
        if seen:
            cells += [f"{seen['latency']['median'] / 1e3:.2f} / {seen['p99'] / 1e3:.1f}"]
            cells += [f"{seen['reader']:.3f}"]
        else:
            cells += [_DASH, _DASH]
        if poured:
            cells += [f"{poured['reads']:.0f}", f"{poured['torn']}", f"{poured['gap']:.0f}"]
        else:
            cells += [_DASH] * 3
        yield _row(*cells)


def _trips(figures: Any) -> Iterator[str]:
    trips = figures["trips"]
    yield from _head("round trip of 64 B, us", *(title for _, title in _ROUND_TRIPS))
    for name in _rivals(*trips.values()):
        cells = [trips[case].get(name, {}).get("trip") for case, _ in _ROUND_TRIPS]
        yield _row(name, *(_time(median_of(cell)) for cell in cells))


def _targets(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield from _head("target", "ratio: mmap, posix_shm", "bound", "")
    texts = dict.fromkeys(row["text"] for row in rows)
    for text in texts:
        both = [row for row in rows if row["text"] == text]
        ratios = ", ".join(_DASH if r["ratio"] is None else f"{r['ratio']:.3g}" for r in both)
        bound = f"{both[0]['bound']:g}"
        if not both[0]["at_most"]:
            bound = f"at least {bound}"
        verdicts = [row["met"] for row in both]
        verdict = _DASH if None in verdicts else "met" if all(verdicts) else "**missed**"
        yield _row(text, ratios, bound, verdict)
