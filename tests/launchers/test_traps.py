"""The contract of nodes: what cannot work raises at once and says what to do."""

from __future__ import annotations

import dataclasses
import functools
import logging
import re
import threading
import time
from contextlib import contextmanager

import pytest

from acmelike import (
    Node,
    Program,
    batched,
    concurrent,
    launch,
    sleep,
    start,
    stop_run,
    updating,
    when,
)
from acmelike.errors import (
    ConfigError,
    ContractError,
    GraphError,
    NodeFailed,
    NoSuchMethod,
    RpcError,
    RpcFailed,
)
from tests.launchers.contract import LIMIT, Buffer, Once, Step, run_to_end


def fails(launcher, *nodes, match):
    """Runs nodes, each with the handle of a buffer, and returns the failure."""
    program = Program("trap")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    for number, make in enumerate(nodes):
        program.add_node(make(buffer), label=f"node {number}")
    with pytest.raises(NodeFailed, match=match) as caught:
        run_to_end(program, launcher)
    return caught.value


@contextmanager
def warnings_of(count):
    """Collects the log's warnings, and an event that is set when there are so many."""
    messages, enough = [], threading.Event()

    class Handler(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())
            if len(messages) >= count:
                enough.set()

    handler = Handler(logging.WARNING)
    logging.getLogger("acmelike").addHandler(handler)
    try:
        yield messages, enough
    finally:
        logging.getLogger("acmelike").removeHandler(handler)


# --- start and updating -------------------------------------------------------------


def test_start_takes_no_partial_and_no_function(launcher):
    def work(buffer):
        for method in (functools.partial(buffer.num_held), lambda: buffer.num_held()):
            with pytest.raises(TypeError, match="calls a method of a client"):
                start(method)
        stop_run("refused")

    program = Program("start")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, work, buffer), label="worker")
    assert run_to_end(program, launcher) == "refused"


class Helper:
    """Something that a worker has, and that is no node."""


def test_updating_anything_but_the_own_service_is_refused(launcher):
    class Updater:
        def __init__(self, buffer):
            self.helper = Helper()

        def step(self):
            with updating(self.helper):
                raise AssertionError

    message = (
        r"updating\(Helper\) in a step of node 'node 0': a step may update only the "
        r"node's own service, here a Updater"
    )
    failure = fails(launcher, lambda b: Node(Updater, b), match=message)
    assert isinstance(failure.__cause__, ContractError)


@pytest.mark.parametrize("launcher", ["serial", "threads"])
def test_updating_a_service_from_another_thread_is_refused(launcher):
    errors = []

    class Updater:
        def __init__(self, buffer):
            self.value = 0

        def change(self):
            try:
                with updating(self):
                    self.value = 1
            except ContractError as error:
                errors.append(str(error))

        def step(self):
            thread = threading.Thread(target=self.change)
            thread.start()
            thread.join()
            stop_run("tried")

    program = Program("threads of one's own")
    program.add_node(Node(Updater, None), label="updater")
    assert run_to_end(program, launcher) == "tried"
    (error,) = errors
    assert "not the thread of node 'updater'" in error


def test_a_function_has_no_service_to_update(launcher):
    def work(buffer):
        with updating(buffer):
            raise AssertionError

    message = r"updating\(Client\) in node 'node 0', which is a function"
    fails(launcher, lambda b: Node(work, b), match=message)


def test_a_result_cannot_be_waited_for_inside_updating(launcher):
    class Updater:
        def __init__(self, buffer):
            self.buffer = buffer

        def step(self):
            call = start(self.buffer.get)
            with updating(self):
                call.result()

    message = r"updating\(node 0\) may not .*: it used the result of buffer\.get"
    fails(launcher, lambda b: Node(Updater, b), match=message)


class Waiter:
    """Keeps a call of its step, and waits for its result in calls of each kind."""

    def __init__(self, buffer):
        self.buffer, self.call = buffer, None

    def step(self):
        call = start(self.buffer.get)
        with updating(self):
            self.call = call
        sleep(None, "the end of the run")

    def _has_no_call(self):
        return "there is no call yet" if self.call is None else None

    @when(_has_no_call)
    def has_begun(self):
        return True

    def plain(self, number):
        return self.call.result()

    @concurrent
    def aside(self, number):
        return self.call.result()

    @batched(max_size=1)
    def at_once(self, number):
        return self.call.result()

    def _has_no_result(self):
        return self.call.result()

    @when(_has_no_result)
    def guarded(self):
        raise AssertionError


