"""The table of `ndsharray watch`, as lines."""

from __future__ import annotations

import argparse
import re
from typing import Any

import numpy as np
from commands import leave_killed, lines_of

from ndsharray import NdShArray
from ndsharray.tools import cli
from ndsharray.tools.common.meters import Meters
from ndsharray.tools.common.terminal import Terminal, width_of
from ndsharray.tools.watch import _page

SCREEN = Terminal(80, 24, 256, unicode=True, tty=True, cursor=True)


def page_of(screen: Terminal, first: int = 0) -> list[str]:
    options = argparse.Namespace(
        names=[], transport=None, root=None, wait=False, json=False, window=5.0, count=None
    )
    meters = Meters(options, dead=True)
    try:
        return _page(meters.update(), screen, first)
    finally:
        meters.close()


def test_states_have_colours_and_killed_writers_are_there(transport: str, capsys: Any) -> None:
    with NdShArray("live one", np.zeros(3), "w", transport=transport):
        leave_killed("lens", np.zeros((4, 5)), transport)
        title, blank, head, dead, alive = page_of(SCREEN)
        assert title.startswith("ndsharray  2 arrays  ")
        assert blank == ""
        assert head.startswith("\x1b[1mNAME")
        assert "\x1b[31m  killed\x1b[0m" in dead
        assert "\x1b[32m  live\x1b[0m" in alive
        plain = page_of(SCREEN._replace(colours=0))
        assert "\x1b" not in "".join(plain)
        assert cli.main(["clean", "--yes"]) == 0
    assert "removed 1 array" in lines_of(capsys)[-1]


def test_what_does_not_fit_is_counted() -> None:
    writers = [NdShArray(f"camera {i:02}", np.zeros(3), "w") for i in range(30)]
    page = page_of(SCREEN._replace(columns=40, lines=12))
    assert len(page) == 12
    assert page[-1] == "1 to 8 of 30: arrow keys"
    assert page[3].startswith("camera 00")
    page = page_of(SCREEN._replace(columns=40, lines=12, colours=0), first=99)
    assert page[-1] == "23 to 30 of 30: arrow keys"
    assert page[-2].split()[:2] == ["camera", "29"]
    assert max(width_of(re.sub(r"\x1b\[\d+m", "", line)) for line in page) <= 40
    for writer in writers:
        writer.close()


def test_without_arrays_the_page_says_so() -> None:
    title, _, text = page_of(SCREEN._replace(colours=0))
    assert title.startswith("ndsharray  0 arrays")
    assert text == "no arrays yet"


def test_a_narrow_screen_keeps_name_state_and_rate() -> None:
    with NdShArray("camera", np.zeros((720, 1280, 3), np.uint8), "w", slots=3) as camera:
        camera.write(np.zeros((720, 1280, 3), np.uint8))
        head = page_of(SCREEN._replace(columns=40, colours=0))[2]
    assert head.split()[:3] == ["NAME", "STATE", "RATE"]
