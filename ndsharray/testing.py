"""The transports' contract as tests, for anyone who writes a transport of their own.

Needs pytest. In a test file::

    import pytest
    from ndsharray.testing import TransportContract

    class TestMine(TransportContract):
        @pytest.fixture
        def transport(self, tmp_path):
            return MyTransport(directory=tmp_path)

Each test stands for one line of the contract in `ndsharray.Transport`. Set `shared` to False for a
transport that stays inside one process. Tests of a transport alone may live here: those of arrays
over it are in the project's `tests`.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import uuid
from collections.abc import Iterator

import numpy as np
import pytest

from .backends.base import Transport, control_name

__all__ = ["TransportContract"]

# Run in another process: arguments are the transport's module and class, its root, a name.
_OPEN = """
import importlib, os, signal, sys
module, cls, root, name, end = sys.argv[1:]
transport = getattr(importlib.import_module(module), cls)(directory=root)
segment = transport.open(name, writable=True)
segment.buf[1] = segment.buf[0] + 1
if end == "kill":
    os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
"""


class TransportContract:
    """Derive from it, and give a `transport` fixture."""

    shared = True
    """Whether other processes can open its segments (by ``Class(directory=root)``)."""

    removes_names = sys.platform != "win32"
    """Whether a name can be removed while its segment is mapped."""

    @pytest.fixture
    def transport(self) -> Transport:
        """Return the transport to be tested."""
        raise NotImplementedError("give a fixture of this name")

    @pytest.fixture
    def name(self, transport: Transport) -> Iterator[str]:
        """Return an unused name of the kind that the library uses, and remove it afterwards."""
        name = control_name(transport.root, uuid.uuid4().hex)
        yield name
        gc.collect()
        transport.unlink(name)

    def test_create_of_an_existing_name_raises_and_leaves_it(
        self, transport: Transport, name: str
    ) -> None:
        first = transport.create(name, 4096)
        first.buf[0] = 7
        with pytest.raises(FileExistsError):
            transport.create(name, 8192)
        again = transport.open(name, writable=False)
        assert again.buf[0] == 7
        assert first.size <= again.size < first.size + 2**16  # some systems round up to a page

    def test_open_of_a_missing_name_raises(self, transport: Transport, name: str) -> None:
        for writable in (False, True):
            with pytest.raises(FileNotFoundError):
                transport.open(name, writable=writable)

    def test_a_new_segment_is_zero_filled_and_large_enough(
        self, transport: Transport, name: str
    ) -> None:
        for size in (1, 4096, 100_000):
            segment = transport.create(name, size)
            assert segment.size >= size
            assert len(segment.buf) == segment.size
            assert not any(segment.buf.tobytes())
            segment.close()
            del segment
            transport.unlink(name)

    def test_what_one_mapping_stores_another_one_loads(
        self, transport: Transport, name: str
    ) -> None:
        one = transport.create(name, 4096)
        other = transport.open(name, writable=True)
        one.buf[100] = 1
        other.buf[200] = 2
        assert (other.buf[100], one.buf[200]) == (1, 2)

    def test_a_read_only_segment_refuses_stores(self, transport: Transport, name: str) -> None:
        made = transport.create(name, 4096)  # held: Windows keeps nothing that nobody has open
        segment = transport.open(name, writable=False)
        assert segment.buf.readonly
        assert not made.buf.readonly
        with pytest.raises(TypeError):
            segment.buf[0] = 1
        assert not np.frombuffer(segment.buf, np.uint8).flags.writeable

    def test_close_twice_is_harmless(self, transport: Transport, name: str) -> None:
        segment = transport.create(name, 4096)
        segment.close()
        segment.close()
        with pytest.raises(ValueError, match="closed"):
            _ = segment.buf

    def test_numpy_views_outlive_close_and_unlink(self, transport: Transport, name: str) -> None:
        segment = transport.create(name, 1 << 20)
        view = np.frombuffer(segment.buf, np.uint8)[1000:2000]
        view[:] = 5
        segment.close()
        del segment
        gc.collect()
        if self.removes_names:
            transport.unlink(name)
        fresh = [transport.create(f"{name}x{i}"[:29], 1 << 20) for i in range(3)]
        for other in fresh:
            np.frombuffer(other.buf, np.uint8)[:] = 9  # would land in the view, had it gone
        assert (view == 5).all()
        while fresh:
            fresh.pop().close()
        for i in range(3):
            transport.unlink(f"{name}x{i}"[:29])

    def test_unlink_removes_the_name_and_says_whether_it_was_there(
        self, transport: Transport, name: str
    ) -> None:
        assert not transport.unlink(name)
        segment = transport.create(name, 4096)
        if not self.removes_names:
            pytest.skip("this system removes a name with its last handle")
        assert transport.unlink(name)
        assert not transport.unlink(name)
        with pytest.raises(FileNotFoundError):
            transport.open(name, writable=False)
        segment.buf[0] = 3  # what is open stays usable
        assert transport.create(name, 4096).buf[0] == 0

    @pytest.mark.parametrize("end", ["exit", "kill"])
    def test_a_process_that_only_opened_it_leaves_it(
        self, transport: Transport, name: str, end: str
    ) -> None:
        if not self.shared:
            pytest.skip("a transport within one process")
        segment = transport.create(name, 4096)
        segment.buf[0] = 41
        cls = type(transport)
        command = [sys.executable, "-W", "error", "-c", _OPEN]
        command += [cls.__module__, cls.__qualname__, transport.root, name, end]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ended.stderr == ""
        assert (ended.returncode == 0) == (end == "exit")
        assert segment.buf[1] == 42
        assert transport.open(name, writable=False).buf[1] == 42

    def test_many_segments_at_once_stay_apart(self, transport: Transport, name: str) -> None:
        names = [name[:-2] + f"{i:02}" for i in range(20)]
        segments = [transport.create(each, 4096) for each in names]
        for i in range(20):
            segments[i].buf[0] = i + 1
        assert [transport.open(each, writable=False).buf[0] for each in names] == list(range(1, 21))
        segments.clear()
        for each in names:
            transport.unlink(each)
