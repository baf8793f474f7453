"""One offer of this bridge: a thread that sends the frames of one life of an array."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ... import NdShArray, Transport
from .counts import Counts, Lines
from .engine import Engine, Offer, Reply
from .message import Message
from .sources import UNREADABLE, Every, Newest

__all__ = ["Sending"]


class Sending:
    """Sends the frames of one life of an array to all who take them.

    Parameters
    ----------
    offer : Offer
        What the far side knows it by.
    where : Transport
        Where the array is.
    engine : Engine
        What carries it.
    every : int
        Bytes of frames that may wait for the link; 0: the newest frame alone.
    counts : Counts
        Those of the array.
    lines : Lines
        What tells people.
    restarted : callable
        Called when frames of another life come.
    """

    def __init__(
        self,
        offer: Offer,
        where: Transport,
        engine: Engine,
        every: int,
        counts: Counts,
        lines: Lines,
        restarted: Callable[[], None],
    ) -> None:
        self._name, self._where, self._every = offer.name, where, every
        self._most, self._counts, self._lines = engine.max_frame, counts, lines
        self._restarted, self._last_id = restarted, 0
        self._ended, self._at_once = False, False
        self._outlet = engine.offer(offer, self._answer)
        wanted = self._outlet.wanted
        try:
            reader = self._reader()
            self._source = (
                Every(reader, wanted, counts, every) if every else Newest(reader, wanted, counts)
            )
        except BaseException:
            self._outlet.close()
            raise
        self._thread = threading.Thread(target=self._run, name=f"bridge {offer.name}", daemon=True)
        self._thread.start()

    def _reader(self) -> NdShArray:
        return NdShArray(self._name, r_w="r", transport=self._where)

    def _run(self) -> None:
        try:
            while not self._ended:
                message = self._source.next()
                if message is not None:
                    self._send(message)
            for message in () if self._at_once else self._source.rest():
                self._send(message)
        except UNREADABLE as error:
            self._say(f"is not sent any more: {_reason(error)}")
        finally:
            self._outlet.close()
            self._source.close()

    def _send(self, message: Message) -> None:
        if message.frame_id <= self._last_id:  # of a writer that began again
            self._restarted()
            return
        if self._is_too_large(message):
            self._counts.refused += 1
            return
        self._last_id = message.frame_id  # beforehand: who asks meanwhile may have missed it
        try:
            self._outlet.send(message.head, message.payload)
        except OSError as error:
            self._counts.dropped += 1
            self._say(f"is not sent: {error}")
            return
        self._counts.add(len(message.payload))
        self._lines.forget("out", self._name)

    def _is_too_large(self, message: Message) -> bool:
        if len(message.payload) <= self._most:
            return False
        self._say(f"is not sent: {len(message.payload)} bytes, the link takes {self._most}")
        return True

    def _say(self, line: str) -> None:
        self._lines.say("out", self._name, f"{self._name!r} {line}")

    def _answer(self, reply: Reply) -> None:
        """Send the newest frame to one who asks, unless the thread is about to send it to all."""
        always = threading.Event()
        always.set()
        try:
            source = Newest(self._reader(), always, Counts(self._name, "out"))
            try:
                message = source.next(0)
                if message is None or message.frame_id > self._last_id:
                    return
                if not self._is_too_large(message):
                    reply(message.head, message.payload)
            finally:
                source.close()
        except UNREADABLE as error:
            self._say(f"cannot be read: {_reason(error)}")

    def end(self, *, at_once: bool = False) -> None:
        """Ask for the end; what the writer published last is still sent, if not `at_once`."""
        self._at_once = at_once
        self._ended = True

    def join(self, timeout: float) -> None:
        """Wait for the end, `timeout` seconds at most."""
        self._thread.join(timeout)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__  # Python's MemoryError says nothing