def ask_waiter(launcher, ask):
    """Runs a waiter and a node that calls it; returns why the run ended."""
    program = Program("waits in a method")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    waiter = program.add_node(Node(Waiter, buffer), label="waiter")
    program.add_node(Node(Step, ask, waiter), label="asker")
    return run_to_end(program, launcher)


@pytest.mark.parametrize("method", ["plain", "aside", "at_once"])
def test_a_result_cannot_be_waited_for_inside_a_method(launcher, method):
    message = (
        rf"^waiter\.{method} may not use an edge or wait: it used the result of "
        r"buffer\.get"
    )

    def ask(waiter):
        assert waiter.has_begun()
        with pytest.raises(ContractError, match=message) as caught:
            getattr(waiter, method)(1)
        assert f"raised by waiter.{method}" in caught.value.__notes__
        assert waiter.has_begun()  # Others can be served afterwards.
        stop_run("refused")

    assert ask_waiter(launcher, ask) == "refused"


def test_a_guard_that_waits_for_a_result_ends_the_run_with_its_node(launcher):
    def ask(waiter):
        assert waiter.has_begun()
        waiter.guarded()

    message = (
        r"'waiter' failed in its guard of 'guarded': .*the guard of waiter\.guarded "
        r"may not .*: it used the result of buffer\.get"
    )
    with pytest.raises(NodeFailed, match=message) as caught:
        ask_waiter(launcher, ask)
    assert isinstance(caught.value.__cause__, ContractError)


def test_an_edge_can_be_used_by_the_threads_of_its_node_only(launcher):
    class Worker:
        def __init__(self, buffer):
            self.buffer, self.errors = buffer, []

        def call(self):
            try:
                self.buffer.num_held()
            except ContractError as error:
                self.errors.append(str(error))

        def step(self):
            thread = threading.Thread(target=self.call)
            thread.start()
            thread.join()
            stop_run(self.errors[0])

    program = Program("threads of one's own")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Worker, buffer), label="worker")
    assert run_to_end(program, launcher) == (
        "buffer.num_held was called by a thread that is not the thread of node "
        "'worker': only a node's step or run may use its edges"
    )


# --- Guards, services and what is served --------------------------------------------


@pytest.mark.parametrize("reason", [True, False, ""])
def test_a_guard_that_returns_no_text_ends_the_run_with_its_node(launcher, reason):
    class Wrong:
        @when(lambda self: reason)
        def call(self):
            raise AssertionError

    program = Program("guard")
    wrong = program.add_node(Node(Wrong), label="wrong")
    program.add_node(Node(Step, lambda w: w.call(), wrong), label="caller")
    message = f"'wrong' failed in its guard of 'call'.*returned {reason!r}: a guard"
    with pytest.raises(NodeFailed, match=message):
        run_to_end(program, launcher)


class Shop:
    """Has a property, a callable attribute and a private method, besides a method."""

    limit = 3

    def __init__(self):
        self.tool = lambda: "a tool"

    @property
    def stock(self):
        raise AssertionError("looking at the methods runs no property")

    def _secret(self):
        raise AssertionError

    def buy(self):
        return "bread"


def test_only_functions_of_the_class_are_served(launcher):
    def visit(shop):
        assert shop.buy() == "bread"
        for name in ("stock", "limit"):
            with pytest.raises(NoSuchMethod, match=f"'{name}' is not a method"):
                getattr(shop, name)
        with pytest.raises(NoSuchMethod, match="'close' is for the launcher"):
            shop.close  # noqa: B018
        with pytest.raises(NoSuchMethod, match="has no method 'tool'"):
            shop.tool  # noqa: B018
        with pytest.raises(AttributeError, match="no public method '_secret'"):
            shop._secret  # noqa: B018
        assert not hasattr(shop, "bui")
        stop_run("closed")

    program = Program("shop")
    shop = program.add_node(Node(Shop), label="shop")
    program.add_node(Node(Step, visit, shop), label="visitor")
    assert run_to_end(program, launcher) == "closed"


def test_stop_run_in_a_method_lets_the_call_succeed(launcher, tmp_path):
    class Judge:
        def judge(self):
            stop_run("judged")

    def ask(judge, file):
        file.write_text(repr(judge.judge()))
        sleep(None, "the end of the run")

    program = Program("judge")
    judge = program.add_node(Node(Judge), label="judge")
    program.add_node(Node(Once, ask, judge, tmp_path / "outcome"), label="suspect")
    assert run_to_end(program, launcher) == "judged"
    assert (tmp_path / "outcome").read_text() == "None"


# --- Functions as nodes -------------------------------------------------------------


