"""What doctor finds where something is wrong, and that it leaves nothing."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from commands import kill_writer, lines_of, records_of

from ndsharray import NdShArray
from ndsharray._system import wait
from ndsharray.tools import cli
from ndsharray.tools.doctor import checks


def verdicts(capsys: Any) -> dict[str, tuple[str, str]]:
    return {r["what"]: (r["verdict"], r["found"] + " " + r["advice"]) for r in records_of(capsys)}


def test_all_is_well_here(capsys: Any, root: Path) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    found = verdicts(capsys)
    assert {"versions", "directory", "room", "waiting", "clock"} <= set(found)
    for transport in ("mmap", "posix_shm"):
        assert found[f"trip {transport}"][0] == "ok"
    assert os.listdir(root) == []
    assert cli.main(["doctor"]) == 0
    assert all(line[:4].strip() in ("ok", "warn", "") for line in lines_of(capsys))


def test_what_killed_writers_left_is_told_and_stays(transport: str, capsys: Any) -> None:
    kill_writer(NdShArray("camera", np.zeros(3), "w", transport=transport))
    assert cli.main(["doctor", "--json"]) == 0
    verdict, text = verdicts(capsys)["arrays"]
    assert verdict == "warn"
    assert "1 array that killed writers left" in text
    assert cli.main(["clean", "--yes"]) == 0
    assert "removed 1 array" in lines_of(capsys)[-1]


@pytest.mark.skipif(os.name == "nt", reason="rights of POSIX")
def test_a_root_that_others_may_write_to_is_told(tmp_path: Path, capsys: Any) -> None:
    shared = tmp_path / "team"
    shared.mkdir()
    shared.chmod(0o777)
    assert cli.main(["doctor", "--root", str(shared), "--transport", "mmap", "--json"]) == 0
    verdict, text = verdicts(capsys)["directory"]
    assert verdict == "warn"
    assert "mode=0o660" in text


def test_a_root_without_a_parent_fails(tmp_path: Path, capsys: Any) -> None:
    assert cli.main(["doctor", "--root", str(tmp_path / "no" / "root"), "--json"]) == 1
    found = verdicts(capsys)
    assert found["directory"][0] == "fail"
    assert "make it" in found["directory"][1]


def test_a_file_in_place_of_the_root_fails(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "root").touch()
    assert cli.main(["doctor", "--root", str(tmp_path / "root"), "--json"]) == 1
    assert verdicts(capsys)["directory"][0] == "fail"


def test_no_futex_is_a_warning(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait, "working_futex", lambda: None)
    found = checks.waiting()
    assert "no futex: readers look every 5.0 ms" in found.found
    assert found.verdict == ("warn" if sys.platform.startswith("linux") else "ok")


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_little_room_is_a_warning(root: Path, monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    monkeypatch.setattr(checks, "sys", SimpleNamespace(platform=system))
    usage = checks.shutil.disk_usage(root)._replace(free=64 * 2**20)
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: usage)
    found = checks.room(str(root))
    assert found.verdict == "warn"
    assert "64 MiB" in found.found
    # Wine shows its Linux' directory under Windows' kind of a path.
    has_shm = os.name == "posix" and os.path.isdir("/dev/shm")
    where = "/dev/shm" if system == "linux" and has_shm else "NDSHARRAY_DIR"
    assert where in found.advice
    assert ("--shm-size" in found.advice) == (where == "/dev/shm")


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_low_limits_are_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    found = {check.what: check for check in checks.limits()}
    assert list(found) == ["open files", "file size", "address space"]
    assert {check.verdict for check in found.values()} == {"warn"}
    assert all(check.advice for check in found.values())


def test_a_disk_is_a_warning(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr(checks, "_kind_of_file_system", lambda _: "ext4")
    assert checks.file_system(str(root)).verdict == "warn"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of Linux")
def test_the_file_system_of_dev_shm_is_known() -> None:
    assert checks._kind_of_file_system("/proc/self") == "proc"


def test_a_transport_that_fails_is_told(
    capsys: Any, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("ndsharray.backends.mmap.MmapTransport.create", full)
    assert cli.main(["doctor", "--json"]) == 1
    verdict, text = verdicts(capsys)["trip mmap"]
    assert verdict == "fail"
    assert "no space" in text
    assert os.listdir(root) == []


def test_an_unknown_transport_is_told(capsys: Any) -> None:
    assert cli.main(["doctor", "--transport", "smoke", "--json"]) == 1
    assert verdicts(capsys)["trip smoke"][0] == "fail"
