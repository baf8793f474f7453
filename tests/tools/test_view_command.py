"""`ndsharray view` as a command: its address, its end, and what it says where it cannot begin."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
from patience import until

from ndsharray.tools import cli

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
pytest.importorskip("PIL")


@pytest.mark.skipif(os.name != "posix", reason="sends SIGTERM")
def test_the_command_prints_its_address_and_sigterm_ends_it() -> None:
    command = [sys.executable, "-W", "error", "-m", "ndsharray", "view", "--no-open", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        ended = threading.Timer(60, process.kill)  # a test that fails ends, too
        ended.start()
        told = json.loads(process.stdout.readline())
        with urllib.request.urlopen(told["url"], timeout=20) as answer:
            assert b"ndsharray" in answer.read()
        assert f":{told['port']}/" in told["url"]
        assert len(told["url"].rstrip("/").rpartition("/")[2]) >= 32
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate()
        ended.cancel()
        assert (process.returncode, out, errors) == (0, b"", b"")


BROWSER = """
import json, os, sys, urllib.request
path = urllib.request.url2pathname(sys.argv[1].removeprefix("file://"))
text = open(path).read()
with urllib.request.urlopen(text.partition("url=")[2].partition('"')[0], timeout=20) as answer:
    shown = answer.read().decode()
seen = {"arguments": sys.argv[1:], "path": path, "mode": os.stat(path).st_mode, "shown": shown}
with open(sys.argv[0] + ".part", "w") as file:
    json.dump(seen, file)
os.rename(sys.argv[0] + ".part", sys.argv[0] + ".seen")
"""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGTERM")
def test_the_token_is_in_no_command_line(tmp_path: Path) -> None:
    browser = tmp_path / "browser.py"
    browser.write_text(BROWSER)
    environment = {
        **os.environ,
        "BROWSER": f"{sys.executable} {browser} %s",
        "TMPDIR": str(tmp_path),
    }
    command = [sys.executable, "-W", "error", "-m", "ndsharray", "view", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        ended = threading.Timer(60, process.kill)  # a test that fails ends, too
        ended.start()
        token = json.loads(process.stdout.readline())["url"].rstrip("/").rpartition("/")[2]
        file = tmp_path / "browser.py.seen"
        until(lambda: file.exists() or process.poll() is not None, "the browser has begun")
        seen = json.loads((tmp_path / "browser.py.seen").read_text())
        assert token not in str(seen["arguments"])
        assert seen["mode"] & 0o777 == 0o600
        assert "ndsharray" in seen["shown"]
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        ended.cancel()
    assert not os.path.exists(seen["path"])


def test_a_port_that_is_taken_gets_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert cli.main(["view", "--no-open", "--port", str(port)]) == 2
    expected = f"ndsharray: port {port} is in use: another --port, or none, works\n"
    assert capsys.readouterr() == ("", expected)


WRONG = [
    (["--port", "70000"], 2),
    (["--fps", "0"], 2),
    (["--fps", "nan"], 2),
    (["--transport", "nothing"], 2),
    (["--root", __file__], 1),
]


@pytest.mark.parametrize(("wrong", "code"), WRONG, ids=str)
def test_a_wrong_option_gets_one_line(
    wrong: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["view", "--no-open", *wrong]) == code
    out, errors = capsys.readouterr()
    assert (out, errors.count("\n")) == ("", 1)


def test_a_missing_extra_gets_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert cli.main(["view", "--no-open"]) == 2
    out, errors = capsys.readouterr()
    assert (out, errors.count("\n")) == ("", 1)
    assert 'pip install "ndsharray[view]"' in errors
