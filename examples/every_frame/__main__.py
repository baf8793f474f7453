"""Both sides of the logger in one command: `python examples/every_frame`."""

import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent

if __name__ == "__main__":
    pair = runpy.run_path(str(FOLDER.parent / "pair.py"))
    sys.exit(pair["run"](FOLDER, both=["--wait"], consumer=["--log"]))
