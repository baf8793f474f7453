"""Which arrays are meant by names and globs."""

from __future__ import annotations

from collections.abc import Iterable

from ..common.names import matches

__all__ = ["fits", "is_glob"]


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a name is one of the patterns, or fits one of them as a glob."""
    return any(matches(name, pattern) for pattern in patterns)


def is_glob(pattern: str) -> bool:
    """Tell whether several names may fit a pattern."""
    return any(character in pattern for character in "*?[")
