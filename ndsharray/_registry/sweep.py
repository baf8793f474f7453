"""Removing what killed writers left behind and nobody came back for.

What may live here: the rule by which an array is stale: it has a lock file, nobody holds its
writer's lock file, and none of its readers lives. Then all of it goes, under that lock file. The
array's name need not be known. Not here: how an array is removed (``removal``).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from .._system import lockfile
from ..backends.base import Segment, Transport, check_root
from . import entries
from .names import Address, parse_lock
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
        Where the lock files are.
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
    lock_files = {lock_file[:2] for lock_file in map(parse_lock, files) if lock_file}
    for control, name in sorted(lock_files):
        transport = transport_of(name)
        if transport is not None:
            try:
                # Who else can put lock files there must not choose what we remove elsewhere.
                check_root(root, transport.mode)
                _sweep_one(Address(transport, "", control))
            except OSError as error:
                log.debug("%s was not swept: %s", control, error)


def _sweep_one(address: Address) -> None:
    if lockfile.probe(address.writer_lock()) or entries.has_readers(address):
        return
    lock_file = lockfile.take(address.writer_lock(), address.transport.mode)
    if lock_file is None:
        return
    if is_foreign(address) or entries.has_readers(address):
        lock_file.abandon()  # not ours to judge; or a reader came between
        return
    kept: list[Segment] = []
    if not remove_array(address, lock_file, kept):  # mapped, on Windows: next time
        lock_file.abandon()
        return
    entries.clear_dead(address)
    lock_file.release()  # before what is kept: its writer may be on its way back
    log.info("swept %s, which a killed writer left", address.control_name)
