"""Which names the patterns of a command line mean."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

__all__ = ["fits", "is_glob", "is_own", "matches"]

_OWN = "ndsharray."


def is_own(name: str) -> bool:
    """Tell whether an array is one of the library's own, such as the mark of a bridge."""
    return name.startswith(_OWN)


def matches(name: str, pattern: str) -> bool:
    """Tell whether a name is the pattern itself, or fits it as a glob.

    A glob means names of the library's own only if it begins as they do; it is the same with files
    whose names begin with a dot.
    """
    if name == pattern:
        return True
    return fnmatch.fnmatchcase(name, pattern) and (is_own(pattern) or not is_own(name))


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a name is one of the patterns, or fits one of them as a glob."""
    return any(matches(name, pattern) for pattern in patterns)


def is_glob(pattern: str) -> bool:
    """Tell whether several names may fit a pattern."""
    return any(character in pattern for character in "*?[")
