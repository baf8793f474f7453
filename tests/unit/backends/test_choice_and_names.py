"""How a transport is chosen, and how names map to what the system sees."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inprocess import InProcessTransport

from ndsharray import MmapTransport, NdShArray, PosixShmTransport, UnknownTransportError
from ndsharray.backends import at, base, beside, known, resolve


def test_the_default_is_mmap(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(resolve(), MmapTransport)
    for empty in ("", "  "):
        monkeypatch.setenv("NDSHARRAY_TRANSPORT", empty)
        assert isinstance(resolve(), MmapTransport)


def test_the_environment_chooses_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NDSHARRAY_TRANSPORT", " posix_shm\n")
    assert isinstance(resolve(), PosixShmTransport)
    assert isinstance(resolve("mmap"), MmapTransport)


def test_transports_and_segments_say_what_they_are(name: str, transport: str, root: Path) -> None:
    own = resolve(transport)
    assert repr(own) == f"<{type(own).__name__} {transport!r} in {root}>"
    control = base.control_name(str(root), name)
    segment = own.create(control, 4096)
    assert repr(segment) == f"<Segment {control}, {segment.size} bytes>"
    segment.close()
    assert repr(segment) == f"<Segment {control}, closed>"
    own.unlink(control)


def test_an_object_is_taken_as_it_is(root: Path) -> None:
    own = InProcessTransport(root)
    assert resolve(own) is own


class Mine(InProcessTransport):
    name = "mine"

    def __init__(self) -> None:
        super().__init__(os.environ["NDSHARRAY_DIR"])


def test_a_root_goes_with_any_choice_that_has_none_of_its_own(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = InProcessTransport(root)
    assert at(None, None).name == "mmap"
    assert at(None, tmp_path).root == os.path.realpath(tmp_path)
    assert at(own, None) is at(own, root) is own
    monkeypatch.setenv("NDSHARRAY_TRANSPORT", "posix_shm")
    assert isinstance(at(None, tmp_path), PosixShmTransport)
    with pytest.raises(ValueError, match="has its own"):
        at(own, tmp_path)
    monkeypatch.setenv("NDSHARRAY_TRANSPORT", f"{__name__}:Mine")
    with pytest.raises(ValueError, match="goes with 'mmap'"):
        at(None, tmp_path)  # no transport may ignore it


class NotATransport:
    pass


def test_a_path_to_a_class_is_imported() -> None:
    assert type(resolve(f"{__name__}:Mine")).__name__ == "Mine"


@pytest.mark.parametrize(
    "choice",
    ["shm", "MMAP", "no.such.module:Class", "no_such:Class", f"{__name__}:NoSuch", "os:", ":x"],
)
def test_an_unknown_name_lists_the_known(choice: str) -> None:
    with pytest.raises(UnknownTransportError, match=r"'mmap', 'posix_shm'") as caught:
        resolve(choice)
    assert caught.value.transport == choice
    assert choice in str(caught.value)


@pytest.mark.parametrize("choice", [5, b"mmap", MmapTransport, f"{__name__}:NotATransport"])
def test_what_is_no_transport_is_a_type_error(choice: Any) -> None:
    with pytest.raises(TypeError, match="Transport or a str"):
        resolve(choice)


def test_a_transports_name_is_part_of_file_names(root: Path) -> None:
    odd = InProcessTransport(root)
    odd.name = "../odd"
    with pytest.raises(ValueError, match="name"):
        resolve(odd)


def test_nothing_is_made_before_a_bad_transport_is_refused(name: str, root: Path) -> None:
    with pytest.raises(UnknownTransportError):
        NdShArray(name, np.zeros(3), "w", transport="nope")
    assert os.listdir(root) == []


def test_both_sides_by_the_environment(
    name: str, transport: str, monkeypatch: pytest.MonkeyPatch, console: Any
) -> None:
    monkeypatch.setenv("NDSHARRAY_TRANSPORT", transport)
    with NdShArray(name, np.arange(3), "w") as writer:
        assert writer.transport.name == transport
        child = console()
        assert child.run(f"NdShArray({name!r}, r_w='r').read()[1].tolist()") == [0, 1, 2]


def test_an_array_on_another_transport_is_hinted_at_once(name: str, transport: str) -> None:
    other = next(each for each in known() if each != transport)
    with NdShArray(name, np.zeros(3), "w", transport=transport):
        with pytest.warns(UserWarning, match=f"not on transport '{other}'.*'{transport}'"):
            reader = NdShArray(name, r_w="r", transport=other)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            reader._reader._source.finder._hinted = 0  # type: ignore[union-attr]
            assert reader.read()[0] is False
        reader.close()


def test_no_hint_where_the_other_transport_cannot_be_had(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a Python that was built without shared memory."""
    monkeypatch.setitem(sys.modules, "ndsharray.backends.posix_shm", None)
    assert beside(resolve("mmap"), "posix_shm") is None
    with NdShArray(name, np.zeros(3), "w", transport="mmap"):
        with NdShArray(name, r_w="r", transport="mmap") as reader:
            assert reader.read()[0]


