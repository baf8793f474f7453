"""Commands on a terminal of their own."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time

from patience import PATIENCE

COMMAND = [sys.executable, "-W", "error", "-m", "ndsharray"]


class OnTerminal:
    """A command on a terminal of its own; both end with the block."""

    def __init__(self, *arguments: str, term: str = "xterm-256color", size: str = "80x24") -> None:
        import fcntl
        import struct
        import termios

        self.fd, child = os.openpty()
        columns, lines = map(int, size.split("x"))
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        environment = {**os.environ, "TERM": term}
        for variable in ("COLUMNS", "LINES", "NO_COLOR", "COLORTERM"):
            environment.pop(variable, None)
        self.modes = termios.tcgetattr(child)
        self.child_fd = child
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=child,
            stdout=child,
            stderr=child,
            env=environment,
            start_new_session=True,
        )
        self.text = ""

    def until(self, what: str) -> str:
        """Read until a text comes."""
        end = time.monotonic() + PATIENCE
        while what not in self.text:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            assert ready, f"no {what!r} in {self.text[-2000:]!r}"
            self.text += os.read(self.fd, 65536).decode("utf8", "replace")
        return self.text

    def end(self) -> None:
        """Wait for its end; the terminal must be as it was."""
        import termios

        self.until("\x1b[?25h\x1b[?1049l")
        assert self.process.wait(PATIENCE) == 0
        assert termios.tcgetattr(self.child_fd) == self.modes

    def __enter__(self) -> OnTerminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()  # does nothing to one that has been waited for
        self.process.wait()
        for fd in (self.fd, self.child_fd):
            os.close(fd)
