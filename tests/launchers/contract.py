"""What the suites of the contract of nodes are made of; every launcher passes them."""

from __future__ import annotations

import os
from collections import deque
from typing import NamedTuple

from acmelike import launch, sleep, when

LIMIT = 20.0  # seconds in which any of these programs ends, or hangs


def run_to_end(program, launcher, **settings):
    with launch(program, launcher, **settings) as run:
        return run.wait(LIMIT)


class Buffer:
    """A bounded queue, for those who put and those who get."""

    def __init__(self, size):
        self.size, self.items, self.gets = size, deque(), []

    def _full(self, item):
        held = len(self.items)
        return f"{held} items of {self.size}" if held >= self.size else None

    @when(_full)
    def put(self, item):
        self.items.append(item)

    def _empty(self, who=None):
        return None if self.items else "no items"

    @when(_empty)
    def get(self, who=None):
        self.gets.append(who)
        return self.items.popleft()

    def num_held(self):
        return len(self.items)

    def got(self):
        return list(self.gets)


class Step:
    """A worker made of a function, for tests that need no class of their own."""

    def __init__(self, function, *edges):
        self.function, self.edges = function, edges

    def step(self):
        self.function(*self.edges)


class Once(Step):
    """A worker whose function is its whole work."""

    step = None

    def run(self):
        self.function(*self.edges)


class Note(NamedTuple):
    """Where a `Noter` runs: its process, the one that started that, and its seed."""

    process: int
    parent: int
    seed: int


class Board:
    """What workers note, for tests that wait for it."""

    def __init__(self):
        self.notes = []

    def note(self, note):
        self.notes.append(note)

    def _too_few(self, number):
        return f"{len(self.notes)} of {number}" if len(self.notes) < number else None

    @when(_too_few)
    def first(self, number):
        return self.notes[:number]


class Noter:
    """A worker that notes where it runs, once for each process, and lives on."""

    def __init__(self, board, seed=0):
        self.board, self.seed, self.is_new = board, seed, True

    def step(self):
        if self.is_new:
            print("here", flush=True)
            self.board.note(Note(os.getpid(), os.getppid(), self.seed))
            self.is_new = False
        else:
            sleep(None, "its end")