def test_a_function_is_a_node_that_runs_once(launcher):
    def put(buffer, item):
        buffer.put(item)

    def get(buffer):
        stop_run(buffer.get())

    program = Program("functions")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(functools.partial(put, item="milk"), buffer), label="a")
    program.add_node(Node(get, buffer), label="b")
    assert run_to_end(program, launcher) == "milk"


def test_a_program_whose_functions_all_returned_is_over(launcher):
    program = Program("functions")
    for label in "ab":
        program.add_node(Node(lambda: None), label=label)
    assert run_to_end(program, launcher) == "every worker has ended"


def test_a_generator_function_is_a_node_that_runs_step_by_step(launcher):
    def produce(buffer):
        for number in range(3):
            buffer.put(number)
            yield

    def consume(buffer, seen=[]):  # noqa: B006, the worker's memory
        seen.append(buffer.get())
        if len(seen) == 3:
            sleep(0.05, "the producer to end")
            stop_run(str(seen))

    program = Program("generator")
    buffer = program.add_node(Node(Buffer, 3), label="buffer")
    program.add_node(Node(produce, buffer), label="producer")
    program.add_node(Node(Step, consume, buffer), label="zconsumer")
    with launch(program, launcher) as run:
        assert run.wait(LIMIT) == "[0, 1, 2]"
        assert run.status()["producer"].num_steps >= 3


@pytest.mark.parametrize("make", [lambda: 3, Helper])
def test_a_function_that_returns_something_is_an_error(launcher, make):
    def function(buffer):
        return make()

    message = "node 0.*returned .*for a service pass its class"
    fails(launcher, lambda b: Node(function, b), match=message)


def test_a_function_serves_nothing(launcher):
    def wait():
        sleep(None, "the end")

    def call(other):
        other.anything()

    program = Program("no service")
    other = program.add_node(Node(wait), label="other")
    program.add_node(Node(Step, call, other), label="caller")
    message = r"node 'other' \(wait\) has no method 'anything'"
    with pytest.raises(NodeFailed, match=message):
        run_to_end(program, launcher)


@pytest.mark.parametrize(
    ("result", "advice"),
    [(3, "it has to return None"), ((x for x in ()), "pass a generator function")],
)
def test_a_step_that_returns_something_is_an_error(launcher, result, advice):
    class Returns:
        def __init__(self, buffer):
            pass

        def step(self):
            return 3 if advice.startswith("it") else (x for x in ())

    message = f"a step of node 'node 0' returned .*{advice}"
    fails(launcher, lambda b: Node(Returns, b), match=message)


def test_add_node_takes_a_node():
    program = Program("class")
    with pytest.raises(GraphError, match=r"takes Node\(Buffer, \.\.\.\), got .*Buffer"):
        program.add_node(Buffer, label="buffer")


# --- What takes long, and what never ends -------------------------------------------


def test_a_program_of_services_alone_is_told(launcher):
    program = Program("services")
    program.add_node(Node(Buffer, 1), label="buffer")
    with warnings_of(1) as (messages, enough), launch(program, launcher):
        assert enough.wait(LIMIT)
    assert messages == [
        "no node of program 'services' has a step or a run: it serves until stop()"
    ]


class Hangs:
    """Works in its first step until a file is there."""

    def __init__(self, file):
        self.file = file

    def step(self):
        while not self.file.exists():
            threading.Event().wait(0.005)
        stop_run("the end")


class Spins:
    """Makes steps until a file is there, and never waits."""

    def __init__(self, file):
        self.file = file

    def step(self):
        if self.file.exists():
            stop_run("the end")


@pytest.mark.long
@pytest.mark.parametrize(
    ("worker", "words"),
    [(Hangs, "working for"), (Spins, "working without a wait or a call for")],
)
def test_a_step_that_takes_long_and_steps_that_spin_are_named_once(
    launcher, monkeypatch, tmp_path, worker, words
):
    monkeypatch.setattr("acmelike.core.status.SLOW_STEP_SECONDS", 0.3)
    program = Program("slow")
    program.add_node(Node(worker, tmp_path / "end"), label="slow one")
    with warnings_of(1) as (messages, enough):
        with launch(program, launcher, stall_seconds=0.2) as run:
            assert enough.wait(LIMIT)
            while words not in str(run.status()["slow one"]):
                pass
            (tmp_path / "end").touch()
            assert run.wait(LIMIT) == "the end"
    named = [m for m in messages if m.startswith("node 'slow one' has been")]
    assert len(named) == 1 and words in named[0]


