"""Asking for the newest frame until there is one: an answer may be lost, as links are."""

from __future__ import annotations

import threading
import time

from .engine import Engine, Offer, Receive

__all__ = ["Question"]

_FIRST, _MOST = 2.0, 16.0  # seconds until it is repeated: the first time, and at most


class Question:
    """Asks for the newest frame of an offer, and again after a while if no answer came.

    Parameters
    ----------
    engine : Engine
        What carries it.
    offer : Offer
        Whose frame.
    receive : callable
        Gets the frame.
    """

    def __init__(self, engine: Engine, offer: Offer, receive: Receive) -> None:
        self._engine, self._offer, self._receive = engine, offer, receive
        self.begin()

    def begin(self) -> None:
        """Want a frame from now on."""
        self._over = threading.Event()
        self._over.set()  # what was asked before may have been lost with the link
        self._due, self._pause, self._is_open = 0.0, _FIRST, True

    def end(self) -> None:
        """Note that a frame has come."""
        self._is_open = False

    def ask_if_due(self) -> None:
        """Ask, unless an answer may still come: a slow link need not carry the frame twice."""
        now = time.monotonic()
        if self._is_open and self._over.is_set() and now >= self._due:
            self._due, self._pause = now + self._pause, min(2 * self._pause, _MOST)
            self._over = self._engine.ask(self._offer, self._receive)
