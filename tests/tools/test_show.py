"""A frame in the terminal and in files: what is drawn, and that it fits."""

from __future__ import annotations

import io
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import lines_of, records_of

from ndsharray import NdShArray
from ndsharray.tools import cli
from ndsharray.tools.common.terminal import (
    TRUE_COLOURS,
    Terminal,
    aligned,
    clipped,
    shown,
    terminal,
    width_of,
)
from ndsharray.tools.show import drawn, picture, plot, statistics, table
from ndsharray.tools.show.png import png

FULL = Terminal(80, 24, TRUE_COLOURS, unicode=True, tty=True, cursor=True)
XTERM = FULL._replace(colours=256)
GREY = FULL._replace(colours=0)
ASCII = GREY._replace(unicode=False)
BLOCK = re.compile(r"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m\u2580+")


def plain(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


# --- pictures


def test_a_picture_is_drawn_in_half_blocks_of_its_colours() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    image[:10] = (255, 0, 0)
    image[10:] = (0, 0, 255)
    lines = drawn(image, FULL, 10, bgr=False)
    assert len(lines) == 10
    assert {width_of(plain(line)) for line in lines} == {20}
    first, last = BLOCK.match(lines[0]), BLOCK.match(lines[-1])
    assert first is not None
    assert last is not None
    assert first.groups() == ("255", "0", "0") * 2
    assert last.groups() == ("0", "0", "255") * 2
    swapped = BLOCK.match(drawn(image, FULL, 10, bgr=True)[0])
    assert swapped is not None
    assert swapped.groups() == ("0", "0", "255") * 2


@pytest.mark.parametrize("screen", [FULL, XTERM, GREY, ASCII])
@pytest.mark.parametrize(
    "shape", [(720, 1280, 3), (8, 2000), (2000, 8), (9, 9, 1), (480, 640), (16, 16, 4)]
)
def test_a_picture_fits_and_keeps_its_sides(screen: Terminal, shape: tuple[int, ...]) -> None:
    lines = drawn(np.random.default_rng(1).integers(0, 256, shape, np.uint8), screen, 20, bgr=False)
    width = max(width_of(plain(line)) for line in lines)
    assert 1 <= len(lines) <= 20
    assert width <= 80
    scale = min(80 / shape[1], 40 / shape[0])
    assert abs(width - max(1, shape[1] * scale)) <= 1
    assert abs(2 * len(lines) - max(2, shape[0] * scale)) <= 2


def test_a_drawn_pixel_is_the_mean_of_what_it_covers() -> None:
    image = np.indices((320, 640)).sum(0) % 2 * 255  # a chess board
    line = drawn(image.astype(np.uint8), FULL, 20, bgr=False)[3]
    colours = [int(found[1]) for found in BLOCK.finditer(line)]
    assert colours
    assert all(abs(colour - 127.5) < 2 for colour in colours)


def test_floats_are_scaled_and_what_is_not_finite_is_marked() -> None:
    image = np.linspace(-5.0, 5.0, 256).reshape(16, 16)
    image[0, 1], image[8, 8] = np.nan, np.inf
    lines = drawn(image, FULL, 8, bgr=False)
    assert lines[0].startswith("\x1b[38;2;0;0;0;48;2;16;16;16m")
    assert "\x1b[38;2;255;0;255;48;2;17;17;17m" in lines[0]
    assert "48;2;255;255;255m" in lines[-1]
    assert "?" in drawn(image, ASCII, 8, bgr=False)[4]
    nothing = np.full((16, 16), np.nan)
    assert set("".join(drawn(nothing, ASCII, 8, bgr=False))) == {"?"}


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "u2", "i8", "f2", "f4", "f8", "c16", ">f4"])
def test_every_number_can_be_drawn(dtype: str) -> None:
    image = np.arange(400).reshape(20, 20).astype(dtype)
    assert len(drawn(image, FULL, 10, bgr=False)) == 10
    assert len(drawn(image.ravel(), GREY, 10, bgr=False)) <= 10


