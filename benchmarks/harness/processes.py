"""The two processes of a rival: their start, what is said to them, and their end."""

from __future__ import annotations

import glob
import importlib
import multiprocessing
import os
import re
import subprocess
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NamedTuple

from rivals.base import Place, Rival

from harness import child
from harness.turns import ABORT, Turns

Call = tuple[str, dict[str, Any]]

# What another interpreter runs: in place of the current directory, ours and the one it was given.
START = "import sys; sys.path[:1] = sys.argv[2:]; from harness.child import main; main()"
BENCHMARKS = str(Path(__file__).resolve().parents[1])

_context = multiprocessing.get_context("spawn")


class Interpreter(NamedTuple):
    """What a rival's processes run on, where that is not this process's interpreter and path.

    Attributes
    ----------
    python : str
        The interpreter's file.
    path : str or None
        A directory that it imports from first, so a package there hides an installed one.
    """

    python: str
    path: str | None = None


class Failed(Exception):
    """A rival could not do what was asked; the text says why."""


class Child:
    """One child process.

    Attributes
    ----------
    mapped : set of str
        Files in memory that it has open: what is left of them when all have ended was its own.
    """

    def __init__(
        self, rival: Rival, place: Place, turns: str, interpreter: Interpreter | None
    ) -> None:
        self._connection, theirs = _context.Pipe()
        self.mapped: set[str] = set()
        if interpreter is None:
            arguments = (theirs, rival, place, turns)
            self._process: Any = _context.Process(target=child.serve, args=arguments, daemon=True)
            self._process.start()
        else:
            # -E: its own packages, whatever PYTHONPATH says.
            command = [interpreter.python, "-E", "-c", START, str(theirs.fileno()), BENCHMARKS]
            command += [interpreter.path] if interpreter.path else []
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
            self._connection.send((rival, place, turns))
        self.pid = self._process.pid
        theirs.close()

    def fileno(self) -> int:
        return self._connection.fileno()

    def ask(self, function: str, arguments: dict[str, Any]) -> None:
        try:
            self._connection.send((function, arguments))
        except OSError:
            raise self._death() from None

    def result(self) -> Any:
        """Return what the last call gave.

        Raises
        ------
        Failed
            If it raised, or the process has died.
        """
        try:
            fine, value = self._connection.recv()
        except (EOFError, OSError):
            raise self._death() from None
        if not fine:
            raise Failed(value)
        return value

    def do(self, function: str, **arguments: Any) -> Any:
        self.ask(function, arguments)
        return self.result()

    def _death(self) -> Failed:
        return Failed(f"the process died, exit code {self._wait()}")

    def _wait(self) -> int | None:
        if isinstance(self._process, subprocess.Popen):
            try:
                return self._process.wait(5)
            except subprocess.TimeoutExpired:
                return None
        self._process.join(5)
        return self._process.exitcode

    def stop(self) -> None:
        self.mapped |= mapped_files(self.pid)
        self._connection.close()
        if self._wait() is None:
            self._process.kill()
            self._wait()


def mapped_files(pid: int) -> set[str]:
    """Return the files of /dev/shm that the process has mapped."""
    try:
        text = Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return set()
    # Semaphores are left to multiprocessing, which keeps account of them.
    return set(re.findall(r"(/dev/shm/(?!sem\.)\S+)$", text, re.MULTILINE))


class Pair:
    """The writing and the reading process of a rival.

    Parameters
    ----------
    rival : Rival
        Whose.
    root : str
        The run's directory.
    label : str
        A name for it that no other run and no other pair has.
    interpreter : Interpreter or None
        Another one for it.
    """

    def __init__(
        self, rival: Rival, root: str, label: str, interpreter: Interpreter | None
    ) -> None:
        self.rival, self._interpreter = rival, interpreter
        self._place = Place(root, label)
        self._path = os.path.join(root, label + ".turns")
        self.turns = Turns(self._path)
        self._left: set[str] = set()
        self.more: list[Child] = []
        self.generation = 0
        self.start()

    def start(self) -> None:
        self.turns.reset()
        place = self._place
        if self.rival.channels:
            module = importlib.import_module("rivals." + self.rival.module)
            made = tuple(module.make_channel(_context) for _ in range(self.rival.channels))
            place = replace(place, channels=made)
        self._shared = place
        self.writer = Child(self.rival, place, self._path, self._interpreter)
        self.reader = Child(self.rival, replace(place, side=1), self._path, self._interpreter)

    def add_readers(self, count: int) -> None:
        """Start processes for more readers."""
        place = replace(self._shared, side=1)
        while len(self.more) < count:
            self.more.append(Child(self.rival, place, self._path, self._interpreter))

    def stop(self) -> None:
        """End all processes; remove the files that they left, also those of killed ones."""
        self.stop_more()
        for each in (self.reader, self.writer):
            each.stop()
            self._left |= each.mapped
        root = self._place.root + os.sep
        for file in self._left | set(glob.glob(f"/dev/shm/{self._place.name}*")):
            if not file.startswith(root) and os.path.isfile(file):
                os.unlink(file)
        self._left.clear()

    def stop_more(self) -> None:
        """End the processes of more readers."""
        while self.more:
            each = self.more.pop()
            each.stop()
            self._left |= each.mapped

    def close(self) -> None:
        """Close all ends, readers first."""
        for each in [*self.more, self.reader, self.writer]:
            each.do("harness.ends:close_ends")

    def drain(self, numbers: int = 1) -> None:
        """Have the reader take what is still under way: some rivals keep all."""
        self.reader.do("harness.ends:read_rest", numbers=list(range(numbers)))

    def restart(self) -> None:
        """Begin again after a failure."""
        self.stop()
        self.start()

    def together(self, writer: Call, reader: Call) -> tuple[Any, Any]:
        """Have both sides do something at the same time; return what each gave."""
        self.writer.ask(*writer)
        self.reader.ask(*reader)
        return self._collect([self.writer, self.reader])

    def _collect(self, children: list[Child]) -> Any:
        results: dict[int, Any] = {}
        failure: Failed | None = None
        waiting = list(children)
        while waiting:
            for each in wait(waiting):
                try:
                    results[each.pid] = each.result()  # type: ignore[union-attr]
                except Failed as error:
                    if failure is None or "Aborted" in str(failure):
                        failure = error
                    self.turns[ABORT] = 1
                waiting.remove(each)  # type: ignore[arg-type]
        if failure is not None:
            self.turns[ABORT] = 0
            raise failure
        return tuple(results[each.pid] for each in children)


def make_label(root: str, number: int) -> str:
    return f"{os.path.basename(root)}-{number}"
