"""Which arrays a recorder takes, and on which transport they are."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from ... import ArrayInfo, MmapTransport, Transport, backends

__all__ = ["fits", "is_glob", "transport_of"]


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a name is one of the patterns, or fits one of them as a glob."""
    return any(name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def is_glob(pattern: str) -> bool:
    """Tell whether several names may fit a pattern."""
    return any(character in pattern for character in "*?[")


def transport_of(info: ArrayInfo, chosen: Transport | str | None) -> Transport:
    """Return the transport of an array that was found."""
    known = backends.beside(MmapTransport(directory=info.root), info.transport)
    return known or backends.resolve(chosen)
