"""How the bridges of one root know of each other: each publishes a small array, its mark.

A mark is named ``ndsharray.bridge/ID`` and holds, as JSON, the names that its bridge writes here. A
bridge exports no name of any mark, so nothing that came over a link goes out again; and it imports
nothing from a bridge whose mark is in its own root. A mark ends with its process, as arrays do.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable

import numpy as np

from ... import ArrayInfo, NdShArray, NdShArrayError, Transport
from ..._registry.probe import Probe

__all__ = ["Mark", "Marks", "is_mark"]

_PREFIX = "ndsharray.bridge/"


def is_mark(name: str) -> bool:
    """Tell whether an array of that name is a mark."""
    return name.startswith(_PREFIX)


class Mark:
    """The mark of this bridge: which names it writes."""

    def __init__(self, bridge: str, transport: Transport) -> None:
        self._transport = transport
        self._writer = NdShArray(_PREFIX + bridge, r_w="w", transport=transport)
        self.write(())

    def write(self, names: Iterable[str]) -> None:
        """Publish the names; to be called before the first of them has a writer."""
        text = json.dumps({"imports": sorted(names)}).encode()
        self._writer.write(np.frombuffer(text, np.uint8))

    def is_beside(self, bridge: str) -> bool:
        """Tell whether a bridge of that id runs over the same root."""
        with contextlib.closing(Probe(_PREFIX + bridge, self._transport)) as probe:
            return probe.state() == "live"

    def close(self) -> None:
        """Remove it."""
        self._writer.close()


class Marks:
    """The marks of a root, as an exporter reads them."""

    def __init__(self) -> None:
        self._readers: dict[tuple[str, str], NdShArray] = {}

    def imported(self, found: Iterable[tuple[ArrayInfo, Transport]]) -> set[str]:
        """Return the names that bridges write; `found`: the living arrays and their transports."""
        living = {(i.name, i.transport): transport for i, transport in found if is_mark(i.name)}
        for key in [key for key in self._readers if key not in living]:
            self._readers.pop(key).close()
        names: set[str] = set()
        for key, transport in living.items():
            if key not in self._readers:
                self._readers[key] = NdShArray(key[0], r_w="r", transport=transport)
            names |= _names_in(self._readers[key])
        return names

    def close(self) -> None:
        """Close the readers."""
        for reader in self._readers.values():
            reader.close()


def _names_in(reader: NdShArray) -> set[str]:
    try:
        return set(json.loads(reader.read()[1].tobytes())["imports"])
    except (NdShArrayError, LookupError, TypeError, ValueError):
        return set()  # no bridge wrote it
