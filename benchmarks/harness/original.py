"""The environment of the original package: it has this library's import name."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

VERSION = "1.1.4"


def home() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    python = "{}.{}".format(*sys.version_info)
    return Path(cache) / "ndsharray-benchmarks" / f"original-{VERSION}-python{python}"


def find(given: str | None) -> tuple[str | None, str]:
    """Return an interpreter that has it, making its environment if need be; or None, and why."""
    try:
        python = given or str(_make(home()))
        found = subprocess.run(
            [python, "-E", "-c", "import ndsharray; print(ndsharray.__version__)"],
            cwd=tempfile.gettempdir(),  # not a directory with another ndsharray in it
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        text = getattr(error, "stderr", None) or str(error)
        return None, text.strip().splitlines()[-1]
    return (python, "") if found == VERSION else (None, f"{python} has ndsharray {found}")


def _make(directory: Path) -> Path:
    python = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = directory / "complete"
    if not done.exists():
        print(f"making an environment for ndsharray {VERSION}: {directory}", file=sys.stderr)
        command = [sys.executable, "-m", "venv", "--clear", str(directory)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        install = [str(python), "-m", "pip", "install", "-q", f"ndsharray=={VERSION}"]
        subprocess.run(install, check=True, capture_output=True, text=True)
        done.touch()
    return python
