"""What a newcomer runs into: narrow terminals, wrong names, fields, damaged arrays, arrow keys."""

from __future__ import annotations

import argparse
import errno
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import lines_of

from ndsharray import NdShArray
from ndsharray._protocol import format
from ndsharray._registry.names import address_of
from ndsharray.tools import cli, doctor
from ndsharray.tools.common import ToolError, meters, nothing_there, require, units
from ndsharray.tools.common import terminal as terminals
from ndsharray.tools.common.terminal import Terminal, aligned
from ndsharray.tools.doctor import checks
from ndsharray.tools.recording import progress

NARROW = Terminal(40, 10, 0, unicode=True, tty=True, cursor=True)
STAMP = np.dtype([("t", "f8"), ("acceleration", "f4", (3,)), ("ok", "?")])


def test_a_note_takes_the_rest_of_its_line_and_widens_no_column() -> None:
    rows = [["camera", "live", "4x5", "30 Hz"], ["torn", "damaged", "a long note " * 4]]
    first, second = aligned(rows)
    assert first == "camera  live     4x5  30 Hz"
    assert second == f"torn    damaged  {'a long note ' * 4}".rstrip()
    assert max(map(len, aligned(rows, 30))) <= 30
    assert aligned(rows, 30)[0] == first  # the note makes no column go
    assert aligned([["only a note"]]) == ["only a note"]


