"""Starts the two sides of one example as two processes and waits for both.

The rule that makes it work without a timer: a consumer prints its first line once its reader is
made, and only then is the producer started. So the consumer misses no frame for having started
slowly. (By hand any order will do: a reader may be there before its writer.)
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

GRACE = 2.0  # seconds that a child gets to close its arrays before it is told more firmly


def run(
    folder: Path,
    *,
    both: Sequence[str] = (),
    consumer: Sequence[str] = (),
    fixed: Sequence[str] = (),
) -> int:
    """Run `folder`'s consumer.py and producer.py; 0 if both succeed.

    `both` and `consumer` name the options that both sides, or the consumer alone, understand.
    Whatever else stands on the command line is the producer's. `fixed` is given to both.
    """
    parser = argparse.ArgumentParser(
        prog=folder.name,
        description="Runs both sides of this example. All other arguments are the producer's;"
        " `producer.py --help` and `consumer.py --help` explain them.",
        allow_abbrev=False,
    )
    shared_options = ["--name", "--transport", *both]
    for option in [*shared_options, *consumer]:
        parser.add_argument(option)
    args, for_producer = parser.parse_known_args()
    given = {"--" + key: value for key, value in vars(args).items() if value is not None}
    shared = [f"{option}={given[option]}" for option in shared_options if option in given]
    for_consumer = [f"{option}={given[option]}" for option in consumer if option in given]

    children: list[subprocess.Popen[str]] = []
    ended: queue.Queue[tuple[str, int]] = queue.Queue()
    heed_signals()
    try:
        spoke = start(folder, "consumer", [*fixed, *shared, *for_consumer], children, ended)
        spoke.wait()
        if ended.empty():
            start(folder, "producer", [*fixed, *shared, *for_producer], children, ended)
        for _ in range(len(children)):
            side, code = ended.get()
            if code != 0:
                print(f"the {side} failed (exit code {code})", file=sys.stderr)
                return 1
        return 0
    except KeyboardInterrupt:
        # A terminal sends Ctrl-C to the children as well: they are ending already.
        wait(children)
        return 130
    finally:
        end(children)


def heed_signals() -> None:
    """Have SIGTERM raise SystemExit, as Ctrl-C raises KeyboardInterrupt: `finally` is run."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # A shell's background job ignores Ctrl-C. So would its children, which `end` sends just that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def start(
    folder: Path,
    side: str,
    arguments: Sequence[str],
    children: list[subprocess.Popen[str]],
    ended: queue.Queue[tuple[str, int]],
) -> threading.Event:
    """Start one side and pass on what it prints; the event tells its first line (or its end)."""
    child = subprocess.Popen(
        [
            sys.executable,
            "-u",  # a pipe would hold lines back
            *(f"-W{option}" for option in sys.warnoptions),
            str(folder / f"{side}.py"),
            *arguments,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    children.append(child)
    spoke = threading.Event()

    def relay() -> None:
        assert child.stdout is not None
        try:
            with child.stdout:
                for line in child.stdout:
                    print(f"{side} | {line}", end="", flush=True)
                    spoke.set()
        finally:  # also when our own output is closed
            ended.put((side, child.wait()))
            spoke.set()

    threading.Thread(target=relay, name=side).start()
    return spoke


def wait(children: Sequence[subprocess.Popen[str]]) -> None:
    """Give the children a moment to end by themselves."""
    give_up = time.monotonic() + GRACE
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=max(0.0, give_up - time.monotonic()))


def end(children: Sequence[subprocess.Popen[str]]) -> None:
    """End those of `children` that still run: as Ctrl-C does, so that they close their arrays."""
    for child in children:
        if child.poll() is None:
            # Windows cannot send a Ctrl-C to one process.
            child.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)
    wait(children)
    for child in children:
        if child.poll() is None:
            child.kill()
            child.wait()
