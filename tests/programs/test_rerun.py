"""Rerun, a program that is not ours, shows recordings: pip install rerun-sdk."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mcap")

from recordings import write_recording

RERUN = shutil.which("rerun")


@pytest.mark.skipif(RERUN is None, reason="needs rerun-sdk")
def test_rerun_takes_images_for_images(tmp_path: Path) -> None:
    path, converted = tmp_path / "run.mcap", tmp_path / "run.rrd"
    frames = [("cam", np.full((48, 64, 3), n, np.uint8)) for n in range(5)]
    frames += [("depth", np.full((48, 64), n, np.uint16)) for n in range(5)]
    frames += [("mono", np.full((48, 64), n, np.uint8)) for n in range(5)]
    frames += [("points", np.full(3, n)) for n in range(5)]
    write_recording(path, frames)
    assert RERUN is not None
    subprocess.run([RERUN, "mcap", "convert", path, "-o", converted], check=True, timeout=100)
    command = [RERUN, "rrd", "print", converted]
    out = subprocess.run(command, check=True, timeout=100, capture_output=True, text=True).stdout
    rows = {
        name: sum(
            int(line.split(" with ")[1].split()[0])
            for line in out.splitlines()
            if f" - /{name} - " in line and ("Image:buffer" in line or "Array:message" in line)
        )
        for name in ("cam", "depth", "mono", "points")
    }
    assert rows == {"cam": 5, "depth": 5, "mono": 5, "points": 5}
    images = [line for line in out.splitlines() if "Image:buffer" in line]
    assert {line.split(" - /")[1].split(" ")[0] for line in images} == {"cam", "depth", "mono"}