# As where Python is built for a system without shm_open (Termux).
LACKING = """if True:
    import sys
    sys.modules["_posixshmem"] = None
    import numpy as np
    from ndsharray import NdShArray, UnknownTransportError
    for role in "wr":
        try:
            NdShArray(sys.argv[1], r_w=role, transport=sys.argv[2] or None)
            raise SystemExit("no error")
        except UnknownTransportError as error:
            assert isinstance(error.__cause__, ImportError), error.__cause__
            assert error.transport == "posix_shm"
            print(error)
    try:
        from ndsharray import PosixShmTransport
        raise SystemExit("no error")
    except ImportError as error:
        print(error)
    with NdShArray(sys.argv[1], np.arange(3), "w", transport="mmap"):
        with NdShArray(sys.argv[1], r_w="r", transport="mmap") as reader:
            assert reader.read()[0]
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs no such module there")
@pytest.mark.parametrize("by", ["argument", "variable"])
def test_a_python_without_shared_memory_names_the_cure(
    name: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "variable":
        monkeypatch.setenv("NDSHARRAY_TRANSPORT", "posix_shm")
    command = [sys.executable, "-c", LACKING, name, "posix_shm" if by == "argument" else ""]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        for part in ("'posix_shm'", "_posixshmem", 'transport="mmap"', "NDSHARRAY_TRANSPORT=mmap"):
            assert part in line


def test_the_hint_points_at_the_users_line(name: str) -> None:
    with NdShArray(name, np.zeros(3), "w", transport="mmap"):
        with pytest.warns(UserWarning, match="transport") as caught:
            reader = NdShArray(name, r_w="r", transport="posix_shm")
        assert caught[0].filename == __file__
        reader.close()


def test_no_hint_for_what_a_killed_writer_left(name: str, console: Any) -> None:
    child = console()
    child.run(f"w = NdShArray({name!r}, np.zeros(3), 'w', transport='posix_shm')")
    child.kill()
    with NdShArray(name, r_w="r", transport="mmap") as reader:
        assert reader.read()[0] is False
    NdShArray(name, r_w="w", transport="posix_shm").close()


NAMES = [
    "../x",
    "a/b",
    "/etc/passwd",
    "CON",
    "nul.txt",
    "Kamera 1/左",
    "n" * 255,
    "左" * 85,
    " ",
    ".",
    "..",
    "a\nb",
    "%s",
    "~",
    "*",
]


@pytest.mark.parametrize("array_name", NAMES)
def test_any_legal_name_works_and_stays_inside_the_root(
    array_name: str, transport: str, root: Path
) -> None:
    own = base.control_name(str(root), array_name)
    with NdShArray(array_name, np.arange(4), "w", transport=transport) as writer:
        assert writer.name == array_name
        with NdShArray(array_name, r_w="r", transport=transport) as reader:
            assert reader.read()[1].tolist() == [0, 1, 2, 3]
        if transport == "posix_shm" and sys.platform.startswith("linux"):
            segments = [entry for entry in os.listdir("/dev/shm") if entry.startswith(own)]
            assert sorted(map(len, segments)) == [18, 29]
        for entry in os.listdir(root):
            assert entry.startswith(own)


def test_names_that_differ_in_case_or_form_are_different_arrays(transport: str) -> None:
    names = ["a", "A", "é", "e\u0301"]
    writers = [NdShArray(n, np.array(i), "w", transport=transport) for i, n in enumerate(names)]
    for i, n in enumerate(names):
        with NdShArray(n, r_w="r", transport=transport) as reader:
            assert reader.read()[1] == i
    for writer in writers:
        writer.close()


@pytest.mark.parametrize("bad", ["", "a\0b", "n" * 256, "左" * 86, "\ud800"])
def test_a_bad_name_is_a_value_error(bad: str, transport: str, root: Path) -> None:
    for r_w in "rw":
        with pytest.raises(ValueError):  # noqa: PT011
            NdShArray(bad, r_w=r_w, transport=transport)
    assert os.listdir(root) == []


@pytest.mark.parametrize("bad", [None, 5, b"bytes", Path("x")])
def test_a_name_that_is_no_str_is_a_type_error(bad: Any) -> None:
    with pytest.raises(TypeError, match="str"):
        NdShArray(bad, r_w="r")


def test_arrays_of_different_roots_are_different(
    name: str, transport: str, root: Path, tmp_path: Path
) -> None:
    kinds = {"mmap": MmapTransport, "posix_shm": PosixShmTransport}
    here, there = kinds[transport](directory=root), kinds[transport](directory=tmp_path)
    with NdShArray(name, np.array(1), "w", transport=here):
        with NdShArray(name, np.array(2), "w", transport=there):
            with NdShArray(name, r_w="r", transport=here) as reader:
                assert reader.read()[1] == 1
            with NdShArray(name, r_w="r", transport=there) as reader:
                assert reader.read()[1] == 2
    assert os.listdir(tmp_path) == []


def test_a_tilde_in_the_variable_is_the_users_home(
    name: str, transport: str, root: Path, monkeypatch: pytest.MonkeyPatch, console: Any
) -> None:
    """No shell expands it in a unit or compose file."""
    monkeypatch.setenv("HOME", str(root))
    monkeypatch.setenv("USERPROFILE", str(root))  # the same on Windows
    monkeypatch.setenv("NDSHARRAY_DIR", " ~/mine ")
    with NdShArray(name, np.arange(3), "w", transport=transport) as writer:
        assert writer.transport.root == os.path.join(os.path.realpath(root), "mine")
        child = console()
        child.run(f"import os; os.chdir({str(root)!r})")
        reader = f"NdShArray({name!r}, r_w='r', transport={transport!r})"
        assert child.run(f"{reader}.read()[1].tolist()") == [0, 1, 2]
    os.rmdir(root / "mine")


@pytest.mark.skipif(
    sys.platform == "win32", reason="there, users' homes are guessed from one's own"
)
def test_the_home_of_a_named_user(monkeypatch: pytest.MonkeyPatch) -> None:
    pwd = pytest.importorskip("pwd")
    users = pwd.getpwall()
    if not users:
        pytest.skip("no user has a name here: a bare container")
    user = users[0]
    monkeypatch.setenv("NDSHARRAY_DIR", f"~{user.pw_name}/mine")
    assert base.default_root() == os.path.join(user.pw_dir, "mine")


UNKNOWN = pytest.param(
    "~nobody-of-that-name/shm",
    marks=pytest.mark.skipif(sys.platform == "win32", reason="there, users' homes are guessed"),
)


@pytest.mark.parametrize("given", ["shm", "./shm", "../shm", ".", UNKNOWN, "$HOME"])
def test_a_relative_path_in_the_variable_is_refused_by_name(
    name: str, transport: str, given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NDSHARRAY_DIR", given)
    for role in "wr":
        with pytest.raises(ValueError, match=r"NDSHARRAY_DIR.*absolute.*miss each other") as caught:
            NdShArray(name, r_w=role, transport=transport)
        assert repr(given) in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_an_argument_is_a_path_as_any_other(
    transport: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {"mmap": MmapTransport, "posix_shm": PosixShmTransport}
    monkeypatch.chdir(root)
    monkeypatch.setenv("HOME", "/nowhere")
    here = os.path.realpath(root)
    assert kinds[transport]("shm").root == os.path.join(here, "shm")
    assert kinds[transport]("~").root == os.path.join(here, "~")


def test_the_default_root_is_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NDSHARRAY_DIR")
    monkeypatch.setattr(base.sys, "platform", "linux")
    monkeypatch.setattr(base.os, "access", lambda *_: True)
    monkeypatch.setattr(base.os, "getuid", lambda: 1234, raising=False)
    assert base.default_root() == "/dev/shm/ndsharray-1234"
    monkeypatch.setattr(base.sys, "platform", "darwin")
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/var/tmp")
    assert base.default_root() == os.path.join("/var/tmp", "ndsharray-ann")


def test_importing_the_library_imports_no_transport() -> None:
    code = "import sys, ndsharray; print([m for m in sys.modules if m.startswith('ndsharray.b')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['ndsharray.backends.base', 'ndsharray.backends']"
    assert known() == ["mmap", "posix_shm"]
