"""Commands on a terminal: whatever ends them, and whatever the terminal can do."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest
from patience import PATIENCE
from terminals import OnTerminal

from ndsharray import NdShArray

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and terminals of POSIX")


@pytest.fixture
def camera() -> Iterator[NdShArray]:
    with NdShArray("camera", np.zeros((48, 64), np.uint8), "w") as writer:
        yield writer


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_watch_gives_the_terminal_back_whatever_ends_it(camera: NdShArray, number: int) -> None:
    with OnTerminal("watch") as watch:
        watch.until("\x1b[J")
        os.kill(watch.process.pid, number)
        watch.end()


def test_watch_leaves_the_screen_while_it_is_stopped(camera: NdShArray) -> None:
    with OnTerminal("watch") as watch:
        watch.until("\x1b[J")
        os.kill(watch.process.pid, signal.SIGTSTP)
        watch.until("\x1b[?1049l")
        assert os.WIFSTOPPED(os.waitpid(watch.process.pid, os.WUNTRACED)[1])
        watch.text = ""
        os.kill(watch.process.pid, signal.SIGCONT)
        watch.until("\x1b[?1049h")
        watch.until("\x1b[J")
        os.write(watch.fd, b"q")
        watch.end()


@pytest.mark.parametrize(
    ("term", "size", "line"),
    [("dumb", "80x24", "48x64 uint8"), ("xterm", "15x24", "camera  live\r\n")],
)
def test_on_a_dumb_or_tiny_terminal_watch_prints_lines(
    camera: NdShArray, term: str, size: str, line: str
) -> None:
    with OnTerminal("watch", "--count", "1", term=term, size=size) as watch:
        text = watch.until(line)
        assert watch.process.wait(PATIENCE) == 0
        assert "\x1b" not in text


def test_show_draws_in_colours_on_a_terminal(camera: NdShArray) -> None:
    camera.write(np.tile(np.uint8([[0], [255]]), (24, 64)))  # black lines and white ones
    with OnTerminal("show", "camera") as show:
        assert "\x1b[38;5;16;48;5;231m\u2580" in show.until("\x1b[0m")
        assert show.process.wait(PATIENCE) == 0