def test_the_greatest_numbers_do_not_overflow() -> None:
    top = np.finfo(float).max
    image = np.where(np.indices((16, 16)).sum(0) % 2, top, -top)
    assert plain(drawn(image, FULL, 8, bgr=False)[0]) == "\u2580" * 16
    assert len(plot.draw(np.array([-top, top] * 20), ASCII, 10)) == 10


def test_xterm_colours_come_near() -> None:
    for colour, code in [((0, 0, 0), 16), ((255, 255, 255), 231), ((255, 0, 0), 196)]:
        image = np.full((16, 16, 3), colour, np.uint8)
        assert f"\x1b[38;5;{code};48;5;{code}m" in picture.draw(image, XTERM, 8)[0]
    grey = picture.draw(np.full((16, 16), 128, np.uint8), XTERM, 8)[0]
    assert "38;5;244;" in grey


def test_of_more_dimensions_the_first_part_is_drawn() -> None:
    stack = np.zeros((5, 30, 40, 3), np.uint8)
    lines = drawn(stack, FULL, 10, bgr=False)
    assert lines[0] == "[0] of 5:"
    assert len(lines) <= 10
    assert drawn(np.zeros((0, 30, 40)), FULL, 10, bgr=False)


def test_a_dumb_terminal_gets_words() -> None:
    dumb = GREY._replace(cursor=False)
    image = np.full((20, 20), 7, np.uint8)
    image[::2] = 9
    assert drawn(image, dumb, 10, bgr=False) == ["min 7  max 9  mean 8  NaN 0"]


@pytest.mark.parametrize("screen", [FULL, XTERM, GREY, ASCII, GREY._replace(cursor=False)])
@pytest.mark.parametrize(
    ("image", "value"),
    [
        (np.full((20, 20, 3), 7, np.uint8), "7"),
        (np.zeros((20, 20), bool), "False"),
        (np.full((20, 20), 0.1, np.float32), "0.1"),
        (np.full((20, 20), -np.inf), "-inf"),
        (np.full((20, 20, 1), 1 + 2j), "(1+2j)"),
    ],
)
def test_of_a_picture_of_one_value_the_value_is_told(
    screen: Terminal, image: Any, value: str
) -> None:
    assert drawn(image, screen, 10, bgr=False) == [f"all values are {value}"]
    stack = np.stack([image, np.zeros_like(image)])
    if stack.ndim == 4:
        assert drawn(stack, screen, 10, bgr=False) == ["[0] of 2:", f"all values are {value}"]


@pytest.mark.parametrize("screen", [GREY, ASCII])
def test_a_picture_too_dark_for_letters_is_told_in_words(screen: Terminal) -> None:
    image = np.zeros((20, 20), np.uint8)
    image[3, 4] = 20
    words = "too dark without colours: min 0  max 20  mean 0.05  NaN 0"
    assert drawn(image, screen, 10, bgr=False) == [words]
    image[:] = 255
    image[3, 4] = 0
    assert len(drawn(image, screen, 10, bgr=False)) == 10


# --- plots and tables


def test_a_row_of_numbers_is_a_line() -> None:
    lines = plot.draw(np.arange(1000.0), ASCII, 10)
    assert len(lines) == 10
    assert lines[0].startswith("999 ")
    assert lines[0].endswith("*")
    assert lines[-1].startswith("  0 *")
    assert all("*" in line for line in lines)
    assert max(map(len, lines)) <= 80
    braille = plot.draw(np.sin(np.arange(5000) / 400), GREY, 12)
    assert len(braille) == 12
    assert any("\u2801" <= c <= "\u28ff" for c in braille[0])


def test_a_single_outlier_is_seen_and_nan_leaves_a_hole() -> None:
    values = np.zeros(100_000)
    values[31_000] = 9
    assert "*" in plot.draw(values, ASCII, 10)[0]
    values[50_000:80_000] = np.nan
    last = plot.draw(values, ASCII, 10)[-1]
    hole = last[2 + int(78 * 0.55) : 2 + int(78 * 0.75)]
    assert hole.strip() == ""
    assert "*" in last
    assert plot.draw(np.full(20, np.nan), ASCII, 10)
    assert len(plot.draw(np.full(20, 3.5), ASCII, 10)) == 1


