"""The command's loop: start a player, show how far it is, listen to the keyboard."""

from __future__ import annotations

import argparse
import threading

from ... import WriterExistsError
from ..common import ToolError, duration, stop_on_signals
from ..recording.keyboard import listen
from ..recording.progress import Progress
from .player import Player, Status

__all__ = ["replay"]

_NOTHING, _USAGE, _LOST = 1, 2, 3
_POLL = 0.1  # seconds between two looks for the end


def replay(options: argparse.Namespace) -> int:
    """Play as the options say; return the exit code."""
    progress = Progress(options.json)
    with stop_on_signals() as stop, _player(options) as player:
        errors: list[BaseException] = []

        def play() -> None:
            try:
                player.run()
            except BaseException as error:
                errors.append(error)
            finally:
                ended.release()

        ended = threading.Semaphore(0)
        thread = threading.Thread(target=play, name="replay: player")
        thread.start()
        listen(lambda line: _obey(player, progress, options.step, line))
        while not stop.asked and not ended.acquire(timeout=_POLL):
            if progress.is_due():
                _show(progress, player.status(), options.rate)
        player.stop()
        thread.join()
        _show(progress, player.status(), options.rate)
        if errors:
            raise errors[0]
        return _finish(progress, player.status())


def _player(options: argparse.Namespace) -> Player:
    try:
        return Player(
            options.paths,
            rate=options.rate,
            loop=options.loop,
            start=options.start,
            end=options.end,
            only=options.only,
            rename=dict(options.rename),
            paused=options.paused or options.step,
            slots=options.slots,
            transport=options.transport,
            directory=options.root,
        )
    except WriterExistsError as error:
        raise ToolError(f"{error}; --rename {error.name}=OTHER plays beside it", _USAGE) from None
    except LookupError as error:
        raise ToolError(str(error.args[0]), _NOTHING) from None
    except ValueError as error:
        raise ToolError(str(error), _USAGE) from None


def _obey(player: Player, progress: Progress, steps: bool, line: str) -> None:
    """Step, or pause and go on, at each line; q ends."""
    progress.typed()
    if line.lower() == "q":
        player.stop()
    elif steps:
        player.step()
    elif player.status().is_paused:
        player.resume()
    else:
        player.pause()


def _show(progress: Progress, status: Status, rate: float) -> None:
    line = f"{status.position:.1f}/{status.length:.1f} s  x{rate:.2f}".replace(
        "xinf", "as fast as possible"
    )
    line += "  paused" if status.is_paused else f" ({status.behind * 1e3:.0f} ms behind)"
    line += f"  frames {status.frames}"
    if status.slipped:
        line += f"  slipped {duration(status.slipped)}"
    if status.damaged or status.torn:
        line += f"  damaged {status.damaged}  torn {status.torn}"
    progress.show([line], status.as_dict())


def _finish(progress: Progress, status: Status) -> int:
    if status.slipped:
        progress.note(f"too slow for this rate: all is {duration(status.slipped)} later")
    for note in status.notes:
        progress.note(note)
    if not status.frames:
        progress.note("nothing to play")
        return _NOTHING
    return _LOST if status.is_incomplete else 0
