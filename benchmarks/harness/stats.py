"""Medians, quartiles and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Summary = dict[str, Any]


def summarize(values: Sequence[float], unit: str = "us") -> Summary:
    """Return median, quartiles, 99th percentile and count of values in that unit."""
    q1, median, q3, p99 = np.percentile(np.asarray(values, float), [25, 50, 75, 99])
    return {
        "median": float(median),
        "q1": float(q1),
        "q3": float(q3),
        "p99": float(p99),
        "count": len(values),
        "unit": unit,
    }


def median_of(value: Any, which: str = "median") -> float | None:
    """Return the median of a summary, or the number itself; None if it is neither."""
    if isinstance(value, dict):
        value = value.get(which)
    return float(value) if isinstance(value, (int, float)) else None


def ratio(value: Any, limit: Any) -> float | None:
    """Return how many times the limit the value is."""
    value, limit = median_of(value), median_of(limit)
    return value / limit if value is not None and limit else None