def test_few_numbers_and_records_are_tables() -> None:
    assert drawn(np.arange(3), FULL, 10, bgr=False) == ["[0 1 2]"]
    assert drawn(np.array(2.5), FULL, 10, bgr=False) == ["2.5"]
    assert drawn(np.eye(2), FULL, 10, bgr=False) == ["[[1. 0.]", " [0. 1.]]"]
    points = np.zeros(100, [("x", "f4"), ("label", "U3"), ("pose", "f8", 2)])
    points["x"], points["label"] = np.arange(100) / 3, "a\n"
    lines = drawn(points, FULL, 10, bgr=False)
    assert lines[0].split() == ["x", "label", "pose"]
    assert lines[1].split() == ["[0]", "0", "a", "[0.", "0.]"]
    assert "92 more" in lines[5]
    assert lines[-1].split()[:2] == ["[99]", "33"]
    assert len(lines) == 10
    assert len(table.draw(np.arange(10_000).reshape(-1, 5), FULL, 8)) <= 8
    assert drawn(np.array(["2026-01-01"], "M8[D]"), FULL, 9, bgr=False) == ["['2026-01-01']"]
    assert drawn(np.zeros(0), FULL, 9, bgr=False) == ["[]"]
    assert drawn(np.zeros((), [("a", "i4")]), FULL, 9, bgr=False)[1].split() == ["[0]", "0"]


def test_statistics_count_nan_and_leave_it_out() -> None:
    found = statistics(np.array([1.0, np.nan, 3.0]))
    assert found == {"min": 1.0, "max": 3.0, "mean": 2.0, "nan": 1}
    assert statistics(np.array([np.nan]))["min"] is None
    assert statistics(np.zeros(0, int))["mean"] is None
    assert statistics(np.array(["a"]))["nan"] is None
    assert statistics(np.array([True, False]))["mean"] == 0.5
    assert statistics(np.array([3 + 4j]))["max"] == 5.0
    assert statistics(np.array([2**63], np.uint64))["max"] == 2**63


# --- files


