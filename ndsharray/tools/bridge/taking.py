"""One offer of another bridge: a thread that writes its frames here, as an ordinary array.

What comes over a link is somebody else's: it is refused and counted unless its head describes its
payload, and nothing of it is executed or trusted further.
"""

from __future__ import annotations

import threading

from ... import ClosedError, FormatError, NdShArray, Transport, WriterExistsError
from .counts import Counts, Lines
from .engine import Engine, Offer, Payload
from .message import Decoder, array_of
from .place import Place

__all__ = ["Taking"]

_LOOK = 0.25  # seconds until a thread looks whether it is to end


class Taking:
    """Writes the frames of one offer.

    Parameters
    ----------
    offer : Offer
        What is taken.
    where : Transport
        Where the array is made.
    slots : int
        Its slots.
    engine : Engine
        What carries it.
    limit : int
        Bytes of frames that may wait for the writer, if the far side sends every frame.
    counts : Counts
        Those of the array.
    lines : Lines
        What tells people.

    Raises
    ------
    WriterExistsError
        If the name has a living writer here.
    NdShArrayError, OSError
        If the array cannot be made.
    """

    def __init__(
        self,
        offer: Offer,
        where: Transport,
        slots: int,
        engine: Engine,
        limit: int,
        counts: Counts,
        lines: Lines,
    ) -> None:
        self.offer, self._counts, self._lines = offer, counts, lines
        self.vanished_at: float | None = None  # when its offer went, by the monotonic clock
        self._decoder, self._last_id, self._closed = Decoder(), 0, False
        self._place: Place[tuple[bytes, Payload]] = Place(limit)
        self._writer = NdShArray(offer.name, r_w="w", transport=where, slots=slots)
        self._thread = threading.Thread(target=self._run, name=f"bridge {offer.name}", daemon=True)
        try:
            self._stop = engine.take(offer, self._receive)
        except BaseException:
            self._writer.close()
            raise
        self._thread.start()

    @property
    def has_failed(self) -> bool:
        """Whether another writer took the name."""
        return not self._thread.is_alive()

    def _receive(self, head: bytes, payload: Payload) -> None:
        """Keep a message for the thread; in a thread of the engine's."""
        every = Decoder.is_every(head)
        self._place.put((head, payload), len(payload), alone=not every)

    def _run(self) -> None:
        while not self._closed:
            message = self._place.take(_LOOK)
            if message is not None and not self._write(*message):
                return

    def _write(self, head: bytes, payload: Payload) -> bool:
        """Write a frame; return False if the array is somebody else's now."""
        try:
            said = self._decoder.head(head, len(payload))
            if said.frame_id <= self._last_id:  # guard: bridge-numbers-rise
                return True  # it came twice: as the newest one, and in turn
            self._writer.write(array_of(said.layout, payload.to_bytes()), time_ns=said.time_ns)
        except (ClosedError, WriterExistsError) as error:
            self._say(f"is not imported any more: {error}")
            return False
        except (FormatError, OSError, MemoryError) as error:
            self._counts.refused += 1
            self._say(f"a frame is refused: {error}")
            return True
        if self._last_id:
            self._counts.dropped += said.frame_id - self._last_id - 1
        self._last_id = said.frame_id
        self._counts.add(said.layout.nbytes)
        self._lines.forget("in", self.offer.name)
        return True

    def _say(self, line: str) -> None:
        self._lines.say("in", self.offer.name, f"{self.offer.name!r} {line}")

    def close(self) -> None:
        """End the thread, and close the array."""
        self._stop()
        self._closed = True
        self._place.close()
        self._thread.join()
        self._writer.close()
