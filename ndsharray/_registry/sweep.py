"""Removing what killed writers left behind and nobody came back for.

What may live here: the rule by which an array is stale: it has a lease file, nobody holds its
writer's lease, and none of its readers lives. Then all of it goes, under that lease. The array's
name need not be known. Not here: how an array is removed (``removal``).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from .._system import lockfile
from ..backends.base import Segment, Transport, check_root
from . import entries
from .names import Address, parse_lease
from .removal import is_foreign, remove_array

__all__ = ["sweep"]

log = logging.getLogger("ndsharray")

_EVERY = 1.0  # seconds: a process that makes many writers sweeps now and then
_swept: dict[str, float] = {}


def sweep(root: str, transport_of: Callable[[str], Transport | None]) -> None:
    """Remove the stale arrays under a root.

    Parameters
    ----------
    root : str
        Where the leases are.
    transport_of : callable
        Returns the transport of a name; None: unknown here, its arrays are left alone.
    """
    now = time.monotonic()
    if now - _swept.get(root, -_EVERY) < _EVERY:
        return
    _swept[root] = now
    try:
        files = os.listdir(root)
    except OSError:
        return
    leases = {lease[:2] for lease in map(parse_lease, files) if lease}
    for control, name in sorted(leases):
        transport = transport_of(name)
        if transport is not None:
            try:
                # Who else can put lease files there must not choose what we remove elsewhere.
                check_root(root, transport.mode)
                _sweep_one(Address(transport, "", control))
            except OSError as error:
                log.debug("%s was not swept: %s", control, error)


def _sweep_one(address: Address) -> None:
    if lockfile.probe(address.writer_lease()) or entries.has_readers(address):
        return
    lease = lockfile.take(address.writer_lease(), address.transport.mode)
    if lease is None:
        return
    if is_foreign(address) or entries.has_readers(address):
        lease.abandon()  # not ours to judge; or a reader came between
        return
    kept: list[Segment] = []
    if not remove_array(address, lease, kept):  # mapped, on Windows: next time
        lease.abandon()
        return
    entries.clear_dead(address)
    lease.release()  # before what is kept: its writer may be on its way back
    log.info("swept %s, which a killed writer left", address.control)
