"""The application of the how-to page, in a real server with several workers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pages import blocks_of
from processes import remains

from ndsharray import NdShArray

pytestmark = [
    pytest.mark.alternately,
    pytest.mark.skipif(os.name != "posix", reason="hands a listening socket to the server"),
]


@pytest.fixture
def camera(transport: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A writer that goes on until the end."""
    monkeypatch.setenv("NDSHARRAY_TRANSPORT", transport)
    end = threading.Event()
    with NdShArray("camera", r_w="w") as writer:

        def feed() -> None:
            while not end.wait(0.01):  # the pace
                writer.write(np.full(10_000, writer.frame_id + 1))

        thread = threading.Thread(target=feed)
        thread.start()
        yield
        end.set()
        thread.join()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_application_of_the_page_serves_many_at_a_time(
    transport: str, root: Path, tmp_path: Path, camera: None, workers: int
) -> None:
    pytest.importorskip("uvicorn")
    (app,) = (block for block in blocks_of("howto/web-servers.md") if block.is_file)
    (tmp_path / app.caption).write_text(app.code, encoding="utf8")
    with socket.create_server(("127.0.0.1", 0)) as listening:  # requests wait for the server
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        fd = str(listening.fileno())
        options = ["--workers", str(workers), "--timeout-graceful-shutdown", "1"]
        options += ["--fd", fd, "--log-level", "critical"]
        server = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "app:app", *options],
            cwd=tmp_path,
            pass_fds=[listening.fileno()],
            start_new_session=True,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:

        def ask(_: int) -> list[int]:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return [int(word) for word in answer.read().split()]

        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(ask, range(60)))
        assert all(low == high > 0 for _, low, high in answers)
        assert 1 <= len({pid for pid, _, _ in answers}) <= workers
        with urllib.request.urlopen(f"{url}/stream", timeout=60) as stream:
            numbers = [int(stream.readline()) for _ in range(20)]
            assert numbers == sorted(set(numbers))
            server.terminate()  # with an answer that has no end
            errors = server.communicate(timeout=30)[1]
    finally:
        try:
            os.killpg(server.pid, signal.SIGKILL)  # its workers, too, if anything failed before
        except ProcessLookupError:
            pass
        server.communicate()
    assert errors == ""
    assert [entry for entry in remains(root, "camera") if entry[-3:-2] == "r"] == []
