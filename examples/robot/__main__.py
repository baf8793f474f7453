"""Runs the robot: starts its parts, passes on what they print, and restarts each one that ends.

Try it: `kill -9` the process of any part. The others keep running, and find its arrays again.
Ctrl-C (or SIGTERM) ends all of them. `ndsharray view` shows meanwhile what they share.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PARTS = ("logger", "detector", "camera")
SHORTEST, LONGEST = 0.25, 8.0  # seconds before a restart; doubled while a part ends at once
GRACE = 3.0  # seconds that all parts get to close their arrays


def main() -> None:
    parser = argparse.ArgumentParser(prog="robot", description=__doc__)
    parser.add_argument("--seconds", type=float, help="end after this long (default: at Ctrl-C)")
    parser.add_argument("--log", default="robot.csv", help="(default: %(default)s)")
    parser.add_argument("--name", default="robot", help="of the arrays (default: %(default)s)")
    parser.add_argument("--transport", choices=["mmap", "posix_shm"])
    args = parser.parse_args()
    arguments = [f"--name={args.name}"]
    if args.transport:
        arguments.append(f"--transport={args.transport}")
    own = {"logger": [f"--log={args.log}"]}

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    until = time.monotonic() + (args.seconds or float("inf"))
    parts = [Part(name, [*arguments, *own.get(name, [])], stop) for name in PARTS]
    for part in parts:
        part.start()
    while not stop.wait(0.1):  # not for ever: on Windows, no signal ends a wait
        if time.monotonic() >= until:
            stop.set()
    for part in parts:
        part.terminate()
    give_up = time.monotonic() + GRACE
    for part in parts:
        part.join(max(0.0, give_up - time.monotonic()))
        part.kill()


class Part(threading.Thread):
    """A thread that runs one part of the robot, again and again until `stop` is set."""

    def __init__(self, name: str, arguments: list[str], stop: threading.Event) -> None:
        super().__init__(name=name)
        self._command = [
            sys.executable,
            "-u",  # a pipe would hold lines back
            *(f"-W{option}" for option in sys.warnoptions),
            str(FOLDER / f"{name}.py"),
            *arguments,
        ]
        self._stop_all = stop
        self._starting = threading.Lock()  # so that no child starts once the others were ended
        self._child: subprocess.Popen[str] | None = None

    def run(self) -> None:
        """Start the part, print its lines, and start it again whenever it ends."""
        pause = SHORTEST
        while child := self._start_child():
            began = time.monotonic()
            say("supervisor", f"{self.name} is process {child.pid}")
            with child:
                assert child.stdout is not None
                for line in child.stdout:
                    say(self.name, line.rstrip())
            if self._stop_all.is_set():
                return
            pause = SHORTEST if time.monotonic() - began > LONGEST else min(2 * pause, LONGEST)
            say("supervisor", f"{self.name} {fate(child.returncode)}; next try in {pause} s")
            self._stop_all.wait(pause)

    def _start_child(self) -> subprocess.Popen[str] | None:
        with self._starting:
            if self._stop_all.is_set():
                return None
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
            )
            return self._child

    def terminate(self) -> None:
        """End the part by SIGTERM, so that it closes its arrays."""
        with self._starting:
            if self._child:
                self._child.terminate()

    def kill(self) -> None:
        """End the part in any case."""
        if self._child:
            self._child.kill()


def fate(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended (exit code {code})"


def say(part: str, line: str) -> None:
    print(f"{part} | {line}\n", end="", flush=True)


if __name__ == "__main__":
    main()
