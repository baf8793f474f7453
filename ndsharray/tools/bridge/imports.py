"""The half of a bridge that receives: which offers it takes, and what it refuses.

One thread decides; the engine only tells it what is offered. Not here: what becomes of the frames
(``taking``).
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Sequence

from ... import NdShArrayError, NoArrayError, Transport
from ..._registry.probe import Probe
from ...backends.base import check_name
from ..common import fits
from .counts import Lines, Table
from .engine import Engine, Offer
from .marks import Mark, is_mark
from .taking import Taking

__all__ = ["Imports"]

_RETRY = 1.0  # seconds until what was refused is tried again
_GRACE = 0.25  # seconds in which the last frame may come after its offer has gone
_SHORT = 0.02
_OFFERS, _ARRAYS = 4096, 256  # that are remembered, and taken, at most


class Imports:
    """Takes what other bridges offer under some names, and writes it here.

    Parameters
    ----------
    bridge : str
        The id of this bridge.
    engine : Engine
        What carries it.
    patterns : sequence of str
        Names or globs.
    where : Transport
        Where the arrays are made.
    slots : int
        Their slots.
    limit : int
        Bytes of frames that may wait for each writer.
    mark : Mark
        That of this bridge.
    lines : Lines
        What tells people.
    """

    def __init__(
        self,
        bridge: str,
        engine: Engine,
        patterns: Sequence[str],
        where: Transport,
        slots: int,
        limit: int,
        mark: Mark,
        lines: Lines,
    ) -> None:
        self._bridge, self._engine, self._patterns = bridge, engine, patterns
        self._where, self._slots, self._limit = where, slots, limit
        self._mark, self._lines = mark, lines
        self._lock = threading.Lock()
        self._offers: dict[Offer, int] = {}  # in the order in which they came; its number
        self._appearances = itertools.count()
        self._takings: dict[str, Taking] = {}
        self.counts = Table("in")
        self._news, self._closed = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="bridge imports", daemon=True)
        if patterns:
            engine.watch(self._appeared, self._vanished)
            self._thread.start()

    # --- what is offered; called from any thread

    def _appeared(self, offer: Offer) -> None:
        if not self._is_ours(offer):
            return
        with self._lock:
            if len(self._offers) >= _OFFERS:
                return  # a flood: what has vanished makes room
            self._offers.setdefault(offer, next(self._appearances))
        self._news.set()

    def _is_ours(self, offer: Offer) -> bool:
        if offer.bridge == self._bridge or is_mark(offer.name):
            return False
        try:
            check_name(offer.name)
        except ValueError:
            return False
        return fits(offer.name, self._patterns)

    def _vanished(self, offer: Offer) -> None:
        with self._lock:
            self._offers.pop(offer, None)
        self._news.set()

    # --- what becomes of it; in one thread

    def _run(self) -> None:
        while not self._closed:
            self._news.clear()
            with self._lock:
                offers = dict(self._offers)
            ending = False
            try:
                ending = self._end_those_that_vanished(offers)
                self._begin(offers)
            except (NdShArrayError, OSError) as error:  # there is no room for the mark, mostly
                self._lines.say("in", "", f"imports wait: {error}; tried again every second")
            self._news.wait(_SHORT if ending else _RETRY)

    def _end_those_that_vanished(self, offers: dict[Offer, int]) -> bool:
        """End what is over; return whether some are about to end."""
        now, ending = time.monotonic(), False
        for name, taking in list(self._takings.items()):
            if taking.offer in offers and not taking.has_failed:
                if taking.appearance != offers[taking.offer]:
                    taking.appearance = offers[taking.offer]
                    taking.came_back()
                taking.vanished_at = None
                continue
            if taking.vanished_at is None:
                taking.vanished_at = now
            next_life = any(o.name == name and o.bridge == taking.offer.bridge for o in offers)
            if taking.has_failed or next_life or now - taking.vanished_at >= _GRACE:
                del self._takings[name]
                taking.close()
                self._mark.write(self._takings)
            else:
                ending = True
        return ending

    def _begin(self, offers: dict[Offer, int]) -> None:
        for offer in offers:
            taking = self._takings.get(offer.name)
            if taking is None:
                self._take(offer, offers[offer])
            elif taking.offer.bridge != offer.bridge and taking.vanished_at is None:
                other = f"{offer.name!r} of bridge {offer.bridge} is not imported: "
                self._say(offer, other + f"that of bridge {taking.offer.bridge} is")

    def _take(self, offer: Offer, appearance: int) -> None:
        if len(self._takings) >= _ARRAYS:  # guard: bridge-bounded
            self._lines.say(
                "in", "", f"{_ARRAYS} arrays are imported, and others that are offered are not"
            )
            return
        if self._mark.is_beside(offer.bridge):  # it offers what is here; guard: bridge-beside
            return
        problem = self._why_not(offer)
        if problem is None:
            counts = self.counts.of(offer.name, self._takings)
            self._mark.write([*self._takings, offer.name])
            try:
                self._takings[offer.name] = Taking(
                    *(offer, appearance, self._where, self._slots, self._engine, self._limit),
                    counts,
                    self._lines,
                )
                self._lines.forget(f"offer of {offer.bridge}", offer.name)
                return
            except (NdShArrayError, OSError) as error:
                problem = str(error)
                self._mark.write(self._takings)
        self._say(offer, f"{offer.name!r} is not imported: {problem}; tried again every second")

    def _why_not(self, offer: Offer) -> str | None:
        """Return why an offer cannot be taken now."""
        with contextlib.closing(Probe(offer.name, self._where)) as probe:
            try:
                found = probe.info()
            except NoArrayError:
                return None
            except OSError as error:
                return str(error)
        if found.state != "live":  # guard: bridge-spares-a-living-writer
            return None
        # Asked for beforehand: a writer of this very process would give its array away.
        return f"it has a living writer here, process {found.pid}"

    def _say(self, offer: Offer, line: str) -> None:
        self._lines.say(f"offer of {offer.bridge}", offer.name, line)

    def close(self) -> None:
        """Close all arrays that come from other bridges."""
        self._closed = True
        self._news.set()
        if self._thread.is_alive():
            self._thread.join()
        for taking in self._takings.values():
            taking.close()
        self._takings.clear()