class HangsTwice:
    """Works in its constructor until a file is there, and in its step for another."""

    def __init__(self, made, end):
        self.wait_for(made)
        self.end = end

    def step(self):
        self.wait_for(self.end)
        stop_run("the end")

    def wait_for(self, file):
        file.with_suffix(".begun").touch()
        until = time.monotonic() + LIMIT  # So that a fault does not hang the tests.
        while not file.exists() and time.monotonic() < until:
            threading.Event().wait(0.005)


@pytest.mark.long
def test_a_constructor_that_takes_long_is_named_once_and_its_step_too(
    launcher, monkeypatch, tmp_path
):
    monkeypatch.setattr("acmelike.core.status.SLOW_STEP_SECONDS", 0.3)
    made, end = tmp_path / "made", tmp_path / "end"
    program = Program("slow")
    program.add_node(Node(HangsTwice, made, end), label="slow one")
    with warnings_of(1) as (_, is_named), warnings_of(2) as (messages, are_named):
        with launch(program, launcher, stall_seconds=0.2) as run:
            assert is_named.wait(LIMIT)
            status = run.status()["slow one"]
            assert (status.phase, status.num_steps) == ("starting", 0)
            assert "in its constructor" in str(status)
            made.touch()
            assert are_named.wait(LIMIT)
            assert run.status()["slow one"].phase == "working"
            end.touch()
            assert run.wait(LIMIT) == "the end"
    first, second = messages
    assert re.fullmatch(
        r"node 'slow one' has been working for \d+ s in its constructor", first
    )
    assert re.fullmatch(r"node 'slow one' has been working for \d+ s", second)


def test_of_a_serial_run_that_ends_only_the_constructor_that_hangs_is_named(
    caplog, tmp_path
):
    made = tmp_path / "made"
    program = Program("end")
    program.add_node(Node(HangsTwice, made, made), label="a")
    program.add_node(Node(Buffer, 1), label="b")
    with launch(program, "serial", grace_seconds=0.2):
        while not made.with_suffix(".begun").exists():
            threading.Event().wait(0.005)
    named = [message for message in caplog.messages if "still runs" in message]
    made.touch()
    assert named == ["a: starting (0 steps) still runs 0 s after the end of the run"]


@pytest.mark.parametrize("launcher", ["threads", "processes"])
def test_stop_does_not_wait_for_a_method_that_runs(launcher, tmp_path):
    class Oven:
        def __init__(self, file):
            self.file = file

        def bake(self):
            self.file.with_suffix(".begun").touch()
            while not self.file.exists():
                threading.Event().wait(0.005)

    file = tmp_path / "baked"
    program = Program("oven")
    oven = program.add_node(Node(Oven, file), label="oven")
    program.add_node(Node(Once, lambda o: o.bake(), oven), label="baker")
    with launch(program, launcher) as run:
        while not file.with_suffix(".begun").exists():
            threading.Event().wait(0.005)
        began = time.monotonic()
        run.stop("enough")
        assert time.monotonic() - began < 2.0  # Less than nodes may take to end.
        file.touch()
        assert run.wait(LIMIT) == "enough"


def test_a_run_without_with_and_wait_leaves_nothing(launcher):
    """The fixture that looks for threads, processes and sockets is the test."""
    program = Program("dropped")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, lambda b: stop_run("done"), buffer), label="worker")
    assert launch(program, launcher).is_over(within=LIMIT)


# --- Errors are the same under every launcher ---------------------------------------


class Strange(Exception):
    """Needs more than its message to be made again."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")
        self.two = two


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class Exits(Exception):
    """Ends the interpreter that unpickles it."""

    def __reduce__(self):
        return exit, (3,)


class Holds(Exception):
    """Cannot be pickled at all."""

    def __init__(self):
        super().__init__("it holds a lock")
        self.lock = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Takes no notes, and no cause."""

    code: int


ODD = {
    "strange": lambda: Strange(1, 2),
    "unprintable": lambda: Unprintable(),
    "exits": lambda: Exits("bye"),
    "holds": lambda: Holds(),
    "os": lambda: FileNotFoundError(2, "No such file", "x.txt"),
    "leaves": lambda: SystemExit("no more"),
    "frozen": lambda: Frozen(3),
}


class Thrower:
    """Raises what it is asked for, in methods of each kind."""

    def throw(self, name):
        raise ODD[name]()

    @concurrent
    def throw_aside(self, name):
        raise ODD[name]()

    @batched(max_size=1)
    def throw_at_once(self, number):
        raise ODD[list(ODD)[number[0]]]()


