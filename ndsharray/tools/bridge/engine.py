"""The contract of an engine: how frames and the life of arrays travel between machines.

Not here: which arrays travel, what a head holds, what becomes of a frame; that is the bridge's.
An engine for something else than zenoh is a class of a package of its own, named by an entry point
of the group ``ndsharray.bridges``.
"""

from __future__ import annotations

import argparse
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

__all__ = ["Engine", "Offer", "Outlet", "Payload", "Receive", "Reply"]


class Offer(NamedTuple):
    """One life of one array, which a bridge offers.

    Attributes
    ----------
    bridge : str
        The id of the bridge that offers it: 16 hexadecimal digits.
    life : int
        Tells the lives of the array's writers apart, 0 to 2**64 - 1.
    name : str
        The array's name.
    """

    bridge: str
    life: int
    name: str


class Payload(Protocol):
    """A frame's bytes, as an engine has them."""

    def __len__(self) -> int: ...

    def to_bytes(self) -> bytes:
        """Return all bytes in one piece."""
        ...


Receive = Callable[[bytes, Payload], None]
"""Takes a head and a payload; fast, never raises, and is called from any thread."""

Reply = Callable[[bytes, "bytes | bytearray"], None]
"""Sends a head and a payload to the one who asked."""


class Outlet(ABC):
    """Where a bridge sends the frames of one offer.

    Attributes
    ----------
    wanted : threading.Event
        Set while somebody takes them.
    """

    wanted: threading.Event

    @abstractmethod
    def send(self, head: bytes, payload: bytes | bytearray) -> None:
        """Send a frame to all who take them: reliably, in order; it waits while the link is full.

        The payload may change after the call.

        Raises
        ------
        OSError
            If it could not be sent; it is lost.
        """

    @abstractmethod
    def close(self) -> None:
        """Withdraw the offer; the far side learns it. Harmless when repeated."""


class Engine(ABC):
    """Carries offers and frames between bridges, over a link that comes and goes by itself.

    Attributes
    ----------
    HELP : str
        What it is, in a line.
    max_frame : int
        Bytes that a payload has at most.
    """

    HELP: str = ""
    max_frame: int

    @classmethod
    @abstractmethod
    def arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add its arguments to those of ``ndsharray bridge NAME``."""

    @classmethod
    @abstractmethod
    def of_options(cls, options: argparse.Namespace) -> Engine:
        """Return one as the command line says."""

    @abstractmethod
    def offer(self, offer: Offer, answer: Callable[[Reply], None]) -> Outlet:
        """Offer an array; `answer` is called for each one who asks for the newest frame.

        It is called from a thread of the engine's, where it may wait.

        Raises
        ------
        OSError
            If it cannot be offered now.
        """

    @abstractmethod
    def watch(self, appeared: Callable[[Offer], None], vanished: Callable[[Offer], None]) -> None:
        """Tell of the offers of other bridges: those that there are, and what changes.

        An offer vanishes when its outlet is closed, its process ends, or the link to it is lost.
        """

    @abstractmethod
    def take(self, offer: Offer, receive: Receive) -> Callable[[], None]:
        """Take the frames of an offer that are sent from now on; the result stops it.

        Raises
        ------
        OSError
            If they cannot be taken now.
        """

    @abstractmethod
    def ask(self, offer: Offer, receive: Receive) -> threading.Event:
        """Ask for the newest frame of an offer.

        Returns
        -------
        threading.Event
            Set when no answer will come any more. There may have been none: nothing was written
            yet, the frame is about to be sent to all who take them, or the link was lost.
        """

    @abstractmethod
    def close(self) -> None:
        """End all of it. Harmless when repeated."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
