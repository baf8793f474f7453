"""The transports, and how one is chosen.

What may live here: the table of known transports and `resolve`. A transport's module is imported
only when it is chosen. Not here: what a transport does (``base`` has the contract).
"""

from __future__ import annotations

import importlib
import os
import re
from typing import TYPE_CHECKING, Any

from ..errors import UnknownTransportError
from .base import Segment, Transport

if TYPE_CHECKING:
    from .mmap import MmapTransport
    from .posix_shm import PosixShmTransport

__all__ = [
    "MmapTransport",
    "PosixShmTransport",
    "Segment",
    "Transport",
    "at",
    "beside",
    "known",
    "resolve",
]

TRANSPORT_VARIABLE = "NDSHARRAY_TRANSPORT"
DEFAULT = "mmap"

_KNOWN = {"mmap": ("mmap", "MmapTransport"), "posix_shm": ("posix_shm", "PosixShmTransport")}


def known() -> list[str]:
    """Return the names of the transports that come with the library."""
    return list(_KNOWN)


def beside(own: Transport, name: str) -> Transport | None:
    """Return the known transport `name` with the root of `own`; None if there is none."""
    try:
        return _load(name)(directory=own.root) if name in _KNOWN else None
    except ImportError:  # a Python without shared memory
        return None


def at(choice: str | Transport | None, directory: str | os.PathLike[str] | None) -> Transport:
    """Return the transport that `resolve` does, with a root at `directory` if that is given.

    Raises
    ------
    UnknownTransportError, TypeError
        As `resolve`.
    ValueError
        If a directory is given for a transport that has another one, or is not a known one.
    """
    if directory is None:
        return resolve(choice)
    if isinstance(choice, Transport):
        if os.path.realpath(directory) != choice.root:
            raise ValueError(f"directory= does not go with {choice!r}, which has its own")
        return choice
    choice = choice or _default()
    if choice not in _KNOWN:
        raise ValueError(f"directory= goes with {', '.join(map(repr, _KNOWN))}, not {choice!r}")
    made: Transport = _class_of(choice)(directory=directory)
    return made


def _load(name: str) -> Any:
    module, cls = _KNOWN[name]
    try:
        return getattr(importlib.import_module(f".{module}", __name__), cls)
    except ImportError as error:
        raise ImportError(
            f"transport {name!r} needs what this Python was built without ({error}); "
            f'choose another one: transport="{DEFAULT}", or {TRANSPORT_VARIABLE}={DEFAULT}'
        ) from error


def resolve(choice: str | Transport | None = None) -> Transport:
    """Return the transport that was asked for.

    Parameters
    ----------
    choice : Transport or str, optional
        A transport; a known name; or ``"package.module:Class"``, which is imported and called
        without arguments. None: the environment variable ``NDSHARRAY_TRANSPORT`` (stripped;
        empty counts as unset), else ``"mmap"``.

    Raises
    ------
    UnknownTransportError
        If there is no such transport, or this Python lacks what it needs.
    TypeError
        If `choice`, or what ``package.module:Class`` makes, is not a transport.
    """
    if choice is None:
        choice = _default()
    if isinstance(choice, str):
        found = _class_of(choice)() if choice in _KNOWN else _imported(choice)
    else:
        found = choice
    if not isinstance(found, Transport):
        raise TypeError(f"a transport is a Transport or a str, not {found!r}")
    if not re.fullmatch("[a-z][a-z0-9_]*", found.name):
        raise ValueError(f"a transport's name is made of a-z, 0-9 and _, not {found.name!r}")
    return found


def _default() -> str:
    return os.environ.get(TRANSPORT_VARIABLE, "").strip() or DEFAULT


def _class_of(name: str) -> Any:
    try:
        return _load(name)
    except ImportError as error:
        raise UnknownTransportError(name, str(error)) from error


def _imported(choice: str) -> object:
    module, _, cls = choice.partition(":")
    try:
        if not (module and cls) or module.startswith("."):
            raise ImportError("neither a known name nor 'package.module:Class'")
        made = getattr(importlib.import_module(module), cls)
        if not callable(made):
            raise ImportError(f"{cls!r} is not a class")
        return made()
    except (ImportError, AttributeError) as error:
        raise UnknownTransportError(
            choice,
            f"unknown transport {choice!r} ({error}); known are {', '.join(map(repr, _KNOWN))}, "
            "and 'package.module:Class' for one of your own",
        ) from error


def __getattr__(name: str) -> Any:
    for module, cls in _KNOWN.values():
        if cls == name:
            return _load(module)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
