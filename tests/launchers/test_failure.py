"""The contract of nodes: what a node that fails does to the run and to its callers."""

from __future__ import annotations

import pytest

from acmelike import Node, Program, launch, sleep, start, stop_run, when
from acmelike.errors import (
    NodeFailed,
    NoSuchMethod,
)
from tests.launchers.contract import LIMIT, Buffer, Once, Step, run_to_end


def explode(*edges):
    raise ValueError("boom")


class Stillborn:
    """A service whose constructor fails."""

    def __init__(self):
        explode()


class Faulty:
    """A service whose guard is wrong."""

    def _wrong(self):
        raise ValueError("boom")

    @when(_wrong)
    def call(self):
        raise AssertionError


@pytest.mark.parametrize(
    ("node", "where"),
    [
        (Node(Step, explode), "step"),
        (Node(Once, explode), "run"),
        (Node(Stillborn), "constructor"),
        (Node(explode), "function"),
    ],
)
def test_a_failing_node_stops_the_run_with_its_name(launcher, node, where):
    program = Program("failure")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(node, label="bad/one")
    program.add_node(Node(Step, lambda b: b.get(), buffer), label="waiter")
    message = f"node 'bad/one' failed in its {where}: ValueError: boom"
    with pytest.raises(NodeFailed, match=message) as caught:
        run_to_end(program, launcher)
    assert caught.value.label == "bad/one"
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_failing_guard_stops_the_run_with_the_name_of_its_node(launcher):
    program = Program("guard")
    faulty = program.add_node(Node(Faulty), label="faulty")
    program.add_node(Node(Step, lambda f: f.call(), faulty), label="caller")
    with pytest.raises(NodeFailed, match="'faulty' failed in its guard of 'call'"):
        run_to_end(program, launcher)


def test_a_guard_that_fails_only_when_tested_again_stops_the_run_too(launcher):
    class Later:
        def __init__(self):
            self.is_broken = False

        def _guard(self):
            if self.is_broken:
                raise ValueError("boom")
            return "not yet"

        @when(_guard)
        def wait(self):
            raise AssertionError

        def break_it(self):
            self.is_broken = True

    def work(later):
        start(later.wait)
        later.break_it()
        sleep(None, "the end")

    program = Program("later")
    later = program.add_node(Node(Later), label="later")
    program.add_node(Node(Step, work, later), label="worker")
    with pytest.raises(NodeFailed, match="'later' failed in its guard of 'wait'"):
        run_to_end(program, launcher)


def test_an_error_of_a_method_is_raised_at_its_caller_as_its_own_type(launcher):
    class Library:
        def find(self, name):
            return {}[name]

    def ask(library):
        with pytest.raises(KeyError, match="nothing"):
            library.find("nothing")
        library.find("something")

    program = Program("remote")
    library = program.add_node(Node(Library), label="library")
    program.add_node(Node(Step, ask, library), label="reader")
    message = r"'reader' failed in its step: KeyError.*raised by library\.find"
    with pytest.raises(NodeFailed, match=message):
        run_to_end(program, launcher)


def test_a_method_that_does_not_exist_is_refused_with_the_nearest_name(launcher):
    def call(buffer):
        with pytest.raises(NoSuchMethod, match="'num_hold'; did you mean 'num_held'"):
            buffer.num_hold()
        with pytest.raises(NoSuchMethod, match="'step'"):
            buffer.step()
        stop_run("refused")

    program = Program("names")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, call, buffer), label="caller")
    assert run_to_end(program, launcher) == "refused"


def test_stop_run_in_a_method_ends_the_run(launcher):
    class Judge:
        def judge(self):
            stop_run("judged")

    program = Program("judge")
    judge = program.add_node(Node(Judge), label="judge")
    program.add_node(Node(Step, lambda j: j.judge(), judge), label="suspect")
    assert run_to_end(program, launcher) == "judged"


def test_a_failure_is_raised_at_the_end_of_the_block_if_nobody_waited(launcher):
    program = Program("unseen")
    program.add_node(Node(Step, explode), label="bad")
    with pytest.raises(NodeFailed), launch(program, launcher) as run:
        run._ended.wait(LIMIT)
