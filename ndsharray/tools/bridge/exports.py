"""The half of a bridge that sends: which living arrays it offers.

Not here: how the frames of one are read and sent (``sending``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from ... import ArrayInfo, NdShArrayError, Transport
from ..._registry import inspection
from ..common import fits
from .counts import Lines, Table
from .engine import Engine, Offer
from .marks import Marks, is_mark
from .sending import Sending

__all__ = ["Exports"]

_LOOK = 0.25  # seconds between two looks at which arrays there are


class Exports:
    """Offers the living arrays of some names, as long as they live.

    Parameters
    ----------
    bridge : str
        The id of this bridge.
    engine : Engine
        What carries them.
    patterns : sequence of str
        Names or globs.
    transports : callable
        Returns the transports to look at.
    every : int
        Bytes of frames that may wait for the link; 0: the newest frame alone.
    lines : Lines
        What tells people.
    """

    def __init__(
        self,
        bridge: str,
        engine: Engine,
        patterns: Sequence[str],
        transports: Callable[[], list[Transport]],
        every: int,
        lines: Lines,
    ) -> None:
        self._bridge, self._engine, self._patterns = bridge, engine, patterns
        self._transports, self._every, self._lines = transports, every, lines
        self._marks = Marks()
        self._exports: dict[Offer, Sending] = {}
        self.counts = Table("out")
        self._look_now, self._closed = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="bridge exports", daemon=True)
        if patterns:
            self._thread.start()

    def _run(self) -> None:
        while not self._closed:
            self._look_now.clear()
            self._look()
            self._look_now.wait(_LOOK)

    def _look(self) -> None:
        """End the exports whose writers have gone, and begin those of new ones."""
        try:
            living = {self._offer(info): (info, where) for info, where in self._living()}
        except (OSError, NdShArrayError) as error:
            self._lines.say("out", "", f"cannot look for arrays: {error}")
            return
        for offer in [offer for offer in self._exports if offer not in living]:
            self._exports.pop(offer).end()
        for offer, (_, where) in living.items():
            if offer not in self._exports:
                self._begin(offer, where)

    def _living(self) -> list[tuple[ArrayInfo, Transport]]:
        found = [
            (info, where)
            for where in self._transports()
            for info in inspection.arrays(transport=where)
            if info.state == "live" and info.since_ns
        ]
        imported = self._marks.imported(found)  # guard: bridge-exports-no-import
        return [(info, w) for info, w in found if info.name not in imported and self._is_ours(info)]

    def _is_ours(self, info: ArrayInfo) -> bool:
        return not is_mark(info.name) and fits(info.name, self._patterns)

    def _offer(self, info: ArrayInfo) -> Offer:
        return Offer(self._bridge, info.since_ns or 0, info.name)

    def _begin(self, offer: Offer, where: Transport) -> None:
        counts = self.counts.of(offer.name, {each.name for each in self._exports})
        try:
            self._exports[offer] = Sending(
                offer, where, self._engine, self._every, counts, self._lines, self._look_now.set
            )
        except (OSError, NdShArrayError) as error:
            self._lines.say("out", offer.name, f"{offer.name!r} is not exported: {error}")

    def end(self) -> None:
        """Ask all threads to end."""
        self._closed = True
        self._look_now.set()
        if self._thread.is_alive():
            self._thread.join()
        for export in self._exports.values():
            export.end(at_once=True)

    def join(self, timeout: float) -> None:
        """Wait for them, `timeout` seconds for each at most."""
        for export in self._exports.values():
            export.join(timeout)
        self._marks.close()
