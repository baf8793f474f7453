"""How commands end: by a signal, a closed pipe, a key; and that the terminal is as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from patience import PATIENCE
from terminals import COMMAND, OnTerminal

from ndsharray import NdShArray
from ndsharray.tools import cli
from ndsharray.tools.common import stopping
from ndsharray.tools.common.stopping import Stop, stop_on_signals

POSIX = pytest.mark.skipif(os.name == "nt", reason="signals and terminals of POSIX")


@pytest.fixture
def camera() -> Iterator[NdShArray]:
    with NdShArray("camera", np.zeros((48, 64), np.uint8), "w") as writer:
        writer.write(np.zeros((48, 64), np.uint8))
        yield writer


def started(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


@POSIX
def test_a_signal_ends_a_command_cleanly(camera: NdShArray) -> None:
    with started("hz") as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith(b"camera  ")
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, err) == (0, b"")


def test_a_pipe_that_nobody_reads_ends_a_command_quietly(camera: NdShArray) -> None:
    with started("hz") as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.wait(PATIENCE) == 0
        assert child.stderr is not None
        assert child.stderr.read() == b""


@POSIX
def test_a_closed_output_is_no_error(camera: NdShArray) -> None:
    command = ["sh", "-c", '"$@" >&-', "sh", *COMMAND, "list"]
    done = subprocess.run(command, stderr=subprocess.PIPE, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, b"")


def test_stop_ends_a_wait_and_raises_at_the_second_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stop:
        assert not stop.wait(0.001)
        signal.raise_signal(signal.SIGTERM)
        assert stop.asked
        assert stop.wait(PATIENCE)
        signal.raise_signal(signal.SIGTERM)  # by timeout(1), to the process group
        monkeypatch.setattr(stopping, "_TWIN", 0.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_stop_wakes_every_thread_that_waits() -> None:
    stop, woken = Stop(), []
    threads = [threading.Thread(target=lambda: woken.append(stop.wait(PATIENCE))) for _ in range(3)]
    for thread in threads:
        thread.start()
    stop.ask()
    for thread in threads:
        thread.join(PATIENCE)
    assert woken == [True] * 3


@POSIX
def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.asked
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_than_the_main_one_may_wait() -> None:
    found: list[bool] = []

    def wait() -> None:
        with stop_on_signals() as stop:
            found.append(stop.wait(0.001))

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(PATIENCE)
    assert found == [False]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_elsewhere_is_exit_code_130(
    camera: NdShArray, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        signal.raise_signal(number)

    monkeypatch.setattr("ndsharray.tools.common.arrays", interrupted)
    assert cli.main(["list"]) == 130
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@POSIX
def test_watch_draws_a_table_that_fits_and_q_ends_it(camera: NdShArray) -> None:
    import fcntl
    import struct
    import termios

    with OnTerminal("watch", size="30x10") as watch:
        narrow = watch.until("\x1b[J")
        assert narrow.startswith("\x1b[?1049h\x1b[?25l\x1b[H")
        assert "READERS" not in narrow
        fcntl.ioctl(watch.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 150, 0, 0))
        wide = watch.until("MEMORY") + watch.until("q ends")
        assert "ndsharray  1 array" in wide
        assert "\x1b[32m  live\x1b[0m" in wide
        os.write(watch.fd, b"q")
        watch.end()
