"""Both sides of the stereo camera in one command: `python examples/stereo`."""

import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent

if __name__ == "__main__":
    pair = runpy.run_path(str(FOLDER.parent / "pair.py"))
    sys.exit(pair["run"](FOLDER, consumer=["--wait", "--tolerance"]))
