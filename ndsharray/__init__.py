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
    NoArrayError,
    UnknownTransportError,
    WriterExistsError,
)
from .ndsharray import NdShArray, supported_types, wait

if TYPE_CHECKING:
    from ._registry.inspection import ArrayInfo, SlotInfo, arrays, info
    from .backends import MmapTransport, PosixShmTransport

__version__ = "2.0.0"

__all__ = [
    "AccessError",
    "ArrayInfo",
    "ClosedError",
    "FormatError",
    "MmapTransport",
    "NdShArray",
    "NdShArrayError",
    "NoArrayError",
    "PosixShmTransport",
    "Segment",
    "SlotInfo",
    "Transport",
    "UnknownTransportError",
    "WriterExistsError",
    "__version__",
    "arrays",
    "info",
    "supported_types",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name in ("MmapTransport", "PosixShmTransport"):  # imported when they are used
        return getattr(backends, name)
    if name in ("ArrayInfo", "SlotInfo", "arrays", "info"):  # slow to import
        from ._registry import inspection

        return getattr(inspection, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)  # with those that are not imported yet, without what is ours alone
