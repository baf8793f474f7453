"""Two machines in one command, `python examples/two_machines`: each is a root of its own.

The producer writes an ordinary array on the first one, the consumer reads an ordinary array on the
second one, and a bridge on each takes the frames across, here over loopback TCP.
"""

from __future__ import annotations

import argparse
import queue
import runpy
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BRIDGE = [sys.executable, "-m", "ndsharray", "bridge", "zenoh"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=60, help="(default: %(default)s)")
    parser.add_argument("--name", default="camera", help="of the array (default: %(default)s)")
    args = parser.parse_args()
    pair = runpy.run_path(str(FOLDER.parent / "pair.py"))
    ended: queue.Queue[tuple[str, int]] = queue.Queue()
    children: list[subprocess.Popen[str]] = []
    pair["heed_signals"]()
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
        endpoint = f"tcp/127.0.0.1:{free_port()}"
        bridges = [
            [*BRIDGE, "--root", here, "--listen", endpoint, "--export", args.name],
            [*BRIDGE, "--root", there, "--connect", endpoint, "--import", args.name],
        ]
        try:
            for bridge in bridges:
                children.append(subprocess.Popen(bridge, stdin=subprocess.DEVNULL, text=True))
            both = ["--name", args.name]
            pair["start"](FOLDER, "consumer", [*both, "--root", there], children, ended).wait()
            frames = ["--frames", str(args.frames)]
            pair["start"](FOLDER, "producer", [*both, "--root", here, *frames], children, ended)
            return max(ended.get()[1] for _ in range(2))
        except KeyboardInterrupt:
            return 130
        finally:
            pair["end"](children)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
