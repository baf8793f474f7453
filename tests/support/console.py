"""Another Python process that runs line by line what a test tells it: a second console."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import Any

from patience import PATIENCE

_LOOP = """
import sys, traceback
import numpy as np
import ndsharray
from ndsharray import *
for line in sys.stdin:
    try:
        try:
            result = eval(line)
        except SyntaxError:
            result = exec(line)
        print("=" + repr(result), flush=True)
    except Exception as error:
        print("!" + repr((type(error).__name__, str(error))), flush=True)
"""


class Failed(Exception):
    """What was run in the console raised; `args` are the error's class name and message."""


class Console:
    """A child process with numpy and ndsharray imported; warnings are errors there too."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", *arguments, "-c", _LOOP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def begin(self, code: str) -> None:
        """Have one line run, and do not wait for it."""
        assert self.process.stdin is not None
        self.process.stdin.write(code + "\n")
        self.process.stdin.flush()

    def result(self) -> Any:
        """Wait for what was begun, and return its value."""
        assert self.process.stdout is not None
        while True:
            answer = self.process.stdout.readline()
            if answer.startswith("="):
                try:
                    return ast.literal_eval(answer[1:])
                except (ValueError, SyntaxError):
                    return answer[1:].rstrip()
            if answer.startswith("!"):
                raise Failed(*ast.literal_eval(answer[1:]))
            if not answer:
                raise EOFError(f"console ended: {self.process.stderr.read()}")  # type: ignore

    def run(self, code: str) -> Any:
        self.begin(code)
        return self.result()

    def kill(self) -> None:
        """SIGKILL (TerminateProcess on Windows), and wait until it is gone."""
        self.process.kill()
        self.end()

    def end(self) -> int:
        """Let it come to its end; return its exit code, and keep what it wrote in `errors`."""
        if not self.process.stdin.closed:  # type: ignore[union-attr]
            try:
                _, self.errors = self.process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:  # it waits for ever, as its test failed
                self.process.kill()
                self.process.communicate()
                raise
        return self.process.returncode
