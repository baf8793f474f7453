"""The command ``ndsharray``: which commands there are, and how one starts and ends.

Each command is a module (or, with parts of its own, a folder) of this package, imported when it is
chosen. It has

* ``HELP``: what it does, in a line; ``EXAMPLE``: a command line to begin with,
* ``arguments(parser)``: adds its arguments to an ``argparse.ArgumentParser``,
* ``run(options) -> int``: does it, and returns the exit code.

Exit codes: 0 fine, 1 nothing found, 2 wrong usage, 3 lost data or stopped by a limit, 130 ended by
Ctrl-C or SIGTERM before it was done. Not here: what commands have in common (``common``).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

from .. import NdShArrayError, UnknownTransportError, __version__
from .._registry.names import alike
from .common import ToolError
from .common.pipes import has_no_reader
from .common.stopping import terminated_as_interrupted
from .common.terminal import shown

__all__ = ["COMMANDS", "main", "parser_of"]

COMMANDS = {
    "list": "print which arrays there are",
    "info": "print all that is known about arrays",
    "hz": "measure how many frames a second come, and how evenly",
    "bw": "measure how many bytes a second come",
    "latency": "measure the time from write to read",
    "show": "show one frame in the terminal, or save it to a file",
    "watch": "show a live table of all arrays",
    "view": "show live pictures, plots and tables in a browser",
    "bridge": "copy arrays to other machines",
    "record": "write the frames of arrays to a file",
    "replay": "write the frames of a recording to arrays again",
    "recover": "write what is whole in a damaged recording to a new file",
    "export": "convert a recording to npz, npy or mp4",
    "clean": "remove what killed writers left",
    "doctor": "check whether arrays can work on this machine",
    "completion": "complete command lines in bash, fish or zsh",
}
DEBUG_VARIABLE = "NDSHARRAY_DEBUG"
_USAGE, _INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; default: the program's.

    Returns
    -------
    int
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if sys.stdout is None:  # closed (``>&-``)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            return main(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name need not fit the terminal's encoding
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with terminated_as_interrupted():
            code = _run(arguments)
            sys.stdout.flush()
        return code
    except SystemExit as end:  # argparse has said what is wrong, or has printed the help
        return end.code if isinstance(end.code, int) else _USAGE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except ToolError as error:
        return _failed(str(error), error.code)
    except Exception as error:
        if has_no_reader(error):
            return _reader_has_gone()
        if os.environ.get(DEBUG_VARIABLE):
            raise
        is_usage = isinstance(error, UnknownTransportError)
        return _failed(_in_a_line(error), _USAGE if is_usage else 1)


def _in_a_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        file = error.filename
        return error.strerror if file is None else f"{os.fsdecode(file)}: {error.strerror}"
    if isinstance(error, (NdShArrayError, OSError, ValueError)):
        return str(error)
    return f"{type(error).__name__}: {error} ({DEBUG_VARIABLE}=1 shows where)"


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:2], "--help"]
    command = arguments[0] if arguments else "--help"
    if command.startswith("-"):
        _main_parser().parse_args(arguments or ["--help"])  # it prints, and ends
    if command not in COMMANDS:
        close = alike(command, COMMANDS)
        hint = (
            f"did you mean {' or '.join(map(repr, close))}?" if close else "see 'ndsharray --help'"
        )
        raise ToolError(f"no command {command!r}; {hint}", _USAGE)
    module = _module(command)
    return int(module.run(parser_of(command, module).parse_args(arguments[1:])))


def _module(command: str) -> Any:
    return importlib.import_module(f"{__package__}.{command}")


def parser_of(command: str, module: Any = None) -> argparse.ArgumentParser:
    """Return the parser of a command's arguments."""
    module = module or _module(command)
    parser = argparse.ArgumentParser(
        prog=f"ndsharray {command}",
        description=module.HELP,
        epilog=f"example:\n  {module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.arguments(parser)
    return parser


def _main_parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:{width}}  {what}" for name, what in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="ndsharray",
        usage="ndsharray COMMAND [ARGUMENTS]",
        description="See, measure and move numpy arrays that live in shared memory.",
        epilog=f"commands:\n{listed}\n\n'ndsharray COMMAND --help' explains one of them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ndsharray {__version__}")
    return parser


def _failed(problem: str, code: int) -> int:
    line = " ".join(problem.split())
    print(f"ndsharray: {shown(line)}", file=sys.stderr)
    return code


def _reader_has_gone() -> int:
    """End quietly where the program behind the pipe has ended (``| head``)."""
    # The interpreter flushes at its end, and would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
