"""Data flows one way: each module imports what the table allows, and nothing else of ours."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ndsharray

PACKAGE = Path(ndsharray.__file__).parent

# module: what it may import of ours. The table of the design, with the modules that the large
# ones were split into.
ALLOWED = {
    "__init__": "_interpreter backends errors ndsharray",
    "_interpreter": "",
    "ndsharray": "_address _arguments _hint _layout _loan _memory _reader _sweep _take _types "
    "_writer backends backends.base errors",
    "_writer": "_fork _address _cell _clock _control _exit _frames _layout _lease _leftovers _loan "
    "_memory _need _root_watch _seqlock _turn _types backends.base errors",
    "_loan": "_control _frames _layout _types",
    "_frames": "_fork _layout _memory _seqlock backends.base",
    "_control": "_address _clock _layout _lease _leftovers _memory _seqlock _wait backends.base "
    "errors",
    "_reader": "_address _asleep _attached _buffers _clock _exit _find _follow _foreign _fork "
    "_layout _pins _root_watch _take _turn _wait errors",
    "_find": "_address _attached _clock _layout _lease _memory _root_watch _seqlock backends.base",
    "_follow": "_address _attached _layout _pins _take _wait",
    "_pins": "_fork _address _attached _cell _clock _exit _layout _memory _seqlock",
    "_take": "_attached _buffers _memory _types",
    "_attached": "_address _buffers _layout _memory _seqlock backends.base errors",
    "_sweep": "_address _cell _leftovers _lease backends.base",
    "_leftovers": "_address _lease errors _layout _memory backends.base",
    "_cell": "_address _layout _lease _memory _seqlock",
    "_address": "backends.base",
    "_seqlock": "_layout _memory errors",
    "_need": "_layout",
    "_layout": "_memory _npy _types errors",
    "_npy": "_types",
    "_fork": "",
    "_memory": "_foreign _fork",
    "_foreign": "",
    "_buffers": "",
    "_turn": "",
    "_wait": "_foreign",
    "_asleep": "_root_watch _wait",
    "_root_watch": "_foreign _fork",
    "_arguments": "_layout _types",
    "_clock": "",
    "_exit": "",
    "_hint": "_address _arrays _clock _lease backends backends.base",
    "_arrays": "_address _layout _memory backends.base errors",
    "_lease": "_fork",
    "_types": "",
    "errors": "",
    "testing": "backends.base",
    "backends.__init__": "backends.base backends.mmap backends.posix_shm errors",
    "backends.base": "",
    "backends.pages": "backends.base",
    "backends.mmap": "backends.base backends.pages",
    "backends.posix_shm": "backends.base backends.pages",
}
OUTSIDE = {"numpy", "typing_extensions", "_posixshmem"}
# What knows no file, no process and no operating system.
PURE = ["_seqlock", "_layout", "_npy", "_attached", "_frames"]
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
                ours.add(whole if is_module(whole) else ".".join(base))
    return {name.replace(".__init__", "") for name in ours}, rest


def is_module(name: str) -> bool:
    path = PACKAGE / name.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_every_module_is_in_the_table() -> None:
    assert modules() == sorted(ALLOWED)


@pytest.mark.parametrize("module", sorted(ALLOWED))
def test_a_module_imports_only_what_the_table_allows(module: str) -> None:
    ours, rest = imports(module)
    assert ours <= set(ALLOWED[module].split())
    standard = getattr(sys, "stdlib_module_names", rest)
    outside = OUTSIDE | ({"pytest"} if module == "testing" else set())
    assert rest - set(standard) <= outside


@pytest.mark.parametrize("module", PURE)
def test_the_protocol_knows_no_file_process_or_system(module: str) -> None:
    assert not imports(module)[1] & IMPURE


def test_the_table_has_no_cycle() -> None:
    order: list[str] = []

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"cycle: {path}"
        if module not in order:
            for needed in ALLOWED.get(module, ALLOWED.get(f"{module}.__init__", "")).split():
                visit(needed, (*path, module))
            order.append(module)

    for module in ALLOWED:
        visit(module.replace(".__init__", ""), ())


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
    slow = {"numpy.ma", "difflib", "tempfile", "shutil", "getpass", "typing_extensions", "asyncio"}
    assert "ndsharray" in loaded
    assert not slow & set(loaded)


def test_a_long_module_says_why_at_its_top() -> None:
    for module in modules():
        text = (PACKAGE / (module.replace(".", "/") + ".py")).read_text(encoding="utf8")
        if text.count("\n") > 300:
            assert "lines" in str(ast.get_docstring(ast.parse(text))), module
