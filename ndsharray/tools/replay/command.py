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

_NOTHING, _USAGE, _LOST, _INTERRUPTED = 1, 2, 3, 130
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
        keys = _Keys(player, progress, options.step)
        listen(keys.obey, keys.end)
        while not stop.asked and not ended.acquire(timeout=_POLL) and not keys.are_done:
            if progress.is_due():
                _show(progress, player.status(), options.rate)
        by_signal = None
        if stop.asked and thread.is_alive():
            by_signal = 0 if options.loop else _INTERRUPTED  # a loop has no other end
        player.stop()
        thread.join()
        _show(progress, player.status(), options.rate)
        if errors:
            raise errors[0]
        return _finish(progress, player.status(), by_signal)


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


class _Keys:
    """Steps, or pauses and goes on, at each line; q ends."""

    def __init__(self, player: Player, progress: Progress, steps: bool) -> None:
        self._player, self._progress, self._steps = player, progress, steps
        self._asked, self._is_over = 0, False

    def obey(self, line: str) -> None:
        self._progress.typed()
        if line.lower() == "q":
            self._player.stop()
        elif self._steps:
            self._asked += 1
            self._player.step()
        elif self._player.status().is_paused:
            self._player.resume()
        else:
            self._player.pause()

    def end(self) -> None:
        """Note that no line comes any more."""
        self._is_over = True

    @property
    def are_done(self) -> bool:
        """Whether all steps were played, and nobody can ask for another one."""
        return self._steps and self._is_over and self._player.status().frames >= self._asked


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


def _finish(progress: Progress, status: Status, by_signal: int | None) -> int:
    """Say what was wrong, and return the exit code; `by_signal`: the one of an end by a signal."""
    if status.slipped:
        progress.note(f"too slow for this rate: all is {duration(status.slipped)} later")
    for note in status.notes:
        progress.note(note)
    if by_signal is None and not status.frames:
        progress.note("nothing to play")
        return _NOTHING
    return _LOST if status.is_incomplete else by_signal or 0
