"""Runs the robot: starts its parts, passes on what they print, and restarts each one that ends.

Try it: `kill -9` the process of any part. The others keep running, and find its arrays again.
Ctrl-C (or SIGTERM) ends all of them. `ndsharray view` shows meanwhile what they share.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PARTS = ("logger", "detector", "camera")
SHORTEST, LONGEST = 0.25, 8.0  # seconds before a restart; doubled while a part ends at once
GRACE = 3.0  # seconds that a part gets to close its arrays


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
    commands = {part: [*arguments, *own.get(part, [])] for part in PARTS}
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(supervise(commands, args.seconds))


async def supervise(commands: dict[str, list[str]], seconds: float | None) -> None:
    """Keep all parts running for so many seconds, or until a signal cancels them."""
    parts = asyncio.gather(*(keep(part, arguments) for part, arguments in commands.items()))
    with contextlib.suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, parts.cancel)
    with contextlib.suppress(asyncio.CancelledError, asyncio.TimeoutError):
        await asyncio.wait_for(parts, seconds)


async def keep(part: str, arguments: list[str]) -> None:
    """Run one part, and again whenever it ends, until this task is cancelled."""
    pause = SHORTEST
    while True:
        began = time.monotonic()
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-u",  # a pipe would hold lines back
            *(f"-W{option}" for option in sys.warnoptions),
            str(FOLDER / f"{part}.py"),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            print(f"supervisor | {part} is process {child.pid}", flush=True)
            await relay(part, child)
        finally:
            await end(part, child)
        pause = SHORTEST if time.monotonic() - began > LONGEST else min(2 * pause, LONGEST)
        print(f"supervisor | {part} {fate(child.returncode)}; next try in {pause} s", flush=True)
        await asyncio.sleep(pause)


async def relay(part: str, child: asyncio.subprocess.Process) -> None:
    """Print each line of a part behind its name, until the part ends."""
    assert child.stdout is not None
    async for line in child.stdout:
        print(f"{part} | {line.decode().rstrip()}", flush=True)
    await child.wait()


async def end(part: str, child: asyncio.subprocess.Process) -> None:
    """End a part that still runs: by SIGTERM, so that it closes its arrays; else by SIGKILL."""
    if child.returncode is None:
        child.terminate()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(relay(part, child), GRACE)
    if child.returncode is None:
        child.kill()
        await child.wait()


def fate(code: int | None) -> str:
    return f"was killed by signal {-code}" if code and code < 0 else f"ended (exit code {code})"


if __name__ == "__main__":
    main()
