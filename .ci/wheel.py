"""Try a built wheel: alone with what it needs, then with the suite of the source package.

    python .ci/wheel.py DIST [PYTEST'S OPTIONS]

DIST holds one wheel and one source package. In an environment with the wheel and its requirements
alone, the example pair runs on both transports; then the tests, without OpenCV.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path


def main(dist: Path, options: list[str]) -> int:
    """Return pytest's exit code; what failed before that raised."""
    (wheel,), (source,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as work:
        place = Path(work)
        venv.create(place / "env", with_pip=True)
        python = place / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"

        def run(*command: object) -> str:
            arguments = [str(python), "-W", "error", *map(str, command)]
            return subprocess.run(
                arguments, cwd=place, check=True, stdout=subprocess.PIPE, text=True
            ).stdout

        def install(*packages: object) -> None:
            command = [python, "-m", "pip", "install", "--quiet", *packages]
            subprocess.run(list(map(str, command)), check=True)

        install(wheel)
        there = Path(run("-c", "import ndsharray; print(ndsharray.__file__)").strip()).parent
        assert place / "env" in there.parents, there
        with tarfile.open(source) as archive:
            archive.extractall(place, filter="data")
        (project,) = place.glob("ndsharray-*/")
        for transport in ("mmap", "posix_shm"):
            print(run(project / "examples" / "changing_shapes", "--transport", transport))
        # Tests of the code as text look beside themselves: what is there is the wheel's.
        shutil.rmtree(project / "ndsharray")
        shutil.copytree(there, project / "ndsharray")
        install("pytest", "pytest-timeout", "hypothesis")
        return subprocess.run(
            [str(python), "-m", "pytest", "--full", *options], cwd=project, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
