"""A child process: does for one rival what the parent says, with numpy and that rival only.

In another interpreter `main` finds its connection as an inherited descriptor.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from rivals.base import Place, Rival

from harness.turns import Turns


class Child:
    """What one child has: its rival, the words it shares with its partner, and open ends.

    Attributes
    ----------
    ends : dict
        Open writers and readers, by role and number.
    kept : dict
        What a scenario's functions leave for its next call.
    """

    def __init__(self, rival: Rival, place: Place, turns: str) -> None:
        self.rival, self.place, self.turns = rival, place, Turns(turns)
        self.ends: dict[tuple[str, int], Any] = {}
        self.kept: dict[str, Any] = {}

    @property
    def module(self) -> Any:
        return importlib.import_module("rivals." + self.rival.module)

    def open(self, role: str, array: Any, generation: int, number: int = 0, **changes: Any) -> Any:
        """Return a new end: role is ``Writer`` or ``Reader``."""
        place = replace(self.place, number=number, **changes)
        place = replace(place, name=f"{self.place.name}.{generation}-{number}")
        end = getattr(self.module, role)(place, array, **self.rival.options)
        self.ends[role, number] = end
        return end

    @property
    def writer(self) -> Any:
        return self.ends["Writer", 0]

    @property
    def reader(self) -> Any:
        return self.ends["Reader", 0]

    def close(self) -> None:
        """Close all ends, and what the rival has opened for all of them."""
        self.kept.clear()
        while self.ends:
            self.ends.popitem()[1].close()
        module: Any = sys.modules.get("rivals." + self.rival.module)  # None: it is not installed
        if hasattr(module, "end"):
            for side in (0, 1):
                module.end(replace(self.place, side=side))


def serve(connection: Any, rival: Rival, place: Place, turns: str) -> None:
    """Answer calls until the parent has no more, or is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent gets them too, and ends its children
    child = Child(rival, place, turns)
    while True:
        try:
            call = connection.recv()
        except (EOFError, OSError):  # no more, or no parent
            break
        connection.send(answer(child, *call))
    child.close()


def answer(child: Child, function: str, arguments: dict[str, Any]) -> tuple[bool, Any]:
    """Return True and what ``module:function`` gives; or False and what went wrong."""
    module, name = function.split(":")
    try:
        return True, getattr(importlib.import_module(module), name)(child, **arguments)
    except Exception as error:  # the parent decides
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error}"
        return False, f"{text} ({os.path.basename(where.filename)}:{where.lineno})"


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    serve(connection, *connection.recv())
