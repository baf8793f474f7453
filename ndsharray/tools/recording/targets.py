"""Which arrays a recorder takes, and on which transport they are."""

from __future__ import annotations

from collections.abc import Iterable

from ... import ArrayInfo, MmapTransport, Transport, backends
from ..names import matches

__all__ = ["fits", "is_glob", "transport_by_default", "transport_of"]


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a name is one of the patterns, or fits one of them as a glob."""
    return any(matches(name, pattern) for pattern in patterns)


def is_glob(pattern: str) -> bool:
    """Tell whether several names may fit a pattern."""
    return any(character in pattern for character in "*?[")


def transport_of(info: ArrayInfo, chosen: Transport | str | None) -> Transport:
    """Return the transport of an array that was found."""
    known = backends.beside(MmapTransport(directory=info.root), info.transport)
    return known or backends.resolve(chosen)


def transport_by_default(chosen: Transport | str | None, directory: str | None) -> Transport:
    """Return the transport of a name that has no array yet."""
    transport = backends.resolve(chosen)
    if directory is None:
        return transport
    return backends.beside(MmapTransport(directory=directory), transport.name) or transport
