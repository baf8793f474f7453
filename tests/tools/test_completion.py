"""The scripts that complete command lines, run by the shells that are here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ndsharray import NdShArray
from ndsharray.tools import cli

SHELLS = ["bash", "fish", "zsh"]


def script_of(shell: str, capsys: Any) -> str:
    assert cli.main(["completion", shell]) == 0
    return str(capsys.readouterr().out)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_one_of_its_shell(shell: str, capsys: Any, tmp_path: Path) -> None:
    script = script_of(shell, capsys)
    for command in cli.COMMANDS:
        assert command in script
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    (tmp_path / "script").write_text(script, encoding="utf8")
    subprocess.run([shell, "-n", str(tmp_path / "script")], check=True, timeout=20)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the command on the path, whether it is installed or not."""
    file = tmp_path / "bin" / "ndsharray"
    file.parent.mkdir()
    file.write_text(f'#!/bin/sh\nexec {sys.executable} -m ndsharray "$@"\n', encoding="utf8")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{file.parent}:/usr/bin:/bin")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_commands_options_arrays_and_files(
    program: None, capsys: Any, tmp_path: Path
) -> None:
    del program

    def completed(*words: str) -> list[str]:
        listed = " ".join(f"'{word}'" for word in words)
        code = f"""{script}
            COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; _ndsharray
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        done = subprocess.run(
            ["bash", "-c", code], capture_output=True, text=True, check=True, timeout=30
        )
        assert done.stderr == ""
        return done.stdout.split("\n")[:-1]

    script = script_of("bash", capsys)
    assert completed("ndsharray", "li") == ["list"]
    assert completed("ndsharray", "hz", "--wi") == ["--window"]
    assert completed("ndsharray", "hz", "--transport", "") == ["mmap", "posix_shm"]
    assert completed("ndsharray", "completion", "f") == ["fish"]
    with NdShArray("Kamera 1", np.zeros(1), "w"):
        assert completed("ndsharray", "show", "Ka") == [r"Kamera\ 1"]
    (tmp_path / "my run.mcap").touch()
    for words in (("replay",), ("recover",), ("export",), ("view", "--root")):
        assert completed("ndsharray", *words, f"{tmp_path}/my") == [f"{tmp_path}/my run.mcap"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish here")
def test_fish_completes_commands(capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "script.fish").write_text(script_of("fish", capsys), encoding="utf8")
    code = f"source {tmp_path}/script.fish; complete -C 'ndsharray li'"
    done = subprocess.run(["fish", "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.split() == ["list", *cli.COMMANDS["list"].split()]
