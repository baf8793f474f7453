"""What the commands print, and how they end: in this process, by `cli.main`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import kill_writer, leave_killed, lines_of, records_of

import ndsharray
from ndsharray import MmapTransport, NdShArray
from ndsharray._protocol import format
from ndsharray._registry.names import address_of
from ndsharray.tools import cli
from ndsharray.tools.common import meters, rates
from ndsharray.tools.common.names import fits
from ndsharray.tools.view.catalogue import Catalogue


@pytest.fixture
def camera(transport: str) -> Iterator[NdShArray]:
    with NdShArray("camera", np.zeros((48, 64, 3), np.uint8), "w", transport=transport) as writer:
        yield writer


# --- list and info


def test_list_prints_a_line_for_each_array(camera: NdShArray, capsys: Any) -> None:
    with NdShArray("left", r_w="w", transport=camera.transport):
        for _ in range(2):
            camera.write(np.ones((48, 64, 3), np.uint8))
        assert cli.main(["list"]) == 0
    line, other = lines_of(capsys)
    begin, rate, end = line.partition(" Hz")
    assert begin.split()[:4] == ["camera", "live", "48x64x3", "uint8"]
    assert rate
    assert end.split()[0] == "#3"
    assert f"pid {os.getpid()}" in end
    assert "0 readers" in end
    assert other.split()[:5] == ["left", "live", "no", "frame", "yet"]


def test_the_keys_of_json_are_the_fields_of_array_info(camera: NdShArray, capsys: Any) -> None:
    assert cli.main(["list", "--json"]) == 0
    (record,) = records_of(capsys)
    info = ndsharray.info("camera", transport=camera.transport)
    assert record.keys() == {*info.as_dict(), "hz"}
    assert (record["shape"], record["dtype"], record["frame_id"]) == ([48, 64, 3], "|u1", 1)
    assert cli.main(["info", "camera", "--json", "--slots"]) == 0
    (record,) = records_of(capsys)
    assert [slot["state"] for slot in record["slot_list"]] == ["empty", "newest", "empty"]


def test_info_prints_what_is_known(camera: NdShArray, capsys: Any) -> None:
    with NdShArray("camera", r_w="r", transport=camera.transport) as reader:
        frame = reader.read(copy=False)[1]
        assert cli.main(["info", "cam*", "--slots"]) == 0
        del frame
    text = "\n".join(lines_of(capsys))
    for what in ("48x64x3 uint8", f"pid {os.getpid()}", "1 pinned", camera.transport.root):
        assert what in text
    assert text.splitlines()[-2].split() == ["1", "newest", "#1", "newest", "1"]


def test_info_prints_a_paragraph_for_each_array(camera: NdShArray, capsys: Any) -> None:
    with NdShArray("lens", r_w="w", transport=camera.transport):
        assert cli.main(["info", "*"]) == 0
    text = "\n".join(lines_of(capsys))
    first, second = text.split("\n\n")
    assert first.startswith("camera\n  state")
    assert second.startswith("lens\n  state")
    assert "no frame yet" in second


def test_a_name_that_is_not_there_gets_those_that_look_alike(
    camera: NdShArray, capsys: Any
) -> None:
    for command in ("list", "info", "hz", "bw", "latency", "show", "watch"):
        assert cli.main([command, "camrea"]) == 1
        out, err = capsys.readouterr()
        assert (out, err) == ("", "ndsharray: no array 'camrea'; did you mean 'camera'?\n")
    assert cli.main(["list", "x*"]) == 1
    assert "there is only 'camera'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["list", "hz", "bw", "watch"])
def test_no_array_at_all_is_exit_code_1(command: str, capsys: Any) -> None:
    assert cli.main([command]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1


def test_a_damaged_and_a_foreign_array_have_lines_of_their_own(
    camera: NdShArray, capsys: Any
) -> None:
    transport = camera.transport
    for name, word, value in (("torn", format.NAME_LENGTH_WORD, 0), ("new", 1, 2)):
        address = address_of(transport, name)
        with NdShArray(name, np.zeros(3), "w", transport=transport) as writer:
            segment = transport.open(address.control_name, writable=True)
            words = segment.buf.cast("Q")
            before, words[word] = words[word], value
            assert cli.main(["list"]) == 0
            lines = lines_of(capsys)
            words[word] = before
            del words
            writer.write(np.zeros(3))
        assert len(lines) == 2
        assert ["camera", "live"] in [line.split()[:2] for line in lines]
        state = "damaged" if name == "torn" else "foreign version"
        assert any(state in line for line in lines)


def test_a_killed_writer_is_listed_as_killed(transport: str, capsys: Any) -> None:
    leave_killed("camera", np.zeros(5), transport)
    assert cli.main(["list"]) == 0
    assert lines_of(capsys)[0].split()[:2] == ["camera", "killed"]
    assert cli.main(["hz"]) == 1  # no living one
    assert cli.main(["clean", "--yes"]) == 0


def test_a_writer_that_has_restarted_and_not_written_has_no_rate(
    transport: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "_CLOCKS", -60.0)  # as if the frames were older by a minute
    monkeypatch.setattr(meters, "REPORT", 0.02)
    killed = NdShArray("camera", np.zeros(5), "w", transport=transport)
    killed.write(np.ones(5))
    kill_writer(killed)
    with (
        NdShArray("camera", r_w="r", transport=transport),  # keeps the memory: Windows
        NdShArray("camera", r_w="w", transport=transport) as writer,
    ):
        assert cli.main(["list"]) == 0
        begin, _, end = lines_of(capsys)[0].partition("  not written yet  ")
        assert begin.split() == ["camera", "live", "5", "float64"]
        assert end.split()[0] == "#2"
        hz = ["hz", "--count=1", "--window=0.1"]
        assert cli.main(hz) == 0
        assert re.fullmatch(r"camera  not written yet, last frame .* ago", lines_of(capsys)[0])
        assert cli.main([*hz, "--json"]) == 0
        assert cli.main(["list", "--json"]) == 0
        assert [record["hz"] for record in records_of(capsys)] == [None, None]
        monkeypatch.setattr(rates, "_CLOCKS", 0.0)
        for _ in range(2):
            writer.write(np.zeros(5))
        assert cli.main(["list"]) == 0
        assert " Hz " in lines_of(capsys)[0]


def test_what_is_no_array_any_more_is_shown_with_all(transport: str, capsys: Any) -> None:
    kill_writer(NdShArray("camera", r_w="w", transport=transport))
    assert cli.main(["list"]) == 1
    assert "list --all" in capsys.readouterr().err
    assert cli.main(["list", "--all"]) == 0
    assert "killed" in lines_of(capsys)[0]
    assert cli.main(["clean", "--yes"]) == 0


def test_arrays_of_the_library_itself_are_not_among_all(capsys: Any) -> None:
    with NdShArray("camera", np.zeros(1), "w"), NdShArray("ndsharray.x", np.zeros(1), "w"):
        for arguments, names in (
            ([], ["camera"]),
            (["*"], ["camera"]),
            (["--all"], ["camera", "ndsharray.x"]),
            (["ndsharray.*"], ["ndsharray.x"]),
            (["ndsharray.x"], ["ndsharray.x"]),
        ):
            assert cli.main(["list", "--names", *arguments]) == 0
            assert lines_of(capsys) == names
        assert cli.main(["hz", "--json", "--count", "1", "--window", "0.1"]) == 0
        assert [json.loads(line)["name"] for line in lines_of(capsys)] == ["camera"]
        view = Catalogue([], cli.parser_of("list").parse_args([]))
        view._take(ndsharray.arrays(), 0.0)
        assert {entry.name for entry in view._entries.values()} == {"camera"}
        assert not fits("ndsharray.x", ["*"])  # which `record --all` takes
        assert cli.main(["info", "kamera"]) == 1
        assert "ndsharray.x" not in capsys.readouterr().err


def test_a_name_cannot_move_the_cursor(capsys: Any) -> None:
    with NdShArray("a\x1b[2Jb\n左", np.zeros(1), "w"):
        assert cli.main(["list"]) == 0
    assert lines_of(capsys)[0].startswith(r"a\x1b[2Jb\n左  live")


@pytest.mark.parametrize(
    "command",
    ["list", "info", "hz --count 1 --window 0.01", "show", "watch --count 1 --window 0.01"],
)
def test_json_cannot_move_the_cursor_and_is_json_in_any_encoding(
    command: str, transport: str, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(meters, "REPORT", 0.02)
    name = "a\x9b31m\x7f\u202e左é"
    dtype = np.dtype([("field\x9b", "f4")])
    with NdShArray(name, np.zeros(1, dtype), "w", transport=transport):
        assert cli.main([*command.split(), "--json", name]) == 0
    (line,) = lines_of(capsys)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["name"] == name


def test_the_transport_and_the_root_can_be_chosen(
    camera: NdShArray, capsys: Any, root: Path
) -> None:
    own = camera.transport.name
    other = "mmap" if own == "posix_shm" else "posix_shm"
    assert cli.main(["list", "--transport", own, "--root", str(root)]) == 0
    assert cli.main(["list", "--transport", other]) == 1
    assert cli.main(["list", "--root", str(root / "elsewhere")]) == 1
    assert cli.main(["list", "--transport", "smoke"]) == 2
    assert "unknown transport 'smoke'" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may look everywhere")
def test_a_root_without_rights_is_one_line(root: Path, capsys: Any) -> None:
    root.chmod(0)
    try:
        assert cli.main(["list"]) == 1
    finally:
        root.chmod(0o700)
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="there are no such rights")
def test_a_root_that_others_may_write_to_is_one_line(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ndsharray.tools.common.arrays", _refused)
    assert cli.main(["list"]) == 1
    assert capsys.readouterr().err == "ndsharray: x: others may write there\n"


def _refused(**_: Any) -> list[Any]:
    raise PermissionError(13, "others may write there", "x")


def test_a_root_that_users_share_is_read_when_it_is_named(tmp_path: Path, capsys: Any) -> None:
    shared = tmp_path / "team"
    shared.mkdir()
    shared.chmod(0o770)
    with NdShArray("a", np.zeros(1), "w", transport=MmapTransport(shared, mode=0o660)):
        assert cli.main(["list", "--root", str(shared)]) == 0
        assert cli.main(["show", "a", "--root", str(shared)]) == 0


def test_of_two_arrays_of_one_name_the_living_one_is_meant(capsys: Any) -> None:
    for transport in ("mmap", "posix_shm"):
        writer = NdShArray("camera", np.arange(3), "w", transport=transport)
        if transport == "mmap":
            kill_writer(writer)
    assert cli.main(["show", "camera"]) == 0
    assert not lines_of(capsys)[0].endswith("killed")
    with NdShArray("camera", np.arange(3), "w", transport="mmap"):
        assert cli.main(["show", "camera"]) == 2
        assert "on mmap and posix_shm: --transport chooses" in capsys.readouterr().err
        assert cli.main(["show", "camera", "--transport", "mmap"]) == 0
    writer.close()


# --- looking changes nothing


def test_list_info_and_hz_change_no_byte_of_the_control_page(
    camera: NdShArray, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meters, "REPORT", 0.02)
    transport = camera.transport
    opened, real = list[bool](), type(transport).open

    def watched(self: Any, name: str, *, writable: bool) -> Any:
        opened.append(writable)
        return real(self, name, writable=writable)

    monkeypatch.setattr(type(transport), "open", watched)
    segment = transport.open(address_of(transport, "camera").control_name, writable=False)
    with NdShArray("camera", r_w="r", transport=transport) as reader:
        held = reader.read(copy=False)[1]
        before, files = bytes(segment.buf), sorted(os.listdir(transport.root))
        opened.clear()
        for command in (["list"], ["info", "camera", "--slots"]):
            assert cli.main(command) == 0
        for command in ("hz", "bw", "watch"):
            assert cli.main([command, "--count", "2", "--window", "0.05"]) == 0
        assert bytes(segment.buf) == before
        assert sorted(os.listdir(transport.root)) == files
        assert opened
        assert not any(opened)  # nothing could be stored in between, either
        assert cli.main(["show", "camera"]) == 0
        assert any(opened)
        del held
    assert ndsharray.info("camera", transport=transport).slots == 3


# --- rates


def test_hz_and_bw_print_what_the_docs_say(
    camera: NdShArray, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meters, "REPORT", 0.02)
    camera.write(np.zeros((48, 64, 3), np.uint8))
    assert cli.main(["hz", "--count", "2", "--json"]) == 0
    records = records_of(capsys)
    assert [list(r) for r in records] == [["name", "hz", "jitter_ms", "max_gap_ms", "gaps"]] * 2
    assert cli.main(["bw", "--count", "1", "--json"]) == 0
    (record,) = records_of(capsys)
    assert record["frame_bytes"] == 48 * 64 * 3
    assert record["bytes_per_second"] == pytest.approx(record["hz"] * record["frame_bytes"])
    assert cli.main(["hz", "--count", "1"]) == 0
    assert "jitter sd" in lines_of(capsys)[0]


def test_arrays_that_come_later_are_taken_up(
    camera: NdShArray, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meters, "REPORT", 0.02)
    later: list[NdShArray] = []
    look = meters.Meters.look

    def begin_another(self: meters.Meters) -> None:
        if not later:
            later.append(NdShArray("lens", np.zeros(3), "w", transport=camera.transport))
        look(self)

    monkeypatch.setattr(meters.Meters, "look", begin_another)
    assert cli.main(["hz", "--count", "3", "--window", "0.05", "--json"]) == 0
    assert [record["name"] for record in records_of(capsys)][-2:] == ["camera", "lens"]
    for writer in later:
        writer.close()


def test_an_array_that_ends_has_no_line_any_more(
    camera: NdShArray, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meters, "REPORT", 0.02)
    lens = NdShArray("lens", np.zeros(3), "w", transport=camera.transport)
    look = meters.Meters.look

    def end_it(self: meters.Meters) -> None:
        look(self)
        lens.close()

    monkeypatch.setattr(meters.Meters, "look", end_it)
    assert cli.main(["hz", "--count", "2", "--window", "0.05", "--json"]) == 0
    assert records_of(capsys)[-1]["name"] == "camera"


def test_latency_measures_from_write_to_read(camera: NdShArray, capsys: Any) -> None:
    frame = np.zeros((48, 64, 3), np.uint8)
    from threading import Event, Thread

    done = Event()

    def write() -> None:
        while not done.wait(0.001):
            camera.write(frame)

    thread = Thread(target=write)
    thread.start()
    try:
        assert cli.main(["latency", "camera", "--count", "20", "--json"]) == 0
        assert cli.main(["latency", "camera", "--count", "5", "--in-place"]) == 0
    finally:
        done.set()
        thread.join()
    out = capsys.readouterr().out.splitlines()
    record = json.loads(out[0])
    assert record["frames"] == 20
    assert 0 < record["p50_ms"] <= record["p99_ms"] <= record["max_ms"] < 1000
    assert "frames 5" in out[-1]


def test_latency_says_that_the_writer_was_killed(
    transport: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = NdShArray.read

    def read_and_stop(self: NdShArray, *arguments: Any, **options: Any) -> Any:
        if arguments:  # it waits for a frame
            signal.raise_signal(signal.SIGTERM)
        return read(self, 0, **options)

    monkeypatch.setattr(NdShArray, "read", read_and_stop)
    writer = NdShArray("camera", np.zeros(3), "w", transport=transport)
    assert cli.main(["latency", "camera"]) == 0
    assert lines_of(capsys) == ["no new frame yet"]
    kill_writer(writer)
    assert cli.main(["latency", "camera"]) == 0
    (line,) = lines_of(capsys)
    assert re.fullmatch(r"killed, last frame [\d.]+ m?s ago", line)
    NdShArray("camera", r_w="w", transport=transport).close()  # it removes what the dead one left


@pytest.mark.parametrize("command", ["latency", "hz", "bw"])
def test_a_signal_before_the_count_is_exit_code_130(
    command: str, camera: NdShArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_and_stop(self: NdShArray, *_: Any, **__: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return False, np.zeros(0)

    def look_and_stop(_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(NdShArray, "read", read_and_stop)
    monkeypatch.setattr(meters.Meters, "look", look_and_stop)
    assert cli.main([command, "camera", "--count", "9"]) == 130
    assert cli.main([command, "camera"]) == 0


def test_wait_waits_for_a_writer(
    transport: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[NdShArray] = []

    def wait(self: Any, seconds: float) -> bool:
        made.append(NdShArray("camera", np.zeros(3), "w", transport=transport))
        return False

    monkeypatch.setattr("ndsharray.tools.common.stopping.Stop.wait", wait)
    assert cli.main(["list", "camera", "--wait"]) == 0
    assert lines_of(capsys)[0].startswith("camera  live")
    assert len(made) == 1
    made[0].close()


# --- clean


def test_clean_removes_what_a_killed_writer_left_and_nothing_else(
    transport: str, capsys: Any, console: Callable[..., Any], root: Path
) -> None:
    other = console()
    other.run(f"w = NdShArray('dead', np.zeros(100), 'w', transport={transport!r})")
    other.kill()
    with NdShArray("camera", np.zeros(3), "w", transport=transport) as camera:
        # Making it has removed the other one: so once more.
        leave_killed("dead", np.zeros(100), transport)
        files = sorted(os.listdir(root))
        assert cli.main(["clean"]) == 0
        out = lines_of(capsys)
        assert out[0].startswith("dead  left")
        assert "would remove 1 array" in out[-1]
        assert sorted(os.listdir(root)) == files
        assert cli.main(["clean", "camera", "--yes"]) == 1
        assert "has a living writer: it stays" in capsys.readouterr().err
        assert cli.main(["clean", "--yes", "--json"]) == 0
        (record,) = records_of(capsys)
        assert (record["name"], record["removed"]) == ("dead", True)
        camera.write(np.ones(3))
        assert cli.main(["clean"]) == 0
        assert lines_of(capsys) == ["nothing to remove"]
        assert [info.name for info in ndsharray.arrays()] == ["camera"]


def test_what_cannot_be_removed_is_told(
    transport: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Any) -> bool:
        raise PermissionError(13, "not yours")

    leave_killed("dead", np.zeros(100), transport)
    with monkeypatch.context() as patch:
        patch.setattr("ndsharray.tools.clean.remove_stale", refused)
        assert cli.main(["clean", "--yes"]) == 1
    out, err = capsys.readouterr()
    assert "stays" in out
    assert "'dead' stays: [Errno 13] not yours" in err
    assert cli.main(["clean", "--yes"]) == 0


def test_clean_leaves_what_a_reader_uses(transport: str, capsys: Any) -> None:
    writer = NdShArray("camera", np.arange(3), "w", transport=transport)
    with NdShArray("camera", r_w="r", transport=transport) as reader:
        reader.read()
        kill_writer(writer)
        del writer  # its memory, too: Windows removes nothing that is mapped
        assert cli.main(["clean", "--yes"]) == 0
        assert lines_of(capsys) == [
            "nothing to remove",
            "1 array of killed writers stays, as readers have it: 'camera'",
        ]
        assert cli.main(["clean", "camera", "--yes"]) == 1
        assert "is in use: it stays" in capsys.readouterr().err
    assert cli.main(["clean", "--yes"]) == 0
    assert "removed 1 array" in lines_of(capsys)[-1]


# --- the command line itself


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_each_command_explains_itself_with_an_example(command: str, capsys: Any) -> None:
    assert cli.main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"example:\n  {cli.parser_of(command).epilog.partition('  ')[2]}" in out
    assert "ndsharray" in out.partition("example:")[2]


def test_help_names_every_command(capsys: Any) -> None:
    for arguments in ([], ["--help"]):
        assert cli.main(arguments) == 0
        assert set(cli.COMMANDS) <= set(capsys.readouterr().out.split())
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"ndsharray {ndsharray.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["lsit"], "ndsharray: no command 'lsit'; did you mean 'list'?"),
        (["xyz"], "ndsharray: no command 'xyz'; see 'ndsharray --help'"),
        (["--nothing"], "ndsharray: error: unrecognized arguments: --nothing"),
        (["list", "--nothing"], "ndsharray list: error: unrecognized arguments: --nothing"),
        (["show"], "ndsharray show: error: the following arguments are required: NAME"),
        *(
            (
                ["hz", "--count", text],
                f"ndsharray hz: error: argument --count: a whole number from 1, not '{text}'",
            )
            for text in ("0", "x", "1.5")
        ),
        (
            ["bw", "--window", "x"],
            "ndsharray bw: error: argument --window: 'x' is no number above 0",
        ),
        (
            ["hz", "--window", "-1"],
            "ndsharray hz: error: argument --window: '-1' is no number above 0",
        ),
        (["show", "x", "--save", "x.gif"], "ndsharray: --save writes .png and .npy, not 'x.gif'"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], line: str, capsys: Any) -> None:
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err.splitlines()[-1] == line


def test_a_missing_extra_names_its_installation() -> None:
    from ndsharray.tools.common import ToolError, require

    with pytest.raises(ToolError, match=r'pip install "ndsharray\[view\]"') as raised:
        require("view", "there_is_no_such_module")
    assert raised.value.code == 2
    assert require("view", "json") is json


def test_an_unexpected_error_is_a_line_as_well(capsys: Any) -> None:
    assert cli.main(["list", "--transport", "os:getcwd"]) == 1
    line = capsys.readouterr().err
    assert line.startswith("ndsharray: TypeError: a transport is a Transport")
    assert line.endswith("(NDSHARRAY_DEBUG=1 shows where)\n")


def test_a_terminal_without_unicode_gets_escapes(transport: str) -> None:
    with NdShArray("左", np.arange(20.0), "w", transport=transport):
        command = [sys.executable, "-W", "error", "-m", "ndsharray", "show", "左"]
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        done = subprocess.run(command, env=environment, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"\\u5de6  20 float64")
    assert b"*" in done.stdout


def test_an_error_has_a_traceback_only_if_it_is_asked_for(
    capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ndsharray.tools.common.arrays", _refused)
    monkeypatch.setenv("NDSHARRAY_DEBUG", "1")
    with pytest.raises(PermissionError):
        cli.main(["list"])


def test_help_and_list_answer_at_once(transport: str) -> None:
    with NdShArray("camera", np.zeros(3), "w", transport=transport):
        for arguments in ([] if transport == "mmap" else ["list"],):
            began = time.perf_counter()
            command = [sys.executable, "-W", "error", "-m", "ndsharray", *arguments]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            assert time.perf_counter() - began < 5  # 0.3 s where nothing else runs


def test_what_is_slow_to_import_is_not_imported_for_a_list() -> None:
    code = """if True:
        import sys
        from ndsharray.tools import cli
        cli.main(["list"])
        print(*sorted(m for m in sys.modules if m.startswith("ndsharray.tools")), file=sys.stdout)
        print("asyncio" in sys.modules, "difflib" in sys.modules)
    """
    command = [sys.executable, "-W", "error", "-c", code]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert {m.rpartition(".")[2] for m in out[-2].split()} == {
        *("tools", "cli", "common", "list", "names", "pipes"),
        *("rates", "stopping", "terminal", "units"),
    }
    assert out[-1] == "False False"
