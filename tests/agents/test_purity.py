"""Agents only compute and topologies only join: none waits, talks or writes."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = [ROOT / "agents", ROOT / "acmelike" / "topologies"]
FORBIDDEN = {
    *("threading", "multiprocessing", "concurrent", "asyncio", "subprocess", "signal"),
    *("socket", "socketserver", "ssl", "http", "urllib", "selectors", "queue"),
    *("os", "io", "pathlib", "shutil", "tempfile", "mmap", "pickle", "time", "sys"),
    *("ctypes", "importlib", "runpy", "builtins", "cloudpickle", "sched"),
}
# Calls by their name alone, and by the last of a dotted one: files, or a wait.
FORBIDDEN_CALLS = {"open", "print", "input", "exec", "eval", "compile", "__import__"}
FORBIDDEN_METHODS = {
    *("save", "savez", "savez_compressed", "savetxt", "load", "loadtxt", "genfromtxt"),
    *("fromfile", "tofile", "memmap", "open_memmap", "dump", "dumps", "loads"),
    *("read_text", "write_text", "read_bytes", "write_bytes", "open", "sleep"),
}


def faults(source):
    """What a module does that no agent may."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            found = {alias.name for alias in node.names} & FORBIDDEN_METHODS
            yield from (f"line {node.lineno}: imports {name}" for name in found)
        # Not only calls: whoever keeps `np.save` may call it elsewhere.
        elif isinstance(node, ast.Name) and node.id in FORBIDDEN_CALLS:
            yield f"line {node.lineno}: {node.id}"
        elif isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_METHODS:
            yield f"line {node.lineno}: .{node.attr}"
        for name in names:
            if name.split(".")[0] in FORBIDDEN:
                yield f"line {node.lineno}: imports {name}"


@pytest.mark.parametrize(
    "path",
    sorted(path for folder in PURE for path in folder.rglob("*.py")),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_agents_and_topologies_do_nothing_but_compute(path):
    assert not list(faults(path.read_text()))


@pytest.mark.parametrize(
    "source",
    [
        *("import queue", "from os import path", "def f():\n    open('x')"),
        *("import ctypes.util", "import importlib", "__import__('os')"),
        *("np.save('x', x)", "x = np.load('x')", "x.tofile('x')", "keep = np.savez"),
        *("from numpy import save", "from acmelike.core import sleep", "say = print"),
    ],
)
def test_the_test_can_fail(source):
    assert list(faults(source))
