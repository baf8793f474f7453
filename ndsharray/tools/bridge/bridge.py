"""A bridge: takes arrays of one machine to others, where they are ordinary arrays again."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ... import Transport, backends
from ..._registry import inspection
from .counts import Lines, Totals
from .engine import Engine
from .exports import Exports
from .imports import Imports
from .marks import Mark

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Bridge"]

MAX_MEMORY = 256 << 20
_PATIENCE = 2.0  # seconds that a thread which sends gets to end before its link is cut


class Bridge:
    """Export arrays of this machine by name, and import those of others, until `close`.

    Each exported array that lives appears wherever a bridge imports its name, under the same name,
    with the same dtype, shape, bytes and stamp (`NdShArray.time_ns`). It is closed there when its
    writer closes it or is killed, when this bridge ends, or when the link is lost; and comes back
    by itself. Frame numbers are those of the writer over there, which begins with 1.

    Parameters
    ----------
    engine : Engine
        What carries the arrays: ``ZenohEngine(...)``. The bridge closes it.
    export : sequence of str
        Names or globs (``cam*``) of the arrays that others may have. Nothing else leaves.
    import_ : sequence of str
        Names or globs of arrays that are made here. One that has a living writer here is not.
    every : bool
        Send every frame, as far as the writer's slots and `max_memory` reach, instead of the
        newest one whenever the link is free.
    slots : int
        Slots of imported arrays, 2 to 250.
    max_memory : int
        Bytes of frames that may wait, for each array and end, if every frame is sent.
    transport : Transport or str, optional
        As for `NdShArray`; exports are looked for on all known ones by default.
    directory : str or path, optional
        The root. Default: ``NDSHARRAY_DIR``, else the user's.
    report : callable, optional
        Gets each line about what was refused and why; default: the logger ``ndsharray.bridge``.

    Raises
    ------
    ValueError
        If there is nothing to export or import.
    OSError, NdShArrayError
        If the root cannot be used.

    Examples
    --------
    On the machine with the camera, and on the one that wants its frames::

        with Bridge(ZenohEngine(listen=["tcp/10.0.0.1:7447"]), export=["camera"]):
            ...
        with Bridge(ZenohEngine(connect=["tcp/10.0.0.1:7447"]), import_=["camera"]):
            ...
    """

    def __init__(
        self,
        engine: Engine,
        *,
        export: Sequence[str] = (),
        import_: Sequence[str] = (),
        every: bool = False,
        slots: int = 3,
        max_memory: int = MAX_MEMORY,
        transport: Transport | str | None = None,
        directory: str | os.PathLike[str] | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        if isinstance(export, str) or isinstance(import_, str):
            raise TypeError("export and import_ are sequences of names, not one name")
        if not export and not import_:
            raise ValueError("a bridge needs names to export or to import")
        self._engine = engine
        self.id = uuid.uuid4().hex[:16]
        where = backends.at(transport, directory)
        lines = Lines(report or logging.getLogger("ndsharray.bridge").warning)
        self._mark = Mark(self.id, where)

        def look_at() -> list[Transport]:
            return inspection.transports(transport, directory)

        self._exports = Exports(self.id, engine, export, look_at, max_memory if every else 0, lines)
        self._imports = Imports(
            self.id, engine, import_, where, slots, max_memory, self._mark, lines
        )

    def counts(self) -> list[Totals]:
        """Return what was done for each array, exports first, by name."""
        counts = [*self._exports.counts.values(), *self._imports.counts.values()]
        return sorted((c.totals() for c in counts), key=lambda t: (t.direction == "in", t.name))

    def close(self) -> None:
        """Withdraw the exports, close the imported arrays. Harmless when repeated."""
        self._imports.close()
        self._exports.end()
        self._exports.join(_PATIENCE)
        self._engine.close()
        self._exports.join(_PATIENCE)
        self._mark.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
