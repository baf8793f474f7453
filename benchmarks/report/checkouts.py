"""What is printed of two checkouts that were measured alternately."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

BOUND = 1.05  # a change may make a call this many times slower, not more


class Rounds(NamedTuple):
    """Medians of the rounds in microseconds: those of this checkout and of the other one."""

    this: list[float]
    other: list[float]


def show(rounds: Mapping[str, Rounds]) -> None:
    """Print a row for each kind of call: times, and the median of the rounds' ratios."""
    print(f"\n{'':<28}{'this, us':>12}{'other, us':>12}{'this / other':>26}")
    for name, (this, other) in rounds.items():
        low, ratio, high = np.percentile(np.divide(this, other), [25, 50, 75])
        spread = f"{ratio:.3f} ({low:.3f} to {high:.3f})"
        mark = f"   more than {BOUND}" if ratio > BOUND else ""
        print(f"{name:<28}{np.median(this):>12.2f}{np.median(other):>12.2f}{spread:>26}{mark}")
