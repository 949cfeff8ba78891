"""`serial`: whose turn it is, and when a turn ends."""

import threading

from acmelike import Node, Program, launch
from acmelike.core import stop_run, when
from acmelike.launchers.turns import TurnScheduler


class Log:
    """Keeps who called it, and lets a reader wait for a number of calls."""

    def __init__(self):
        self.names = []

    def add(self, name):
        self.names.append(name)

    def _too_few(self, number):
        return None if len(self.names) >= number else f"{len(self.names)}"

    @when(_too_few)
    def at_least(self, number):
        return list(self.names)


class Caller:
    def __init__(self, name, log):
        self.name, self.log = name, log

    def step(self):
        self.log.add(self.name)


class Reader:
    """Is there again after every so many calls, and ends the run after the last."""

    def __init__(self, log, numbers):
        self.log, self.numbers = log, list(numbers)

    def step(self):
        found = self.log.at_least(self.numbers.pop(0))
        self.log.add("reader")
        if not self.numbers:
            stop_run(",".join(found))


def order(*numbers):
    """Who called, in order, until the reader has seen so many calls."""
    program = Program("turns")
    log = program.add_node(Node(Log), label="book")
    for name in ("a", "b"):
        program.add_node(Node(Caller, name, log), label=f"caller/{name}")
    program.add_node(Node(Reader, log, numbers), label="reader")
    with launch(program, "serial") as run:
        return run.wait(timeout=30).split(",")


def test_a_node_that_need_not_wait_makes_many_steps_in_its_turn():
    found = order(100)
    assert found[:64] == ["a"] * 32 + ["b"] * 32
    assert found[64:96] == ["a"] * 32


def test_a_turn_ends_with_the_step_that_another_node_waited_for():
    found = order(1, 67, 68)
    # It comes after both have had a turn. Then it waits for two more calls, and is next
    # after the nodes that are before it in label order.
    assert found[64:] == ["reader", "a", "a", "b", "reader"]


class Parked:
    """A wait for a call at a service where a caller outside runs a method."""

    deadline = None

    def __init__(self, num_looks):
        self.num_looks = num_looks

    def done(self):
        self.num_looks -= 1
        return self.num_looks < 0


def test_a_deadlock_is_told_once_though_a_wait_ends_later():
    """The run is ended then, and a method that runs meanwhile is not interrupted."""
    told = []
    turns = TurnScheduler(["a", "b"], threading.Event(), lambda: told.append(True))
    turns.enter("a")
    turns._turn("a").waits_for = Parked(num_looks=4)
    turns.leave("b")
    assert told == [True]
    turns.enter("a")  # It has the turn.
