"""Agents are pure functions: no thread, socket, queue or file, of any kind."""

import ast
from pathlib import Path

import pytest

AGENTS = Path(__file__).parents[2] / "agents"
FORBIDDEN = {
    *("threading", "multiprocessing", "concurrent", "asyncio", "subprocess", "signal"),
    *("socket", "socketserver", "ssl", "http", "urllib", "selectors", "queue"),
    *("os", "io", "pathlib", "shutil", "tempfile", "mmap", "pickle", "time", "sys"),
}


def faults(source):
    """What a module does that no agent may."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("open", "print", "exec", "eval"):
                yield f"line {node.lineno}: {node.func.id}()"
        for name in names:
            if name.split(".")[0] in FORBIDDEN:
                yield f"line {node.lineno}: imports {name}"


@pytest.mark.parametrize(
    "path", sorted(AGENTS.rglob("*.py")), ids=lambda path: str(path.relative_to(AGENTS))
)
def test_agents_do_nothing_but_compute(path):
    assert not list(faults(path.read_text()))


@pytest.mark.parametrize(
    "source", ["import queue", "from os import path", "def f():\n    open('x')"]
)
def test_the_test_can_fail(source):
    assert list(faults(source))
