"""Which names a pattern of the command line means."""

from __future__ import annotations

import fnmatch

__all__ = ["is_own", "matches"]

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
