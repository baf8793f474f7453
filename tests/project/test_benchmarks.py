"""The benchmark's command runs to its end: its figures are for people, these are only its ways."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ndsharray

HERE = Path(__file__).resolve()
ROOT = next((up for up in HERE.parents if (up / "pyproject.toml").is_file()), HERE.parent)
COMMAND = ROOT / "benchmarks"

pytestmark = pytest.mark.skipif(
    not (sys.platform.startswith("linux") and COMMAND.is_dir()),
    reason="the benchmark is made for Linux, and stands in a checkout",
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, str(COMMAND), *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_short_run_keeps_and_shows_its_figures(tmp_path):
    file = tmp_path / "figures.json"
    done = run("--short", "--only", "small", "--rivals", "mmap,floor", "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert "== targets ==" in done.stdout
    kept = json.loads(file.read_text())
    assert kept["short"] is True
    assert kept["failures"] == kept["missing"] == {}
    assert set(kept["figures"]["small"]["64 B"]) == {"mmap", "floor"}
    assert kept["figures"]["small"]["64 B"]["mmap"]["write"]["median"] > 0


def test_two_checkouts_are_measured_alternately(tmp_path):
    (tmp_path / "ndsharray").symlink_to(ROOT / "ndsharray")
    done = run("--against", str(tmp_path), "--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert f"other: ndsharray {ndsharray.__version__} in {tmp_path}" in done.stdout
    for transport in ("mmap", "posix_shm"):
        for kind in ("64 B: write", "64 B: read", "720p: write", "720p: read"):
            assert f"{transport}, {kind}" in done.stdout


def test_a_checkout_that_cannot_be_imported_is_named(tmp_path):
    (tmp_path / "ndsharray").mkdir()
    (tmp_path / "ndsharray" / "__init__.py").write_text("raise ImportError('half a checkout')")
    done = run("--against", str(tmp_path), "--rounds", "1")
    assert done.returncode == 1
    assert "other: ImportError: half a checkout" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--against", "/nowhere"),
        ("--only", "nothing"),
        ("--rivals", "nobody"),
        ("--rounds", "0"),
        ("--quick", "--sizes"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_runs(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert "error:" in done.stderr


def test_the_stored_ratios_are_those_that_a_quick_run_measures():
    code = """if True:
        from report import ratios, targets
        rows = {f"{t}, {row.text}" for row in ratios.ROWS for t in targets.TRANSPORTS}
        assert set(ratios.load()) == rows, rows ^ set(ratios.load())"""
    subprocess.run([sys.executable, "-c", code], cwd=COMMAND, check=True, timeout=60)
