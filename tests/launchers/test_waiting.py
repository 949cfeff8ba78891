"""The contract of nodes: calls that wait, and what wakes them."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import deque
from pathlib import Path

import pytest

from acmelike import (
    Node,
    Program,
    deadline,
    launch,
    sleep,
    start,
    stop_run,
    when,
)
from acmelike.core import now
from acmelike.errors import (
    RpcClosed,
    RpcTimeout,
)
from tests.launchers.contract import Buffer, Once, Step, run_to_end


def test_parked_calls_hold_no_thread_of_the_service(launcher):
    def fill(buffer):
        buffer.put(0)

    def drain(buffer, seen=[]):  # noqa: B006, the worker's memory
        seen.append(buffer.get())
        if len(seen) == 100:
            stop_run("drained")

    program = Program("32 writers")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    with program.group("writer"):
        for number in range(32):
            with program.colocate(f"writers/{number % 4}"):
                program.add_node(Node(Step, fill, buffer))
    program.add_node(Node(Step, drain, buffer), label="zreader")
    assert run_to_end(program, launcher) == "drained"


class Tickets:
    """Serves calls in the order in which they came, and says what that was."""

    def __init__(self):
        self.is_open, self.came, self.served = False, [], []

    def come(self, who):
        self.came.append(who)

    def _closed(self, who):
        return None if self.is_open else "not open"

    @when(_closed)
    def serve(self, who):
        self.served.append(who)

    def open(self):
        self.is_open = True

    def orders(self):
        return list(self.came), list(self.served)


def test_parked_calls_are_served_in_order(launcher):
    def queue_up(tickets):
        tickets.orders()  # It has started.
        calls = [start(tickets.serve, who) for who in range(20)]
        assert not any(call.done() for call in calls)
        tickets.open()
        assert all(call.done() for call in calls)
        stop_run(str(tickets.orders()[1]))

    program = Program("tickets")
    tickets = program.add_node(Node(Tickets), label="tickets")
    program.add_node(Node(Step, queue_up, tickets), label="queue")
    assert run_to_end(program, launcher) == str(list(range(20)))


def test_waiters_of_many_nodes_are_served_in_order(launcher):
    def come(tickets, who):
        while len(tickets.orders()[0]) < who:
            sleep(0.01, "those before")
        call = start(tickets.serve, who)
        tickets.come(who)
        call.result()

    def let_in(tickets, num):
        came, served = tickets.orders()
        if len(came) < num:
            sleep(0.01, "others are still to come")
            return
        tickets.open()
        came, served = tickets.orders()
        assert served == list(range(num))
        stop_run("all in")

    program = Program("many")
    tickets = program.add_node(Node(Tickets), label="tickets")
    with program.group("guest"):
        for who in range(8):
            program.add_node(Node(Once, come, tickets, who))
    program.add_node(Node(Step, let_in, tickets, 8), label="usher")
    assert run_to_end(program, launcher) == "all in"


class Desk:
    """Questions, and the worker that answers them; it opens when a file is there."""

    def __init__(self, file=None):
        while file is not None and not file.exists():
            threading.Event().wait(0.005)
        self.asked, self.answers, self.num_asked = deque(), {}, 0
        self.order = []

    def ask(self, question):
        if question < 0:
            raise ValueError(f"not a question: {question}")
        self.asked.append(question)
        self.order.append(question)
        self.num_asked += 1

    def _unanswered(self, question):
        return None if question in self.answers else f"no answer to {question}"

    @when(_unanswered)
    def answer_to(self, question):
        return self.answers.pop(question), self.num_asked

    def _nobody(self):
        return None if self.asked else "no question"

    @when(_nobody)
    def next_question(self):
        return self.asked.popleft()

    def answer(self, question, answer):
        self.answers[question] = answer

    def questions(self):
        return list(self.order)


def answer_one(desk):
    question = desk.next_question()
    desk.answer(question, question * question)


def ask_and_wait(desk, question):
    """Both calls are sent before either is answered."""
    asked = start(desk.ask, question)
    answer = desk.answer_to(question)
    asked.result()
    return answer


def test_calls_that_one_node_starts_arrive_in_order(launcher):
    def ask(desk):
        found = [ask_and_wait(desk, question) for question in (3, 5, 7)]
        assert found == [(9, 1), (25, 2), (49, 3)]
        for call in [start(desk.ask, question) for question in range(10, 30)]:
            call.result()
        assert desk.questions() == [3, 5, 7, *range(10, 30)]
        stop_run("all answered")

    program = Program("desk")
    desk = program.add_node(Node(Desk), label="desk")
    program.add_node(Node(Step, answer_one, desk), label="clerk")
    program.add_node(Node(Step, ask, desk), label="visitor")
    assert run_to_end(program, launcher) == "all answered"


def test_a_node_that_starts_late_gets_the_calls_before_it_in_order(launcher, tmp_path):
    def ask(desk, file):
        asked = [start(desk.ask, question) for question in range(4, 24)]
        answer = start(desk.answer_to, 4)
        file.touch()
        for call in asked:
            call.result()
        assert desk.questions() == list(range(4, 24))
        stop_run(f"{answer.result()[0]}")

    file = tmp_path / "asked"
    program = Program("desk opens late")
    # Under serial the visitor comes before the desk in label order.
    gate = None if launcher == "serial" else file
    desk = program.add_node(Node(Desk, gate), label="the desk")
    program.add_node(Node(Step, answer_one, desk), label="zclerk")
    program.add_node(Node(Step, ask, desk, file), label="a visitor")
    assert run_to_end(program, launcher) == "16"


def test_an_error_of_a_call_that_was_started_is_raised_by_its_result(launcher):
    def ask(desk):
        asked = start(desk.ask, -1)
        with pytest.raises(ValueError, match="not a question: -1"):
            asked.result()
        stop_run("refused")

    program = Program("no question")
    desk = program.add_node(Node(Desk), label="desk")
    program.add_node(Node(Step, ask, desk), label="visitor")
    assert run_to_end(program, launcher) == "refused"


# --- Deadlines ---------------------------------------------------------------------


def test_a_deadline_wakes_a_parked_call_with_its_reason(launcher):
    def wait(buffer):
        assert buffer.num_held() == 0  # Its process is there.
        with pytest.raises(RpcTimeout, match=r"buffer\.get.*no items"), deadline(0.05):
            buffer.get()
        assert buffer.num_held() == 0
        stop_run("timed out")

    program = Program("deadline")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, wait, buffer), label="reader")
    assert run_to_end(program, launcher) == "timed out"


def test_a_call_whose_deadline_passed_is_never_run(launcher):
    def wait(buffer):
        with deadline(0.0):
            call = start(buffer.get)
        buffer.put("late")
        with pytest.raises(RpcTimeout):
            call.result()
        assert buffer.num_held() == 1
        stop_run("not taken")

    program = Program("late")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, wait, buffer), label="reader")
    assert run_to_end(program, launcher) == "not taken"


def test_the_earliest_of_nested_deadlines_ends_a_call(launcher):
    def wait(buffer):
        assert buffer.num_held() == 0  # Its process is there.
        started = now()
        with pytest.raises(RpcTimeout, match="no items"), deadline(0.05):
            with deadline(1000.0):
                buffer.get()
        with pytest.raises(RpcTimeout, match="no items"), deadline(1000.0):
            with deadline(0.05):
                buffer.get()
        assert now() - started < 10.0
        stop_run("timed out twice")

    program = Program("nested")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, wait, buffer), label="reader")
    assert run_to_end(program, launcher) == "timed out twice"


def test_a_wait_for_a_future_ends_in_time_and_can_be_repeated(launcher):
    def wait(buffer):
        call = start(buffer.get)
        with pytest.raises(RpcTimeout, match=r"buffer\.get"), deadline(0.05):
            call.result()
        assert not call.done()
        buffer.put("late")
        assert call.result() == "late"
        stop_run("taken")

    program = Program("patience")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, wait, buffer), label="reader")
    assert run_to_end(program, launcher) == "taken"


def test_a_sleep_ends_at_the_deadline(launcher):
    def rest():
        with pytest.raises(RpcTimeout, match="it waited: a long rest"):
            with deadline(0.02):
                sleep(1000.0, "a long rest")
        with deadline(1000.0):
            sleep(0.0, "a short rest")
        stop_run("woken")

    program = Program("sleep")
    program.add_node(Node(Step, rest), label="sleeper")
    assert run_to_end(program, launcher) == "woken"


# Under `serial` nodes take turns, so no call comes while a method runs.
@pytest.mark.parametrize("launcher", ["threads", "processes"])
def test_a_deadline_passes_while_a_method_of_the_service_runs(launcher):
    """Nothing interrupts the method, but no caller waits for it longer than it may."""

    class Kitchen:
        def __init__(self, file):
            self.file, self.is_busy = file, False

        def cook(self):
            self.file.with_suffix(".begun").touch()
            while not self.file.exists():
                threading.Event().wait(0.005)

        def taste(self):
            return "salty"

    def cook(kitchen):
        kitchen.cook()

    def taste(kitchen, file):
        while not file.with_suffix(".begun").exists():
            sleep(0.005, "the cook")
        try:
            with pytest.raises(RpcTimeout), deadline(0.05):
                kitchen.taste()
        finally:
            file.touch()
        stop_run(kitchen.taste())

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "done"
        program = Program("kitchen")
        kitchen = program.add_node(Node(Kitchen, file), label="kitchen")
        program.add_node(Node(Once, cook, kitchen), label="cook")
        program.add_node(Node(Step, taste, kitchen, file), label="taster")
        assert run_to_end(program, launcher) == "salty"


class Kitchen:
    """Cooks until a file is there, and says by other files what it does."""

    def __init__(self, folder):
        self.folder = folder

    def cook(self):
        (self.folder / "begun").touch()
        until = time.monotonic() + 10.0  # So that a fault does not hang the tests.
        while not (self.folder / "enough").exists() and time.monotonic() < until:
            threading.Event().wait(0.005)
        (self.folder / "cooked").touch()

    def look(self):
        """Returns when it is there."""

    def _is_raw(self):
        return "it is raw"

    @when(_is_raw)
    def eat(self):
        raise AssertionError("it was raw")


def cook(kitchen):
    kitchen.cook()


def wait_for(file):
    while not file.exists():
        sleep(0.005, "another node")


@pytest.mark.parametrize("launcher", ["threads", "processes"])
def test_a_deadline_of_a_parked_call_passes_while_a_method_runs(launcher, tmp_path):
    def cook_late(kitchen):
        wait_for(tmp_path / "parked")
        kitchen.cook()

    def eat(kitchen):
        kitchen.look()
        with deadline(0.5):
            call = start(kitchen.eat)
        (tmp_path / "parked").touch()
        wait_for(tmp_path / "begun")
        with pytest.raises(RpcTimeout, match=r"it is raw|does not answer"):
            call.result()
        assert not (tmp_path / "cooked").exists()
        (tmp_path / "enough").touch()
        stop_run("hungry")

    program = Program("kitchen")
    kitchen = program.add_node(Node(Kitchen, tmp_path), label="kitchen")
    program.add_node(Node(Once, cook_late, kitchen), label="cook")
    program.add_node(Node(Step, eat, kitchen), label="guest")
    assert run_to_end(program, launcher) == "hungry"


@pytest.mark.parametrize("launcher", ["threads", "processes"])
def test_the_status_does_not_wait_for_a_method(launcher, tmp_path):
    program = Program("kitchen")
    kitchen = program.add_node(Node(Kitchen, tmp_path), label="kitchen")
    program.add_node(Node(Once, cook, kitchen), label="cook")
    with launch(program, launcher) as run:
        while not (tmp_path / "begun").exists():
            pass
        assert run.status().keys() == {"kitchen", "cook"}
        assert not (tmp_path / "cooked").exists()
        (tmp_path / "enough").touch()
        run.wait(20.0)


def run_reader(launcher, read):
    """Runs a worker with an empty buffer; returns why the run ended."""
    program = Program("reading")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, read, buffer), label="reader")
    return run_to_end(program, launcher)


def test_a_call_that_is_only_looked_at_is_done_when_its_deadline_has_passed(launcher):
    def look(buffer):
        assert buffer.num_held() == 0  # Its process is there.
        with deadline(0.02):
            call = start(buffer.get)
        while not call.done():
            sleep(0.01, "the call")
        with pytest.raises(RpcTimeout, match="no items"):
            call.result()
        stop_run("late")

    assert run_reader(launcher, look) == "late"


def test_time_never_goes_back(launcher):
    def look(buffer):
        with deadline(0.02):
            call = start(buffer.get)
        sleep(0.05, "something else")
        before = now()
        with pytest.raises(RpcTimeout):
            call.result()
        assert now() >= before
        stop_run("later")

    assert run_reader(launcher, look) == "later"


@pytest.mark.parametrize("seconds", [float("inf"), 1e9])
def test_a_deadline_may_be_as_late_as_one_likes(launcher, seconds):
    def read(buffer):
        with deadline(seconds):
            stop_run(buffer.get())

    def fill(buffer):
        sleep(0.02, "the reader")
        buffer.put("read")

    program = Program("late")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, read, buffer), label="reader")
    program.add_node(Node(Once, fill, buffer), label="writer")
    assert run_to_end(program, launcher) == "read"


# --- Calls that are withdrawn, and the end of the run ------------------------------


def test_a_cancelled_call_is_never_run(launcher):
    def wait(buffer):
        call = start(buffer.get)
        call.cancel()
        buffer.put("kept")
        with pytest.raises(RpcClosed, match="cancelled"):
            call.result()
        assert buffer.num_held() == 1
        stop_run("not taken")

    program = Program("cancel")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, wait, buffer), label="reader")
    assert run_to_end(program, launcher) == "not taken"


def test_the_end_of_the_run_wakes_a_parked_call_with_its_reason(launcher, tmp_path):
    def wait(buffer, tickets, path):
        call = start(buffer.get)
        assert buffer.num_held() == 0  # It comes after that call, which is parked now.
        tickets.come("reader")
        try:
            call.result()
        except RpcClosed as error:
            (path / "woken").write_text(str(error))
            raise

    def end(tickets):
        came, _ = tickets.orders()
        if came:
            stop_run("enough")
        sleep(0.01, "the other to wait")

    program = Program("close")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    tickets = program.add_node(Node(Tickets), label="tickets")
    program.add_node(Node(Step, wait, buffer, tickets, tmp_path), label="reader")
    program.add_node(Node(Step, end, tickets), label="ender")
    assert run_to_end(program, launcher) == "enough"
    text = (tmp_path / "woken").read_text()
    assert "buffer.get: the run ended: enough (it waited: no items)" in text


def test_the_end_of_the_run_wakes_a_sleeper(launcher):
    program = Program("sleepers")
    program.add_node(Node(Step, lambda: sleep(None, "for ever")), label="a")
    program.add_node(Node(Step, lambda: stop_run("morning")), label="b")
    assert run_to_end(program, launcher) == "morning"
