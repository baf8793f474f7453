"""Data flows one way: each module imports what the table allows, and nothing else of ours."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ndsharray
from ndsharray.tools.cli import COMMANDS

PACKAGE = Path(ndsharray.__file__).parent

# Lowest first: each room imports of itself, and of those that its row names.
LAYERS = {
    "errors": "",
    "_system": "errors",
    "backends": "errors",
    "_protocol": "_system errors",
    "_registry": "_protocol backends _system errors",
    "_arguments": "_protocol",
    "_reader": "_registry _protocol backends _system errors",
    "_writer": "_arguments _registry _protocol backends _system errors",
    "testing": "backends",
    "ndsharray": "_arguments _writer _reader _registry _protocol backends _system errors",
    "read_set": "ndsharray _arguments _reader _system backends errors",
    "__init__": "ndsharray read_set _registry backends _system errors",
    "tools": "__init__ _registry _protocol backends _system errors",
    "__main__": "tools",
}
# What an extra installs, by the modules of the tools that use it.
EXTRAS = {
    "tools.view": {"PIL", "starlette", "uvicorn"},
    "tools.recording": {"mcap"},
}
# The one public class, which is documentation in the main.
LONG = {"ndsharray"}
OUTSIDE = {"numpy", "typing_extensions", "_posixshmem"}
# What knows no file, no process and no operating system; `memory` knows the processor,
# `dtypes` what is imported.
PURE = ["format", "layout", "npy", "seqlock", "writing", "reading"]
IMPURE = {"os", "mmap", "fcntl", "multiprocessing", "time", "tempfile", "signal", "sys"}


def modules() -> list[str]:
    found = [path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")]
    return sorted(".".join(path.parts) for path in found)


def imports(module: str) -> tuple[set[str], set[str]]:
    """Return what a module imports: of ours, and the top level names of the rest."""
    path = PACKAGE / (module.replace(".", "/") + ".py")
    ours, rest = set(), set()
    package = module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            rest |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            rest.add(str(node.module).split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            if node.module:
                base = [*base, *node.module.split(".")]
            for alias in node.names:
                whole = ".".join([*base, alias.name])
                ours.add(whole if is_module(whole) else ".".join(base) or "__init__")
    return {name.replace(".__init__", "") for name in ours}, rest


def is_module(name: str) -> bool:
    return is_file(name) or is_file(f"{name}.__init__")


def is_file(name: str) -> bool:
    return (PACKAGE / (name.replace(".", "/") + ".py")).exists()


def room(module: str) -> str:
    return module.split(".")[0]


def test_every_room_is_in_the_table() -> None:
    assert {room(module) for module in modules()} == set(LAYERS)


def test_every_room_imports_only_those_above_it_in_the_table() -> None:
    below: set[str] = set()
    for name, allowed in LAYERS.items():
        assert set(allowed.split()) <= below
        below.add(name)


def test_the_top_of_the_package_can_be_looked_through() -> None:
    # What every package has, or the language wants there.
    usual = {"__pycache__", "__init__.py", "__main__.py", "py.typed"}
    assert len(set(os.listdir(PACKAGE)) - usual) <= 12


def test_the_tools_are_commands_and_what_these_share() -> None:
    found = {path.stem for path in (PACKAGE / "tools").iterdir() if not path.name.startswith("__")}
    assert found == {*COMMANDS, "cli", "common", "recording"}


@pytest.mark.parametrize("module", modules())
def test_no_module_is_long(module: str) -> None:
    path = PACKAGE / (module.replace(".", "/") + ".py")
    if module not in LONG:
        assert len(path.read_text(encoding="utf8").splitlines()) <= 300


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_what_the_table_allows(module: str) -> None:
    ours, rest = imports(module)
    assert {room(other) for other in ours} <= {room(module), *LAYERS[room(module)].split()}
    standard = getattr(sys, "stdlib_module_names", rest)
    outside = OUTSIDE | ({"pytest"} if module == "testing" else set())
    outside |= {name for place in EXTRAS if module.startswith(place) for name in EXTRAS[place]}
    assert rest - set(standard) <= outside


def test_no_modules_import_each_other() -> None:
    open_, done = set(), set()

    def visit(module: str) -> None:
        assert module not in open_, f"{module} is in a circle"
        if module not in done:
            open_.add(module)
            for other in imports(module)[0]:
                visit(other if is_file(other) else f"{other}.__init__")
            open_.remove(module)
            done.add(module)

    for module in modules():
        visit(module)


@pytest.mark.parametrize("module", PURE)
def test_the_protocol_knows_no_file_process_or_system(module: str) -> None:
    ours, rest = imports(f"_protocol.{module}")
    assert not rest & IMPURE
    assert {room(other) for other in ours} <= {"_protocol", "errors"}


def test_a_first_frame_needs_nothing_that_is_slow_to_import(name: str) -> None:
    code = """if True:
        import sys
        import numpy as np
        before = set(sys.modules)
        from ndsharray import NdShArray
        with NdShArray(sys.argv[1], np.arange(3), "w"), NdShArray(sys.argv[1], r_w="r") as reader:
            assert reader.read()[0]
        print(*sorted(set(sys.modules) - before))
    """
    command = [sys.executable, "-c", code, name]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    slow = {
        "numpy.ma",
        "difflib",
        "tempfile",
        "shutil",
        "getpass",
        "typing_extensions",
        "asyncio",
        "dataclasses",
    }
    assert "ndsharray" in loaded
    assert not slow & set(loaded)
