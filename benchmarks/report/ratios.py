"""Ratios to the machine's limits, beside those that are stored in ``ratios.json``.

Absolute times tell machines apart; ratios to what the same machine can do in the same run do not.
They are ratios of lower quartiles, not of medians: other programs that use the processor slow the
longer code more.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness.bench import Bench

from report.targets import Figure, Target

STORED = Path(__file__).with_name("ratios.json")
WORSE = 1.5


def _row(scenario: str, case: str, key: str, limit: str, of: str = "", kind: str = "") -> Target:
    value = Figure(scenario, case, "{t}" + kind, key)
    text = f"{scenario}, {case}: {key}{kind} / {limit.format(t='own')} {of}".rstrip()
    return Target(text, value, Figure(scenario, case, limit, of or key), WORSE)


ROWS = [
    _row("small", "64 B", "write", "floor"),
    _row("small", "64 B", "read", "floor"),
    _row("small", "64 B", "poll", "floor"),
    _row("small", "64 B", "read", "floor", kind=" in place"),
    _row("frames", "720p", "write", "copyto"),
    _row("frames", "720p", "read", "copyto"),
    _row("shapes", "720p", "changing write", "{t}", "write"),
    _row("trips", "64 B", "trip", "futex"),
]


def load() -> dict[str, float]:
    """Return the stored ratios, by transport and row."""
    stored: dict[str, float] = json.loads(STORED.read_text())
    return stored


def store(ratios: dict[str, float]) -> None:
    """Make these the stored ones."""
    STORED.write_text(json.dumps({k: round(v, 3) for k, v in ratios.items()}, indent=1) + "\n")


def worse(ratios: dict[str, float], stored: dict[str, float]) -> list[str]:
    """Name the rows that are worse than stored, or were not measured."""
    return [name for name, before in stored.items() if not ratios.get(name, 1e9) <= WORSE * before]


def show(ratios: dict[str, float], stored: dict[str, float], bench: Bench) -> int:
    """Print them, and what is worse or missing; return the exit code of the run."""
    bad = worse(ratios, stored)
    for name, ratio in ratios.items():
        before = f"{stored[name]:9.3f}" if name in stored else ""
        print(f"{name:<64}{ratio:9.3f}{before}{'   WORSE' if name in bad else ''}")
    for name in bad:
        what = f"more than {WORSE} times {stored[name]:.3f}" if name in ratios else "not measured"
        print(f"{name}: {what}", file=sys.stderr)
    for rival, reason in bench.missing.items():
        print(f"{rival}: {reason}", file=sys.stderr)
    return 1 if bad else 0
