"""What a type checker knows of a program: handles are their nodes' classes."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).parents[2]

PROGRAM = """
from acmelike import Node, Program, launch, start, when

class Queue:
    def full(self, item: int) -> str | None: ...
    @when(full)
    def put(self, item: int) -> None: ...
    def get(self) -> int: return 1

class Consumer:
    def __init__(self, queue: Queue, *, last: int): ...

program = Program("typed")
queue = program.add_node(Node(Queue), label="queue")
program.add_node(Node(Consumer, queue, last=10), label="consumer")
run = launch(program)
good: int = start(run.client(queue).get).result() + queue.get()

queue.putt(1)
queue.put("one")
start(queue.put, "one")
Node(Consumer, queue)
Node(Consumer, 3, last=10)
bad: str = run.client(queue).get()
"""

ERRORS = [
    'has no attribute "putt"',
    '"put" of "Queue" has incompatible type "str"',
    'has incompatible type "str"; expected "int"',
    'Missing named argument "last"',
    'has incompatible type "int"; expected "Queue"',
    'expression has type "int", variable has type "str"',
]


# Of other libraries nothing is asked here, and to check them takes most of the time.
SETTINGS = """
[mypy]
strict = True

[mypy-acmelike.*]
follow_imports = silent

[mypy-flax.*,gymnasium.*,jax.*,matplotlib.*,optax.*,optree.*,rich.*,rlax.*,tyro.*]
follow_imports = skip
"""


@pytest.mark.slow
def test_handles_and_nodes_are_typed(tmp_path):
    file, config = tmp_path / "program.py", tmp_path / "mypy.ini"
    file.write_text(PROGRAM)
    config.write_text(SETTINGS)
    cache = ROOT / ".pytest_cache" / "mypy"
    flags = [f"--config-file={config}", f"--cache-dir={cache}"]
    out, problems, _ = api.run([str(file), *flags])
    assert not problems
    first = PROGRAM.splitlines().index("queue.putt(1)") + 1
    errors = [line for line in out.splitlines() if ": error:" in line]
    assert len(errors) == len(ERRORS), out
    for number, (error, expected) in enumerate(zip(errors, ERRORS, strict=True)):
        assert f"program.py:{first + number}: " in error
        assert expected in error
