"""The targets as data, and what this run says about them.

Each row is a figure of this library and the one that it is measured by: another rival's in the
same run, or its own in other circumstances; and how many times that it may be at most, or must be
at least. ``{t}`` stands for either transport.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from harness.bench import Bench
from harness.stats import median_of
from rivals import Rival

TRANSPORTS = ("mmap", "posix_shm")
MARGIN = 1.05  # a rival is ahead if it is by more than this


class Figure(NamedTuple):
    """Where a figure is."""

    scenario: str
    case: str
    rival: str
    key: str


class Target(NamedTuple):
    """A row; without a limit, the figure itself is compared with the bound."""

    text: str
    value: Figure
    limit: Figure | None
    bound: float
    at_most: bool = True


def _own(scenario: str, case: str, key: str, kind: str = "") -> Figure:
    return Figure(scenario, case, "{t}" + kind, key)


def _small() -> Iterator[Target]:
    for key, floor, iceoryx2 in (("write", 10.0, 0.45), ("read", 7.0, 0.6)):
        for rival, bound in (("floor", floor), ("iceoryx2", iceoryx2)):
            value, limit = _own("small", "64 B", key), Figure("small", "64 B", rival, key)
            yield Target(f"{key} 64 B / {rival}", value, limit, bound)
    place, copy = (_own("small", "64 B", "read", kind) for kind in (" in place", ""))
    yield Target("read 64 B in place / by copy", place, copy, 1.2)
    yield Target("an idle poll, us", _own("small", "64 B", "poll"), None, 1.0)


def _large() -> Iterator[Target]:
    for size in ("720p", "4K RGB", "50 MB"):
        for key in ("write", "read"):
            value, limit = _own("frames", size, key), Figure("frames", size, "copyto", key)
            yield Target(f"{key} {size} / np.copyto", value, limit, 1.10)
    read = Figure("flood", "720p", "copyto", "read")
    yield Target("read in a flood / np.copyto in one", _own("flood", "720p", "read"), read, 1.2)
    place, copy = (_own("frames", "50 MB", "read", kind) for kind in (" in place", ""))
    yield Target("read 50 MB in place / by copy", place, copy, 0.01)


def _rest() -> Iterator[Target]:
    changing, steady = (_own("shapes", "720p", prefix + "write") for prefix in ("changing ", ""))
    yield Target("write with a change of shape / without", changing, steady, 1.2)
    trip = Figure("trips", "64 B", "futex", "trip")
    yield Target("round trip 64 B / bare futex", _own("trips", "64 B", "trip"), trip, 1.5)
    one = "64 B, one CPU"
    trip = Figure("trips", one, "futex", "trip")
    yield Target("round trip 64 B, one CPU / bare futex", _own("trips", one, "trip"), trip, 1.5)
    for kind, text, bound in ((" in place", "in place", 0.03), ("", "by copy", 0.06)):
        share = _own("camera", "720p", "reader", kind)
        yield Target(f"camera: reader's share of a core, {text}", share, None, bound)
    for size in ("64 B", "720p"):
        busy, alone = (_own("readers", f"{size}, 16 readers", key) for key in ("busy", "alone"))
        yield Target(f"write {size} with 16 idle readers / with none", busy, alone, 1.2)
    for kind, text in (("", "by copy"), (" in place", "in place")):
        yield Target(f"flood: torn, {text}", _own("flood", "720p", "torn", kind), None, 0)
    for kind, bound in (("", 1.0), (" in place", 0.9)):
        reads, theirs = _own("flood", "720p", "reads", kind), "iceoryx2" + kind
        limit = Figure("flood", "720p", theirs, "reads")
        yield Target(f"flood: reads{kind} / {theirs}", reads, limit, bound, False)
    nothing = Figure("start", "from nothing", "floor", "ms")
    ours = _own("start", "from nothing", "ms")
    yield Target("from nothing to a frame / SharedMemory", ours, nothing, 1.15)
    for case, bound in (("attach", 0.5), ("restart", 2.0)):
        yield Target(f"{case}, ms", _own("start", case, "ms"), None, bound)
    p99 = Figure("camera", "720p", "pyshmem", "p99")
    yield Target("camera: p99 / pyshmem", _own("camera", "720p", "p99"), p99, 1.0)
    for key in ("changing write", "changing read"):
        old = Figure("shapes", "720p", "original", key)
        yield Target(f"{key} / original", _own("shapes", "720p", key), old, 1 / 20)


TARGETS = [*_small(), *_large(), *_rest()]


def look_up(figures: Any, figure: Figure, transport: str, which: str) -> float | None:
    """Return a figure; None if it was not measured."""
    found = figures.get(figure.scenario, {}).get(figure.case, {})
    found = found.get(figure.rival.format(t=transport), {})
    return median_of(found.get(figure.key), which)


def measured(figures: Any, target: Target, transport: str, which: str = "median") -> float | None:
    """Return the ratio of a row; None if it was not measured."""
    value = look_up(figures, target.value, transport, which)
    if target.limit is None or value is None:
        return value
    limit = look_up(figures, target.limit, transport, which)
    return value / limit if limit else None


def results(figures: Any) -> list[dict[str, Any]]:
    """Return all rows: text, transport, ratio, bound, whether it is met."""
    rows = []
    for target in TARGETS:
        for transport in TRANSPORTS:
            ratio = measured(figures, target, transport)
            met = None
            if ratio is not None:
                met = ratio <= target.bound if target.at_most else ratio >= target.bound
            row = {"text": target.text, "transport": transport, "ratio": ratio, "met": met}
            rows.append({**row, "bound": target.bound, "at_most": target.at_most})
    return rows


def show(bench: Bench) -> None:
    """Print the rows, and the cells in which another is ahead."""
    print(f"\n== targets ==\n{'':<50}{'transport':<12}{'ratio':>9}{'target':>12}")
    for row in results(bench.figures):
        ratio = "not measured" if row["ratio"] is None else f"{row['ratio']:.3g}"
        bound = f"{'<=' if row['at_most'] else '>='} {row['bound']:.3g}"
        verdict = {None: "", True: "met", False: "MISSED"}[row["met"]]
        print(f"{row['text']:<50}{row['transport']:<12}{ratio:>9}{bound:>12}   {verdict}")
    cells = list(ahead(bench))
    print(f"\nSafe rivals that are ahead by more than {MARGIN - 1:.0%}: {len(cells)} cells")
    for text in cells:
        print("  " + text)


def ahead(bench: Bench) -> Iterator[str]:
    """Name the cells of write and read in which a safe rival is ahead, like beside like."""
    for scenario in ("small", "frames"):
        for case, figures in bench.figures.get(scenario, {}).items():
            for rival in bench.rivals:
                if rival.safe and rival.package != "ndsharray" and rival.name in figures:
                    yield from _ahead(rival, scenario, case, figures)


def _ahead(rival: Rival, scenario: str, case: str, figures: Any) -> Iterator[str]:
    kind = next((kind for kind in (" in place", " out") if rival.name.endswith(kind)), "")
    # Of threads that deliver, only the whole way can be compared.
    keys = ("delivered",) if rival.concurrent or rival.threads else ("write", "read")
    for key in keys:
        theirs = median_of(figures[rival.name].get(key))
        for transport in TRANSPORTS:
            ours = median_of(figures.get(transport + kind, {}).get(key))
            if theirs and ours and ours > MARGIN * theirs:
                yield (
                    f"{scenario}, {case}, {key}: {rival.name} {theirs:.3g} us, "
                    f"{transport + kind} {ours:.3g} us ({ours / theirs:.2f} times)"
                )
