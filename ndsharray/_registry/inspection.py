"""Which arrays there are, and what they are like. Looking changes nothing.

Not here: how one array is looked at (``probe``).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from .. import backends
from ..backends.base import DIR_VARIABLE, Transport, check_name, check_root
from ..errors import NoArrayError, UnknownTransportError
from . import lookup
from .array_info import ArrayInfo, SlotInfo
from .names import Address, alike
from .probe import Head, Probe

__all__ = ["ArrayInfo", "Head", "Probe", "SlotInfo", "arrays", "info", "transports"]

_SHARED = 0o660  # a mode that lets others in


def arrays(
    *, transport: str | Transport | None = None, directory: str | os.PathLike[str] | None = None
) -> list[ArrayInfo]:
    """Return what is known about each array: living ones, and what is left of others.

    It changes nothing: no reader, writer or slot notices.

    Parameters
    ----------
    transport : Transport or str, optional
        Where to look: as for `NdShArray`. None: on all known transports, and on that of
        ``NDSHARRAY_TRANSPORT``.
    directory : str or path, optional
        The root. None: the default one (``NDSHARRAY_DIR``).

    Returns
    -------
    list of ArrayInfo
        By name. One that is damaged, of another format version or not readable is there as well,
        with what is wrong in `ArrayInfo.problem`. One that is just being made is not.

    Raises
    ------
    OSError
        If the root cannot be listed, or is not safe to use.
    UnknownTransportError
        If there is no such transport.
    ValueError
        If `directory` is given with a transport that has a root of its own.
    """
    found = []
    for each in transports(transport, directory):
        for control in lookup.controls(each):
            try:
                found.append(Probe.at(Address(each, "", control)).info())
            except NoArrayError:
                pass  # it is being made, or has just gone
    return sorted(found, key=lambda info: (info.name, info.transport))


def info(
    name: str,
    *,
    transport: str | Transport | None = None,
    directory: str | os.PathLike[str] | None = None,
) -> ArrayInfo:
    """Return what is known about the array `name`. It changes nothing.

    Parameters
    ----------
    name : str
        The array's.
    transport, directory
        As for `arrays`. If several transports have an array of that name, the living one counts;
        if several live, the one that was taken last.

    Raises
    ------
    NoArrayError
        If there is none. Its `alike` names arrays that are called almost so.
    OSError, TypeError, UnknownTransportError, ValueError
        As `arrays`; for a `name` that no array can have, as `NdShArray`.
    """
    check_name(name)
    where, found = transports(transport, directory), []
    for each in where:
        try:
            found.append(Probe(name, each).info())
        except NoArrayError:
            pass
    if found:
        return max(found, key=lambda info: (info.state == "live", info.since_ns or 0))
    names = {address.name for each in where for address in lookup.arrays(each)}
    raise NoArrayError(name, alike(name, names))


def transports(
    transport: str | Transport | None = None, directory: str | os.PathLike[str] | None = None
) -> list[Transport]:
    """Return the transports to look at: those whose root is there and may be used.

    Parameters and errors are those of `arrays`.
    """
    if transport is not None:
        candidates = [backends.at(transport, directory)]
    else:
        candidates = list(_all_of(directory))
    named = directory is not None or bool(os.environ.get(DIR_VARIABLE, "").strip())
    usable, refusals = list[Transport](), list[OSError]()
    for each in candidates:
        try:
            usable.append(_checked(each, named and each is not transport))
        except FileNotFoundError:
            pass  # nobody has made it yet
        except OSError as error:
            refusals.append(error)
    if refusals and not usable:
        raise refusals[0]
    return usable


def _all_of(directory: str | os.PathLike[str] | None) -> Iterator[Transport]:
    """Make every transport that there can be."""
    for name in backends.known():
        try:
            yield backends.at(name, directory)
        except UnknownTransportError:
            pass  # a Python without shared memory
    chosen = os.environ.get(backends.TRANSPORT_VARIABLE, "").strip()
    if chosen and chosen not in backends.known():
        yield backends.resolve(chosen)


def _checked(transport: Transport, named: bool) -> Transport:
    """Return a transport whose root may be looked into.

    Its writers share a root with others by a mode that is written nowhere: if the
    user has named the root, it counts as shared on purpose.
    """
    root = transport.root
    try:
        check_root(root, transport.mode)
    except PermissionError:
        if not named or not isinstance(transport, backends.MmapTransport):
            raise
        transport = backends.MmapTransport(root, mode=_SHARED)
        check_root(root, _SHARED)
    if not os.access(root, os.R_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "no right to look into it", root)
    return transport
