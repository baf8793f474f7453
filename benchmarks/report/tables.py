"""What is printed: a table for each case of a scenario, ratios first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from harness.bench import Bench
from harness.stats import median_of, ratio
from rivals import Rival


class Column(NamedTuple):
    """A figure; beside another rival's of the same case, or an own one, if `limit` says so."""

    key: str
    title: str
    limit: str | None = None
    of: str | None = None  # another figure of the limit's; None: the same


@dataclass(frozen=True)
class Table:
    """How the figures of a scenario are shown."""

    title: str
    columns: tuple[Column, ...]
    remark: str = ""


_NARROW, _WIDE = 11, 26


def show(bench: Bench, scenario: str, table: Table) -> None:
    """Print all cases of a scenario."""
    print(f"\n== {table.title} ==")
    if table.remark:
        print(table.remark)
    cases = [*bench.figures.get(scenario, {}), *bench.failures.get(scenario, {})]
    for case in dict.fromkeys(cases):
        show_case(bench, scenario, case, table)


def show_case(bench: Bench, scenario: str, case: str, table: Table) -> None:
    ratios = [column for column in table.columns if column.limit]
    figures = bench.figures.get(scenario, {}).get(case, {})
    head = "".join(f"{_head(column):>{_NARROW}}" for column in ratios)
    head += "".join(f"{_unit(column, figures):>{_WIDE}}" for column in _shown(table))
    print(f"\n{case:<20}{head}")
    for rival in bench.rivals:
        print(f"{rival.name:<20}{_row(bench, scenario, case, rival, table)}")


def _row(bench: Bench, scenario: str, case: str, rival: Rival, table: Table) -> str:
    reason = bench.why_not(scenario, case, rival)
    if reason is not None:
        return "   " + reason
    figures = bench.figures[scenario][case]
    own = figures[rival.name]
    cells = []
    for column in table.columns:
        if column.limit:
            limits = own if column.limit == "own" else figures.get(column.limit, {})
            limit = limits.get(column.of or column.key)
            cells.append(f"{_number(ratio(own.get(column.key), limit)):>{_NARROW}}")
    cells += [f"{_spread(own.get(column.key)):>{_WIDE}}" for column in _shown(table)]
    unsafe = "" if rival.safe else "   unsafe"
    return "".join(cells) + unsafe


def _shown(table: Table) -> list[Column]:
    """Return a column for each figure: some have two ratios."""
    return list({column.key: column for column in table.columns}.values())


def _head(column: Column) -> str:
    return f"{column.title}/"


def _unit(column: Column, figures: dict[str, Any]) -> str:
    for each in figures.values():
        value = each.get(column.key)
        if isinstance(value, dict):
            return f"{column.title}, {value['unit']}"
    return column.title


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if value == 0 or abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def _spread(value: Any) -> str:
    if isinstance(value, dict):
        low, high = _number(value["q1"]), _number(value["q3"])
        return f"{_number(value['median'])} ({low} to {high})"
    return str(value) if isinstance(value, int) else _number(median_of(value))


def show_rivals(bench: Bench, versions: dict[str, str]) -> None:
    """Print which rivals are compared, and how each is used."""
    print(f"\n{'rival':<20}{'version':<26}{'a read is':<52}whole frames")
    for rival in bench.rivals:
        version = versions.get(rival.name) or f"NOT MEASURED: {bench.missing.get(rival.name)}"
        safe = "yes" if rival.safe else "NO"
        print(f"{rival.name:<20}{version:<26}{rival.reads:<52}{safe}")