def decoded(data: bytes) -> tuple[tuple[int, ...], bytes]:
    """Return a PNG file's header and its lines without the filter bytes, by the specification."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size :][:4])[0] == zlib.crc32(kind + content)
        chunks[kind] = content
        at += 12 + size
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    head = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    raw = zlib.decompress(chunks[b"IDAT"])
    stride = len(raw) // head[1]
    assert all(raw[y * stride] == 0 for y in range(head[1]))
    return head, b"".join(raw[y * stride + 1 : (y + 1) * stride] for y in range(head[1]))


@pytest.mark.parametrize(
    ("shape", "dtype", "head"),
    [
        ((9, 11), "u1", (11, 9, 8, 0)),
        ((9, 11, 3), "u1", (11, 9, 8, 2)),
        ((9, 11, 4), "u1", (11, 9, 8, 6)),
        ((9, 11), "u2", (11, 9, 16, 0)),
        ((9, 11, 3), ">u2", (11, 9, 16, 2)),
    ],
)
def test_a_png_file_holds_every_value(shape: Any, dtype: str, head: Any) -> None:
    image = np.random.default_rng(2).integers(0, 200, shape).astype(dtype) * 3
    found, pixels = decoded(png(picture.as_pixels(image)))
    assert found == (*head, 0, 0, 0)
    assert pixels == image.astype(image.dtype.newbyteorder(">")).tobytes()


def test_show_saves_and_overwrites_only_if_told(
    transport: str, tmp_path: Path, capsys: Any
) -> None:
    image = np.random.default_rng(4).random((20, 30))
    image[3, 3] = np.nan
    npy, pic = tmp_path / "frame.npy", tmp_path / "frame.png"
    with NdShArray("camera", image, "w", transport=transport) as writer:
        assert cli.main(["show", "camera", "--save", str(npy)]) == 0
        assert cli.main(["show", "camera", "--save", str(pic), "--stats"]) == 0
        assert lines_of(capsys)[-1].startswith("min ")
        np.testing.assert_array_equal(np.load(npy), image)
        assert decoded(pic.read_bytes())[0][:4] == (30, 20, 8, 0)
        assert cli.main(["show", "camera", "--save", str(npy)]) == 2
        assert "exists ('--force' overwrites it)" in capsys.readouterr().err
        writer.write(np.zeros(3))
        assert cli.main(["show", "camera", "--save", str(npy), "--force"]) == 0
        assert np.load(npy).shape == (3,)
        assert cli.main(["show", "camera", "--save", str(tmp_path / "x.png")]) == 2
        assert "is no picture: save it as .npy" in capsys.readouterr().err
        assert cli.main(["show", "camera", "--save", str(tmp_path / "no" / "x.npy")]) == 1
        assert "there is no folder" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["frame.npy", "frame.png"]


def test_show_prints_json(transport: str, capsys: Any) -> None:
    with NdShArray("a", np.array([1.5, np.nan, np.inf]), "w", transport=transport):
        assert cli.main(["show", "a", "--json"]) == 0
    (record,) = records_of(capsys)
    assert record["min"] == 1.5
    assert (record["max"], record["nan"], record["frame_id"]) == (None, 1, 1)


def test_show_prints_json_of_numbers_that_are_longer_than_those_of_json(
    transport: str, capsys: Any
) -> None:
    array = np.array([np.longdouble("0.5"), np.finfo(np.longdouble).max])
    with NdShArray("a", array, "w", transport=transport):
        assert cli.main(["show", "a", "--json"]) == 0
    (record,) = records_of(capsys)
    assert record["min"] == 0.5
    assert record["max"] in (None, float(array[1]))  # float64 may be as long


def test_an_array_without_a_frame_is_one_line(transport: str, capsys: Any) -> None:
    with NdShArray("camera", r_w="w", transport=transport):
        assert cli.main(["show", "camera"]) == 1
    assert capsys.readouterr().err == (
        "ndsharray: 'camera' has no frame yet ('--wait' waits for one)\n"
    )


def test_the_frame_of_a_writer_that_was_killed_is_shown(transport: str, capsys: Any) -> None:
    from commands import leave_killed

    leave_killed("camera", np.zeros((20, 20), np.uint8), transport)
    assert cli.main(["show", "camera"]) == 0
    assert lines_of(capsys)[0].endswith("  killed")
    assert cli.main(["clean", "--yes"]) == 0


# --- the terminal


class Stream(io.TextIOWrapper):
    def __init__(self, encoding: str, tty: bool) -> None:
        super().__init__(io.BytesIO(), encoding)
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty

    def fileno(self) -> int:
        return 1


def test_a_pipe_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    for variable in ("COLUMNS", "LINES"):
        monkeypatch.delenv(variable, raising=False)
    found = terminal(Stream("utf-8", False))
    assert found == Terminal(80, 24, 0, unicode=True, tty=False, cursor=False)
    assert not terminal(Stream("ascii", False)).unicode
    assert not terminal(Stream("latin-1", False)).unicode


def test_colours_follow_the_terminal_and_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.get_terminal_size", lambda _: (100, 40))
    monkeypatch.setattr("ndsharray.tools.common.terminal._obeys_sequences", lambda _: True)
    for variable in ("COLUMNS", "LINES", "NO_COLOR", "COLORTERM", "WT_SESSION"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert terminal(Stream("utf-8", True))[:3] == (100, 40, 256)
    monkeypatch.setenv("COLORTERM", "truecolor")
    assert terminal(Stream("utf-8", True)).colours == TRUE_COLOURS
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal(Stream("utf-8", True)).colours == 0
    assert terminal(Stream("utf-8", True)).cursor
    monkeypatch.setenv("TERM", "dumb")
    assert not terminal(Stream("utf-8", True)).cursor
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "15")
    assert not terminal(Stream("utf-8", True)).cursor


def test_columns_are_aligned_by_what_is_seen() -> None:
    rows = [["左", "1", ""], ["abcd", "22", ""]]
    assert aligned(rows, right=(1,)) == ["左     1", "abcd  22"]
    assert aligned(rows, 6, drop=(1,)) == ["左", "abcd"]
    assert clipped("abcdef", 4) == "abc~"
    assert clipped("左左左", 4) == "左~"
    assert shown("a\tb\x9b\u202e") == r"a\tb\x9b\u202e"
