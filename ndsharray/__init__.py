"""Share numpy arrays between Python processes on one machine, through shared memory."""

# Public names only: what they do is in the modules.

from typing import TYPE_CHECKING, Any

from . import backends
from .backends import Segment, Transport
from .errors import (
    AccessError,
    ClosedError,
    FormatError,
    NdShArrayError,
    UnknownTransportError,
    WriterExistsError,
)
from .ndsharray import NdShArray, supported_types, wait

if TYPE_CHECKING:
    from .backends import MmapTransport, PosixShmTransport
    from .read_set import FrameSet, ReadSet

__version__ = "2.0.0"

__all__ = [
    "AccessError",
    "ClosedError",
    "FormatError",
    "FrameSet",
    "MmapTransport",
    "NdShArray",
    "NdShArrayError",
    "PosixShmTransport",
    "ReadSet",
    "Segment",
    "Transport",
    "UnknownTransportError",
    "WriterExistsError",
    "__version__",
    "supported_types",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name in ("MmapTransport", "PosixShmTransport"):  # imported when they are used
        return getattr(backends, name)
    if name in ("FrameSet", "ReadSet"):
        from . import read_set

        return getattr(read_set, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)  # with the two that are not imported yet, without what is ours alone