@pytest.mark.parametrize(
    ("name", "kinds", "words"),
    [
        ("strange", Strange, "1 and 2"),
        ("os", FileNotFoundError, "x.txt"),
        ("leaves", SystemExit, "no more"),
        ("unprintable", Unprintable, None),
        ("exits", (Exits, RpcFailed), "bye"),
        ("holds", (Holds, RpcFailed), "it holds a lock"),
        ("frozen", (Frozen, RpcFailed), "3"),
    ],
)
def test_an_error_is_an_error_of_the_call_however_odd_it_is(
    launcher, name, kinds, words
):
    arguments = {
        "throw": name,
        "throw_aside": name,
        "throw_at_once": list(ODD).index(name),
    }

    def catch(thrower):
        for method, argument in arguments.items():
            with pytest.raises(kinds) as caught:
                getattr(thrower, method)(argument)
            if words is not None:
                assert re.search(words, str(caught.value))
            if name != "frozen":
                assert f"raised by thrower.{method}" in caught.value.__notes__
            if isinstance(caught.value, Strange):
                assert caught.value.two == 2
        stop_run("caught")

    program = Program("errors")
    thrower = program.add_node(Node(Thrower), label="thrower")
    program.add_node(Node(Step, catch, thrower), label="catcher")
    assert run_to_end(program, launcher) == "caught"


class Keeper:
    """Has something that cannot be pickled, and gives it in calls of each kind."""

    def __init__(self):
        self.lock = threading.Lock()

    def give(self):
        return self.lock

    @concurrent
    def give_aside(self):
        return self.lock

    def name(self):
        return "keeper"


def test_a_result_that_cannot_be_pickled_is_an_error_of_its_call_where_it_is_sent(
    launcher,
):
    is_sent = launcher not in ("serial", "threads")

    def ask(keeper):
        for give in (keeper.give, keeper.give_aside):
            if is_sent:
                with pytest.raises((TypeError, RpcError), match="pickle"):
                    give()
            else:
                assert not give().locked()
        assert keeper.name() == "keeper"
        stop_run("asked")

    program = Program("results")
    keeper = program.add_node(Node(Keeper), label="keeper")
    program.add_node(Node(Step, ask, keeper), label="asker")
    assert run_to_end(program, launcher) == "asked"


def test_arguments_that_do_not_fit_are_an_error_of_the_call_and_not_of_the_guard(
    launcher,
):
    def catch(buffer):
        for call in (lambda: buffer.put(), lambda: buffer.get(1, 2, 3)):
            with pytest.raises(TypeError, match="argument"):
                call()
        stop_run("caught")

    program = Program("arguments")
    buffer = program.add_node(Node(Buffer, 1), label="buffer")
    program.add_node(Node(Step, catch, buffer), label="catcher")
    assert run_to_end(program, launcher) == "caught"


def test_a_node_that_fails_with_an_unprintable_error_is_named(launcher):
    def fail(buffer):
        raise Unprintable

    fails(launcher, lambda b: Node(Step, fail, b), match="'node 0' failed in its step")


# --- The check for a forgotten `updating` -------------------------------------------


class Forgetful:
    """Counts in its step, and forgets to say so."""

    def __init__(self, remembers):
        self.remembers, self.count, self.own = remembers, 0, 0

    def step(self):
        self.own += 1  # No method reads it.
        if self.remembers:
            with updating(self):
                self.count += 1
        else:
            self.count += 1
        sleep(0.0, "a while")

    def _is_low(self, num):
        return None if self.count >= num else f"{self.count} of {num}"

    @when(_is_low)
    def past(self, num):
        return self.count


def counting(remembers):
    program = Program("forgetful")
    counter = program.add_node(Node(Forgetful, remembers), label="counter")
    watch = Node(Step, lambda c: stop_run(f"{c.past(3)} steps"), counter)
    program.add_node(watch, label="watch")
    return program


def test_the_check_names_node_attribute_and_both_lines():
    with pytest.raises(NodeFailed) as caught:
        run_to_end(counting(False), "serial", check=True)
    place = rf"{re.escape(__file__)}:\d+"
    assert re.search(
        rf"node 'counter': its step sets 'count' \({place}\) outside `with "
        rf"updating\(self\)`, and the guard of counter\.past \({place}\) reads it",
        str(caught.value),
    )


def test_the_check_finds_nothing_where_nothing_is_forgotten():
    assert run_to_end(counting(True), "serial", check=True) == "3 steps"


@pytest.mark.parametrize("other", ["threads", "processes"])
def test_the_check_needs_serial(other):
    with pytest.raises(ConfigError, match=f"needs the launcher 'serial', .*'{other}'"):
        launch(counting(True), other, check=True)
