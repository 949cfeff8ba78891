"""The contract of nodes, as one suite that every launcher passes."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

import numpy as np
import pytest

from acmelike import Node, Program, future, launch, sleep, stop_run, updating, when
from acmelike import within as in_time
from acmelike.core import concurrent
from acmelike.errors import (
    ContractError,
    Deadlock,
    NodeFailed,
    NoSuchMethod,
    RpcClosed,
    RpcTimeout,
    RunTimeout,
)
from acmelike.launchers import LAUNCHERS

LIMIT = 20.0  # seconds in which any of these programs ends, or hangs


@pytest.fixture(params=LAUNCHERS)
def launcher(request):
    return request.param


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


# --- Waiting ------------------------------------------------------------------------


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
        for _ in range(32):
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
        calls = [future(tickets.serve)(who) for who in range(20)]
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
        call = future(tickets.serve)(who)
        tickets.come(who)
        call.result()

    def let_in(tickets, num):
        came, served = tickets.orders()
        if len(came) < num:
            sleep(0.01, "others are still to come")
            return
        tickets.open()
        came, served = tickets.orders()
        assert sorted(served) == sorted(came)
        stop_run("all in")

    program = Program("many")
    tickets = program.add_node(Node(Tickets), label="tickets")
    with program.group("guest"):
        for who in range(8):
            program.add_node(Node(Once, come, tickets, who))
    program.add_node(Node(Step, let_in, tickets, 8), label="usher")
    assert run_to_end(program, launcher) == "all in"


class Desk:
    """Questions, and those who answer them; opens when a file is there."""

    def __init__(self, file=None):
        while file is not None and not file.exists():
            threading.Event().wait(0.005)
        self.asked, self.answers, self.num_asked = deque(), {}, 0

    def _ask(self, question):
        if question < 0:
            raise ValueError(f"not a question: {question}")
        self.asked.append(question)
        self.num_asked += 1

    def _unanswered(self, question):
        return None if question in self.answers else f"no answer to {question}"

    @when(_unanswered, first=_ask)
    def ask(self, question):
        return self.answers.pop(question), self.num_asked

    def _nobody(self):
        return None if self.asked else "no question"

    @when(_nobody)
    def next_question(self):
        return self.asked.popleft()

    def answer(self, question, answer):
        self.answers[question] = answer


def answer_one(desk):
    question = desk.next_question()
    desk.answer(question, question * question)


def test_a_call_that_parks_has_done_what_it_does_first(launcher):
    def ask(desk):
        found = [desk.ask(question) for question in (3, 5, 7)]
        assert found == [(9, 1), (25, 2), (49, 3)]  # Nothing was asked twice.
        stop_run("all answered")

    program = Program("desk")
    desk = program.add_node(Node(Desk), label="desk")
    program.add_node(Node(Step, answer_one, desk), label="clerk")
    program.add_node(Node(Step, ask, desk), label="visitor")
    assert run_to_end(program, launcher) == "all answered"


def test_a_node_that_opens_does_what_calls_before_it_do_first(launcher, tmp_path):
    def ask(desk, file):
        answer = future(desk.ask)(4)
        file.touch()
        stop_run(f"{answer.result()}")

    file = tmp_path / "asked"
    program = Program("desk opens late")
    # Under serial the visitor comes before the desk in label order.
    gate = None if launcher == "serial" else file
    desk = program.add_node(Node(Desk, gate), label="the desk")
    program.add_node(Node(Step, answer_one, desk), label="zclerk")
    program.add_node(Node(Step, ask, desk, file), label="a visitor")
    assert run_to_end(program, launcher) == "(16, 1)"


def test_what_a_call_does_first_may_fail_and_its_caller_is_told(launcher):
    def ask(desk):
        with pytest.raises(ValueError, match="not a question: -1"):
            desk.ask(-1)
        stop_run("refused")

    program = Program("no question")
    desk = program.add_node(Node(Desk), label="desk")
    program.add_node(Node(Step, ask, desk), label="visitor")
    assert run_to_end(program, launcher) == "refused"


def test_a_deadline_wakes_a_parked_call_with_its_reason(launcher):
    def wait(buffer):
        with pytest.raises(RpcTimeout, match=r"buffer\.get.*no items"):
            in_time(0.05, buffer.get)()
        assert buffer.num_held() == 0
        stop_run("timed out")

    program = Program("deadline")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, wait, buffer), label="reader")
    assert run_to_end(program, launcher) == "timed out"


def test_a_call_whose_deadline_passed_is_never_run(launcher):
    def wait(buffer):
        call = future(in_time(0.0, buffer.get))()
        buffer.put("late")
        with pytest.raises(RpcTimeout):
            call.result()
        assert buffer.num_held() == 1
        stop_run("not taken")

    program = Program("late")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, wait, buffer), label="reader")
    assert run_to_end(program, launcher) == "not taken"


def test_a_cancelled_call_is_never_run(launcher):
    def wait(buffer):
        call = future(buffer.get)()
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
        call = future(buffer.get)()
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


# --- Atomicity ----------------------------------------------------------------------


class Room:
    """Notices when a second one comes in while the first is still there."""

    def __init__(self):
        self.num_inside, self.num_visits, self.was_crowded = 0, 0, False
        self.bell = threading.Event()

    def enter(self):
        self.num_inside += 1
        if self.num_inside > 1:
            self.was_crowded = True
            self.bell.set()
        self.bell.wait(0.1)  # long enough for the other threads to come in too
        self.num_inside -= 1
        self.num_visits += 1

    def step(self):
        with updating(self):
            self.enter()
        sleep(None, "visitors")

    def _awaited(self, num):
        return None if self.num_visits >= num else f"{self.num_visits} of {num}"

    @when(_awaited)
    def after(self, num):
        return self.was_crowded


def test_methods_and_updating_never_overlap(launcher):
    program = Program("room")
    room = program.add_node(Node(Room), label="room")
    with program.group("visitor"):
        for _ in range(2):
            program.add_node(Node(Once, lambda r: r.enter(), room))
    watch = Node(Step, lambda r: stop_run(f"crowded: {r.after(3)}"), room)
    program.add_node(watch, label="watch")
    assert run_to_end(program, launcher) == "crowded: False"


class Snapshot:
    """Has a method that needs no lock."""

    def _never(self):
        return "never"

    @when(_never)
    def wait(self):
        raise AssertionError

    @concurrent
    def read(self):
        return 42


def test_a_concurrent_method_is_served_beside_a_step_that_updates(launcher):
    class Holder(Snapshot):
        def __init__(self, me):
            self.me = me

        def step(self):
            assert self.me.read() == 42
            stop_run("read")

    program = Program("snapshot")
    snapshot = program.promise(Holder)
    program.add_node(Node(Holder, snapshot), label="holder", fulfils=snapshot)
    assert run_to_end(program, launcher) == "read"


# --- Calls are leaves ---------------------------------------------------------------


class Relay:
    """A service that breaks the rule: its method uses an edge."""

    def __init__(self, buffer):
        self.buffer = buffer

    def relay(self):
        return self.buffer.num_held()

    def nap(self):
        sleep(1.0, "a nap")


@pytest.mark.parametrize("method", ["relay", "nap"])
def test_a_service_method_may_not_use_an_edge_or_wait(launcher, method):
    def call(relay, method):
        getattr(relay, method)()

    program = Program("relay")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    relay = program.add_node(Node(Relay, buffer), label="relay")
    program.add_node(Node(Step, call, relay, method), label="caller")
    with pytest.raises(NodeFailed, match=f"caller.*relay.{method} may not") as caught:
        run_to_end(program, launcher)
    assert isinstance(caught.value.__cause__, ContractError)


def test_updating_may_not_contain_a_call(launcher):
    class Updater:
        def __init__(self, buffer):
            self.buffer = buffer

        def step(self):
            with updating(self):
                self.buffer.num_held()

    program = Program("updating")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Updater, buffer), label="updater")
    with pytest.raises(NodeFailed, match=r"updater.*updating\(updater\) may not"):
        run_to_end(program, launcher)


def test_a_constructor_may_not_use_an_edge(launcher):
    program = Program("constructor")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(lambda b: b.num_held(), buffer), label="early")
    with pytest.raises(NodeFailed, match="'early' failed in its constructor"):
        run_to_end(program, launcher)


# --- Failure ------------------------------------------------------------------------


def explode(*edges):
    raise ValueError("boom")


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
        (Node(explode), "constructor"),
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
        future(later.wait)()
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


# --- Starting and ending ------------------------------------------------------------


class Peer:
    """One of two that know each other."""

    def __init__(self, other, name):
        self.other, self.name, self.heard = other, name, None

    def hear(self, name):
        self.heard = name

    def _silence(self):
        return None if self.heard else "nothing heard"

    @when(_silence)
    def told(self):
        return self.heard

    def run(self):
        self.other.hear(self.name)


def test_nodes_in_a_cycle_of_promises_start(launcher):
    program = Program("cycle")
    first = program.promise(Peer)
    second = program.add_node(Node(Peer, first, "second"), label="second")
    program.add_node(Node(Peer, second, "first"), label="first", fulfils=first)

    def ask(first, second):
        stop_run(f"{first.told()} {second.told()}")

    program.add_node(Node(Step, ask, first, second), label="asker")
    assert run_to_end(program, launcher) == "second first"


class Slow(Buffer):
    """Takes its time to start: until a file is there."""

    def __init__(self, file):
        while file is not None and not file.exists():
            threading.Event().wait(0.005)
        super().__init__(1)


def test_a_call_waits_for_a_node_that_is_still_starting(launcher, tmp_path):
    def count(buffer, file):
        call = future(buffer.num_held)()
        assert not call.done()
        file.touch()
        stop_run(f"holds {call.result()}")

    file = tmp_path / "called"
    program = Program("slow start")
    # Under serial the caller comes first in label order, and nobody needs to wait.
    gate = None if launcher == "serial" else file
    buffer = program.add_node(Node(Slow, gate), label="slow")
    program.add_node(Node(Step, count, buffer, file), label="caller")
    assert run_to_end(program, launcher) == "holds 0"


def test_handles_become_clients_in_containers_dataclasses_and_partials(launcher):
    import functools
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Edges:
        buffers: dict[str, list[Buffer]]

    def count(edges, more):
        held = [b.num_held() for b in edges.buffers["all"]] + [more()]
        stop_run(str(held))

    program = Program("nested")
    one = program.add_node(Node(Buffer, 1), label="one")
    two = program.add_node(Node(Buffer, 1), label="two")
    more = functools.partial(lambda b: b.num_held() + 5, two)
    edges = Edges({"all": [one, two]})
    program.add_node(Node(Step, count, edges, more), label="counter")
    assert sorted(program.edges()) == [("counter", "one"), ("counter", "two")]
    assert run_to_end(program, launcher) == "[0, 0, 5]"


def test_a_run_whose_workers_all_returned_is_over(launcher):
    program = Program("errands")
    program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Once, lambda: None), label="a")
    program.add_node(Node(Once, lambda: None), label="b")
    assert run_to_end(program, launcher) == "every worker has ended"


def test_services_are_closed_when_the_run_ends(launcher, tmp_path):
    class Closing(Buffer):
        def __init__(self, path):
            super().__init__(1)
            self.path = path

        def close(self):
            self.path.touch()

    program = Program("closing")
    buffer = program.add_node(Node(Closing, tmp_path / "closed"), label="buffer")
    program.add_node(Node(Step, lambda b: stop_run("done"), buffer), label="worker")
    run_to_end(program, launcher)
    assert (tmp_path / "closed").exists()


def test_a_client_from_outside_calls_and_is_closed_with_the_run(launcher):
    program = Program("outside")
    buffer = program.add_node(Node(Buffer, 2), label="buffer")
    with launch(program, launcher) as run:
        client = run.client(buffer)
        client.put(7)
        assert client.num_held() == 1
        assert client.get() == 7
        with pytest.raises(RpcTimeout, match="no items"):
            in_time(0.01, client.get)()
    with pytest.raises(RpcClosed, match="with block was left"):
        client.num_held()


# --- What crosses an edge -----------------------------------------------------------


class Keeper:
    """Keeps an array and shows it."""

    def __init__(self):
        self.array, self.ring = np.zeros(3), np.zeros(10)

    def keep(self, array):
        self.array = array

    def show(self):
        return {"array": self.array, "part": self.ring[2:5]}

    def try_to_write(self):
        try:
            self.array[0] = 1.0
        except ValueError as error:
            return str(error)

    def write_ring(self):
        self.ring[:] = 1.0


def test_arrays_that_crossed_an_edge_cannot_be_written(launcher):
    def exchange(keeper):
        mine, base = np.zeros(3), np.zeros((2, 3))
        keeper.keep(mine)
        assert "read-only" in keeper.try_to_write()
        with pytest.raises(ValueError, match="read-only"):
            mine[0] = 1.0
        keeper.keep(base[0])
        base[:] = 5.0
        shown = keeper.show()
        assert shown["array"].tolist() == [0.0, 0.0, 0.0]
        for array in shown.values():
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1.0
        keeper.write_ring()
        assert shown["part"].tolist() == [0.0, 0.0, 0.0]
        stop_run("immutable")

    program = Program("arrays")
    keeper = program.add_node(Node(Keeper), label="keeper")
    program.add_node(Node(Step, exchange, keeper), label="worker")
    assert run_to_end(program, launcher) == "immutable"


# --- Standing still -----------------------------------------------------------------


def make_standstill():
    program = Program("standstill")
    inbox = program.add_node(Node(Buffer, 3), label="inbox")
    outbox = program.add_node(Node(Buffer, 0), label="outbox")
    program.add_node(Node(Step, lambda b: b.get(), inbox), label="reader")
    with program.group("writer"):
        for _ in range(11):
            program.add_node(Node(Step, lambda b: b.put(1), outbox))
    return program


STANDSTILL = (
    "every node waits and nothing can wake one; "
    "reader waits for inbox.get: no items; "
    + "; ".join(f"writer/{i} waits for outbox.put: 0 items of 0" for i in range(11))
)


def test_everybody_waiting_is_told_with_reasons_and_numbers(launcher, caplog):
    logger = logging.getLogger("acmelike")
    if launcher == "serial":
        with pytest.raises(Deadlock) as caught:
            run_to_end(make_standstill(), launcher)
        assert str(caught.value) == STANDSTILL
        return
    warned = threading.Event()

    class Handler(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())
            warned.set()

    messages, handler = [], Handler(logging.WARNING)
    logger.addHandler(handler)
    try:
        with launch(make_standstill(), launcher, stall_seconds=0.1):
            assert warned.wait(LIMIT)
    finally:
        logger.removeHandler(handler)
    assert messages == [f"no progress for 0 s: {STANDSTILL}"]


def test_a_program_that_waits_uses_no_cpu():
    with launch(make_standstill(), "threads") as run:
        while "waiting" not in {s.phase for s in run.status().values()}:
            pass
        before, started = time.process_time(), time.perf_counter()
        with pytest.raises(RunTimeout, match=r"reader: waits for inbox\.get: no items"):
            run.wait(1.5)
        share = (time.process_time() - before) / (time.perf_counter() - started)
    assert share < 0.02


def test_a_timer_is_no_deadlock(launcher):
    def wait(buffer):
        with pytest.raises(RpcTimeout):
            in_time(0.02, buffer.get)()
        stop_run("woken by time")

    program = Program("timer")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, wait, buffer), label="waiter")
    program.add_node(Node(Step, lambda b: b.get(), buffer), label="other")
    assert run_to_end(program, launcher) == "woken by time"


def test_serial_time_is_logical_and_the_earliest_wakes_first():
    order = []

    class Sleeper:
        def __init__(self, seconds, log):
            self.seconds, self.log = seconds, log

        def run(self):
            sleep(self.seconds, "its time")
            self.log.note(self.seconds)

    class Log:
        def note(self, seconds):
            order.append(seconds)

    program = Program("logical time")
    log = program.add_node(Node(lambda: Log()), label="log")
    for seconds in (3e6, 1e6, 2e6):
        program.add_node(Node(Sleeper, seconds, log), label=f"sleeper {seconds}")
    assert run_to_end(program, "serial") == "every worker has ended"
    assert order == [1e6, 2e6, 3e6]


# --- Status -------------------------------------------------------------------------


def test_status_says_what_every_node_does_or_waits_for(launcher):
    def wait(buffer):
        buffer.get("me")

    def look(buffer):
        sleep(None, "a look from outside")

    program = Program("status")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, wait, buffer), label="waiter")
    with launch(program, "threads") as run:
        while not run.status()["buffer"].parked:
            pass
        status = run.status()
        assert status["buffer"].phase == "serving"
        assert status["buffer"].parked == (("waiter", "get", "no items"),)
        assert status["waiter"].phase == "waiting"
        assert status["waiter"].waits_for == "buffer.get: no items"
        run.client(buffer).put(1)
        while run.status()["waiter"].num_steps < 1:
            pass
        after = run.status()["waiter"]
        assert after.num_steps == 1
        assert 0 < after.waited_seconds["buffer.get"]
        assert 0 < after.waiting_fraction <= 1


def test_steps_and_calls_are_counted(launcher):
    def work(buffer, count=[0]):  # noqa: B006, the worker's memory
        buffer.num_held()
        count[0] += 1
        if count[0] == 10:
            stop_run("ten")

    program = Program("counts")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, work, buffer), label="worker")
    with launch(program, launcher) as run:
        run.wait(LIMIT)
        status = run.status()
    assert status["worker"].num_steps == 9  # the tenth was unwound by stop_run
    assert status["buffer"].num_calls == 10