@pytest.mark.parametrize("command", ["list", "hz", "bw", "latency"])
def test_on_a_narrow_terminal_each_array_has_one_line(
    command: str, transport: str, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(terminals, "terminal", lambda: NARROW)
    monkeypatch.setattr(meters, "REPORT", 0.02)
    with NdShArray("camera of the left hand", np.zeros((9, 16)), "w", transport=transport) as left:
        left.write(np.zeros((9, 16)))
        arguments = [command, "camera*", "--count=1"][: 3 if command != "list" else 2]
        if command == "latency":
            stop = threading.Event()

            def write() -> None:
                while not stop.wait(0.01):
                    left.write(np.zeros((9, 16)))

            writing = threading.Thread(target=write)
            writing.start()
        assert cli.main(arguments) == 0
        if command == "latency":
            stop.set()
            writing.join()
    lines = lines_of(capsys)
    assert len(lines) == 1
    assert len(lines[0]) <= NARROW.columns
    assert command == "latency" or lines[0].startswith("camera of the left hand")


def test_the_doctor_wraps_what_is_too_long_for_the_terminal() -> None:
    check = checks.Check("waiting", "ok", "some words " * 12, "do this and that " * 4)
    lines = list(doctor._lines(check, NARROW))
    assert max(map(len, lines)) <= 40 + 4
    assert all(line.startswith(" " * 22) for line in lines[1:])
    assert " ".join(" ".join(lines).split()) == (
        f"ok waiting {'some words ' * 12}{'do this and that ' * 4}".strip()
    )
    assert len(list(doctor._lines(check, NARROW._replace(tty=False)))) == 2


def test_what_the_doctor_finds_does_not_move_the_cursor() -> None:
    check = checks.Check("arrays", "warn", "is \x1b[2J damaged", "remove \x9b")
    lines = list(doctor._lines(check, NARROW._replace(colours=0)))
    assert lines[0].endswith(r"is \x1b[2J damaged")
    assert lines[1].strip() == r"remove \x9b"


def test_info_names_the_fields_of_records(transport: str, capsys: Any) -> None:
    with NdShArray("imu", np.zeros(4, STAMP), "w", transport=transport):
        assert cli.main(["info"]) == 0
    lines = [line.split(None, 1) for line in lines_of(capsys)]
    assert ["fields", "t float64, acceleration 3 float32, ok bool"] in lines


def test_where_nothing_is_the_line_says_where_it_looked(tmp_path: Path, capsys: Any) -> None:
    absent = str(tmp_path / "absent")
    for command in (["list"], ["info"], ["show", "camera"]):
        assert cli.main([*command, "--root", absent]) == 1
        assert f"no directory {absent}" in capsys.readouterr().err
    os.mkdir(absent, 0o700)
    assert cli.main(["list", "--root", absent]) == 1
    assert capsys.readouterr().err == f"no arrays in {absent}\n"
    assert nothing_there(argparse.Namespace(transport="mmap", root=absent)).endswith(absent)


def test_a_glob_that_fits_several_names_them(transport: str, capsys: Any) -> None:
    with NdShArray("left", r_w="w", transport=transport):
        with NdShArray("lens", r_w="w", transport=transport):
            assert cli.main(["show", "le*"]) == 2
    text = "ndsharray: one array at a time, and 'le*' fits 'left', 'lens'\n"
    assert capsys.readouterr().err == text


@pytest.mark.parametrize("command", ["show", "latency", "hz", "watch"])
def test_a_damaged_array_is_named_with_its_damage(
    command: str, transport: str, capsys: Any
) -> None:
    with NdShArray("torn", np.zeros(3), "w", transport=transport) as writer:
        where = writer.transport
        segment = where.open(address_of(where, "torn").control_name, writable=True)
        words = segment.buf.cast("Q")
        before, words[format.NAME_LENGTH_WORD] = words[format.NAME_LENGTH_WORD], 2**63
        try:
            assert cli.main([command, "torn"]) == 1
        finally:
            words[format.NAME_LENGTH_WORD] = before
            del words
    assert capsys.readouterr().err.startswith("ndsharray: array 'torn' is damaged: ")


def test_a_transport_that_is_no_class_is_one_line(capsys: Any) -> None:
    assert cli.main(["list", "--transport", "os:path"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ndsharray: unknown transport 'os:path' ('path' is not a class)")


def test_the_word_help_works_as_the_option_does(capsys: Any) -> None:
    for words, options in ((["help"], ["--help"]), (["help", "hz"], ["hz", "--help"])):
        assert cli.main(words) == 0
        printed = capsys.readouterr().out
        assert cli.main(options) == 0
        assert printed == capsys.readouterr().out


def test_long_times_are_in_seconds() -> None:
    assert units.milliseconds(999) == "999 ms"
    assert units.milliseconds(4103) == "4.1 s"


def test_a_missing_module_is_told_once(monkeypatch: Any) -> None:
    with pytest.raises(ToolError, match=r'^needs not_there: pip install "ndsharray\[view\]"$'):
        require("view", "not_there")


@pytest.mark.skipif(os.name == "nt", reason="a terminal of POSIX")
def test_an_arrow_key_is_one_key_and_escape_another(monkeypatch: Any) -> None:
    import pty

    from ndsharray.tools.common.screen import whole_screen

    ours, theirs = pty.openpty()
    with os.fdopen(ours, "wb", buffering=0) as keyboard, os.fdopen(theirs, "r") as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        with whole_screen() as key:
            pressed = []
            for text in (b"\x1b[B", b"q", b"\x1b", b"\x1b[5~"):
                keyboard.write(text)
                pressed.append(key(5.0))
        assert pressed == ["\x1b[B", "q", "\x1b", "\x1b[5~"]


def screen_after(text: str) -> list[str]:
    """Return the lines of a terminal that got `text`: of its control sequences those used here."""
    lines, row = [""], 0
    for part in re.split(r"(\x1b\[\d*[AJK]|\n|\r)", text):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part.endswith("A") and part.startswith("\x1b"):
            row = max(0, row - int(part[2:-1]))
        elif part == "\x1b[J":
            del lines[row:]
            lines.append("")
        elif part == "\x1b[K":
            lines[row] = ""
        elif part != "\r":
            lines[row] += part
    return [line for line in lines if line]


def test_a_note_stands_above_the_progress_which_is_there_once(capfd: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(progress, "terminal", lambda: NARROW)
    monkeypatch.setattr("sys.stderr", sys.stdout)  # one terminal shows both
    shown = progress.Progress(as_json=False)
    shown.show(["camera 1", "imu 1", "all 2"], {})
    shown.note("imu lost a frame")
    shown.show(["camera 2", "imu 2", "all 4"], {})
    print()  # the user's Enter
    shown.typed()
    shown.note("wrote a file")
    shown.show(["camera 3", "all 6"], {})
    assert screen_after(capfd.readouterr().out) == [
        "ndsharray: imu lost a frame",
        "ndsharray: wrote a file",
        "camera 3",
        "all 6",
    ]


@pytest.mark.parametrize("command", ["recover", "export"])
def test_commands_on_files_have_no_options_of_arrays(command: str, capsys: Any) -> None:
    assert cli.main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "--json" in out
    assert "--root" not in out
    assert "--wait" not in out


def test_recover_never_replaces_the_recording_itself(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("mcap")
    path = tmp_path / "drive.mcap"
    path.write_bytes(b"whatever")
    assert cli.main(["recover", str(path), "-o", str(path), "--force"]) == 2
    assert capsys.readouterr().err == f"ndsharray: '{path}' is the recording itself\n"
    assert path.read_bytes() == b"whatever"


def test_an_error_of_the_system_has_no_number(capsys: Any, monkeypatch: Any) -> None:
    def fail(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("ndsharray.tools.common.arrays", fail)
    assert cli.main(["list"]) == 1
    assert capsys.readouterr().err == f"ndsharray: {os.strerror(errno.ENOSPC)}\n"
