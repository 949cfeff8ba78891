"""The contract of nodes: methods that handle several calls at once."""

from __future__ import annotations

import math
import threading
import time

import numpy as np
import pytest

from acmelike import (
    Deadlock,
    Node,
    Program,
    RpcTimeout,
    batched,
    concurrent,
    deadline,
    launch,
    sleep,
    start,
    stop_run,
    updating,
)
from acmelike.errors import ContractError, NodeFailed, RpcClosed
from tests.launchers.contract import LIMIT, Once, Step, run_to_end

FOR_EVER = 1000.0  # seconds: a batch does not run before it is full


class Net:
    """Doubles what it is sent, and remembers the batches that it got."""

    def __init__(self, file=None):
        while file is not None and not file.exists():
            threading.Event().wait(0.005)
        self.batches, self.scale = [], 2

    @batched(max_size=4, timeout=FOR_EVER)
    def double(self, x):
        self.batches.append(x.tolist())
        return {"y": self.scale * x, "size": np.full(len(x), len(x))}

    @batched(max_size=4, timeout=0.05)
    def double_soon(self, x):
        return self.double.__func__.body(self, x)

    @batched(max_size=4, timeout=0.05, pad=True)
    def double_padded(self, x):
        self.batches.append(x.tolist())
        return 2 * x

    @batched(max_size=16)
    def double_now(self, x):
        self.batches.append(x.tolist())
        return 2 * x

    @batched(max_size=4, timeout=math.inf)
    def wait_for_four(self, x):
        return x

    @batched(max_size=2, timeout=FOR_EVER)
    def fail(self, x):
        raise KeyError(f"of {len(x)}")

    @batched(max_size=2, timeout=FOR_EVER)
    def lose(self, x):
        return {"kept": x, "lost": x[:1]}

    @batched(max_size=2, timeout=FOR_EVER)
    def stop(self, x):
        stop_run(f"stopped by {x.tolist()}")

    def seen(self):
        return list(self.batches)


def run_one(launcher, use, *more, **settings):
    """Runs a net and a node that uses it; returns why the run ended."""
    program = Program("net")
    net = program.add_node(Node(Net), label="net")
    program.add_node(Node(Step, use, net, *more), label="user")
    return run_to_end(program, launcher, **settings)


def results(calls):
    return [call.result() for call in calls]


def test_each_caller_gets_its_row_of_a_full_batch(launcher):
    def use(net):
        found = results([start(net.double, x) for x in range(8)])
        assert found == [{"y": 2 * x, "size": 4} for x in range(8)]
        stop_run(str(net.seen()))

    assert run_one(launcher, use) == "[[0, 1, 2, 3], [4, 5, 6, 7]]"


def test_a_batch_that_does_not_fill_runs_after_its_timeout(launcher):
    def use(net):
        assert results([start(net.double_soon, x) for x in range(3)])[2]["y"] == 4
        assert net.double_soon(5)["y"] == 10
        stop_run(str(net.seen()))

    assert run_one(launcher, use) == "[[0, 1, 2], [5]]"


def test_a_batch_runs_though_nobody_waits_for_it(launcher):
    def use(net):
        call = start(net.double_soon, 1)
        while not net.seen() or not call.done():
            sleep(0.01, "the batch")
        stop_run(str(call.result()["y"]))

    assert run_one(launcher, use) == "2"


def test_padding_repeats_the_last_request(launcher):
    def use(net):
        found = results([start(net.double_padded, x) for x in (5, 6)])
        stop_run(f"{net.seen()} {[int(y) for y in found]}")

    assert run_one(launcher, use) == "[[5, 6, 6, 6]] [10, 12]"


def test_without_a_timeout_it_takes_what_came_while_the_service_was_busy(
    launcher, tmp_path
):
    class Slow:
        def __init__(self):
            self.batches = []

        @batched(max_size=16)
        def double(self, x):
            self.batches.append(len(x))
            (tmp_path / "begun").touch()
            until = time.monotonic() + 10.0  # So that a fault does not hang the tests.
            while not (tmp_path / "sent").exists() and time.monotonic() < until:
                threading.Event().wait(0.005)
            return 2 * x

        @concurrent
        def has_heard(self):
            return True

        def seen(self):
            return self.batches

    def use(net):
        calls = [start(net.double, 0)]
        # Under `serial` nothing runs before this node waits.
        while launcher != "serial" and not (tmp_path / "begun").exists():
            sleep(0.005, "the first batch")
        calls += [start(net.double, x) for x in range(1, 6)]
        if launcher != "serial":
            assert net.has_heard()  # It is answered after the calls have come.
        (tmp_path / "sent").touch()
        assert results(calls) == [0, 2, 4, 6, 8, 10]
        stop_run(str(net.seen()))

    program = Program("slow")
    net = program.add_node(Node(Slow), label="net")
    program.add_node(Node(Step, use, net), label="user")
    expected = "[6]" if launcher == "serial" else "[1, 5]"
    assert run_to_end(program, launcher) == expected


@pytest.mark.parametrize("launcher", ["threads", "processes"])
def test_a_batch_is_answered_before_the_next_one_runs(launcher, tmp_path):
    def wait_for(name):
        until = time.monotonic() + 10.0  # So that a fault does not hang the tests.
        while not (tmp_path / name).exists() and time.monotonic() < until:
            threading.Event().wait(0.005)
        return (tmp_path / name).exists()

    class Slow:
        @batched(max_size=2)
        def pass_on(self, x):
            """Each batch waits for what the user does after the one before."""
            (tmp_path / f"begun {x[0]}").touch()
            assert wait_for(f"done {x[0]}")
            return x

    def use(net):
        calls = [start(net.pass_on, 0)]
        while not (tmp_path / "begun 0").exists():
            sleep(0.005, "the first batch")
        calls += [start(net.pass_on, number) for number in (1, 1, 2, 2)]
        (tmp_path / "done 0").touch()
        assert calls[0].result() == 0
        (tmp_path / "done 1").touch()
        assert results(calls[1:3]) == [1, 1]
        (tmp_path / "done 2").touch()
        assert results(calls[3:]) == [2, 2]
        stop_run("in turn")

    program = Program("slow")
    net = program.add_node(Node(Slow), label="net")
    program.add_node(Node(Step, use, net), label="user")
    assert run_to_end(program, launcher) == "in turn"


class Asker:
    """Asks for what only it knows, and looks that it gets its own."""

    def __init__(self, net, number, num_calls):
        self.net, self.number, self.num_calls = net, number, num_calls

    def run(self):
        for count in range(self.num_calls):
            x = np.array([self.number, count])
            doubled = self.net.double_now(x)
            assert (doubled == 2 * x).all() and not doubled.flags.writeable
            assert (self.net.double_soon(x)["y"] == 2 * x).all()


def test_callers_of_many_nodes_get_their_own(launcher):
    def look(net):
        sleep(0.01, "the others")
        if sum(map(len, net.seen())) == 2 * 8 * 25:
            stop_run("all")

    program = Program("askers")
    net = program.add_node(Node(Net), label="net")
    with program.group("asker"):
        for number in range(8):
            with program.colocate(f"askers/{number % 4}"):
                program.add_node(Node(Asker, net, number, 25))
    program.add_node(Node(Step, look, net), label="ender")
    assert run_to_end(program, launcher) == "all"


def test_serial_batches_are_the_same_in_every_run():
    def batches():
        def look(net):
            sleep(1.0, "the others")
            if sum(map(len, net.seen())) == 40:
                stop_run(str(net.seen()))

        program = Program("askers")
        net = program.add_node(Node(Net), label="net")
        with program.group("asker"):
            for number in range(4):
                program.add_node(Node(Asker, net, number, 5))
        program.add_node(Node(Step, look, net), label="ender")
        return run_to_end(program, "serial")

    assert batches() == batches()


def test_arguments_are_as_nested_as_one_likes(launcher):
    class Policy:
        @batched(max_size=2, timeout=FOR_EVER)
        def act(self, observation, *, state=(), greedy=False):
            assert observation["image"].shape == (2, 3, 3)
            assert (observation["image"].dtype, greedy.dtype) == (np.uint8, bool)
            return observation["image"].sum((1, 2)), [state[0] + greedy, None]

    def use(policy):
        image = np.ones((3, 3), np.uint8)
        calls = [
            start(policy.act, {"image": image}, state=(np.float32(1.5),)),
            start(
                policy.act, {"image": 2 * image}, greedy=True, state=(np.float32(2),)
            ),
        ]
        stop_run(str([(int(a), float(s[0]), s[1]) for a, s in results(calls)]))

    program = Program("nested")
    policy = program.add_node(Node(Policy), label="policy")
    program.add_node(Node(Step, use, policy), label="user")
    assert run_to_end(program, launcher) == "[(9, 1.5, None), (18, 3.0, None)]"


# --- What fails --------------------------------------------------------------------


class Unreadable:
    """Looks like an array, but cannot be read as one."""

    def __array__(self, *args, **kwargs):
        raise RuntimeError("it is on another device")


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.zeros(3), r"its x is float64\[3\], and that of others float64\[2\]"),
        (np.zeros(2, int), r"its x is int64\[2\], and that of others float64\[2\]"),
        ({"a": 1.0}, r"it has no x"),
        ("text", r"x is a str, which is no array"),
        (Unreadable(), r"it is on another device"),
    ],
)
def test_a_bad_request_fails_by_itself(launcher, bad, words):
    def use(net):
        sent = [bad, np.zeros(2), np.ones(2), np.ones(2)]
        calls = [start(net.double, x) for x in sent]
        with pytest.raises(ContractError, match=rf"net\.double: {words}"):
            calls.pop(0).result()
        sizes = {int(answer["size"]) for answer in results(calls)}
        stop_run(str(sizes))

    assert run_one(launcher, use) == "{3}"


def test_a_bad_request_is_found_though_it_came_first(launcher):
    def use(net):
        results([start(net.double_soon, 1.0) for _ in range(4)])
        bad, good = start(net.double_soon, [1.0]), start(net.double_soon, 2.0)
        with pytest.raises(ContractError, match="it has no x"):
            bad.result()
        stop_run(str(good.result()["y"]))

    assert run_one(launcher, use) == "4.0"


def test_a_call_with_wrong_arguments_fails_by_itself(launcher):
    def use(net):
        calls = [start(net.double, x) for x in range(3)]
        wrong = start(net.double, 1, 2)
        with pytest.raises(TypeError, match=r"net\.double: too many positional"):
            wrong.result()
        stop_run(str(results(calls)[0]["size"]))

    assert run_one(launcher, use) == "3"


def test_an_error_of_the_method_is_raised_at_every_caller(launcher):
    def use(net):
        for call in [start(net.fail, x) for x in range(4)]:
            with pytest.raises(KeyError, match="of 2") as raised:
                call.result()
            assert raised.value.__notes__ == ["raised by net.fail"]
        stop_run("four")

    assert run_one(launcher, use) == "four"


def test_an_answer_without_a_row_for_each_is_an_error(launcher):
    def use(net):
        words = (
            r"Net\.lose got a batch of 2 and has to return arrays \[2, \.\.\.\]: "
            r"lost has the shape \[1\]"
        )
        for call in [start(net.lose, x) for x in range(2)]:
            with pytest.raises(ContractError, match=words):
                call.result()
        stop_run("lost")

    assert run_one(launcher, use) == "lost"


def test_a_batched_method_is_a_leaf(launcher):
    class Middle:
        def __init__(self, net):
            self.net = net

        @batched(max_size=1)
        def ask(self, x):
            return self.net.double_now(x)

    program = Program("leaf")
    net = program.add_node(Node(Net), label="net")
    middle = program.add_node(Node(Middle, net), label="middle")
    program.add_node(Node(lambda m: m.ask(1), middle), label="user")
    with pytest.raises(NodeFailed, match=r"middle\.ask may not use an edge or wait"):
        run_to_end(program, launcher)


def test_stop_run_in_it_answers_all_callers_and_ends_the_run(launcher):
    def use(net):
        assert results([start(net.stop, x) for x in (1, 2)]) == [None, None]
        sleep(None, "the end")

    assert run_one(launcher, use) == "stopped by [1, 2]"


# --- Deadlines, and calls that are withdrawn ---------------------------------------


def test_a_call_leaves_its_batch_when_its_deadline_passes(launcher):
    def use(net):
        first = start(net.double, 0)
        with pytest.raises(
            RpcTimeout, match=r"net\.double.*waited: 2 more of 4 requests, or 1000 s"
        ):
            with deadline(0.05):
                net.double(1)
        found = results([first, *(start(net.double, x) for x in (2, 3, 4))])
        assert [int(answer["size"]) for answer in found] == [4, 4, 4, 4]
        stop_run(str(net.seen()))

    assert run_one(launcher, use) == "[[0, 2, 3, 4]]"


def test_a_call_whose_deadline_has_passed_is_not_handled(launcher):
    def use(net):
        calls = [start(net.double_soon, 0)]
        with deadline(0.0):
            late = start(net.double_soon, 1)
        calls += [start(net.double_soon, x) for x in (2, 3, 4)]
        results(calls)
        with pytest.raises(RpcTimeout, match="it waited: "):
            late.result()
        stop_run(str(sorted(x for batch in net.seen() for x in batch)))

    assert run_one(launcher, use) == "[0, 2, 3, 4]"


def test_serial_ends_a_call_whose_deadline_is_when_its_batch_is_due():
    def use(net):
        first = start(net.double_soon, 0)
        with pytest.raises(RpcTimeout), deadline(0.05):
            net.double_soon(1)
        assert first.result()["y"] == 0
        stop_run(str(net.seen()))

    assert run_one("serial", use) == "[[0]]"


def test_a_cancelled_call_leaves_its_batch(launcher):
    def use(net):
        first = start(net.double, 0)
        first.cancel()
        results([start(net.double, x) for x in (1, 2, 3, 4)])
        with pytest.raises(RpcClosed, match="cancelled"):
            first.result()
        stop_run(str(net.seen()))

    assert run_one(launcher, use) == "[[1, 2, 3, 4]]"


def test_the_end_of_the_run_wakes_its_callers_with_the_reason(launcher, tmp_path):
    def use(net):
        call = start(net.double, 0)
        net.seen()  # The call has come, too.
        (tmp_path / "waits").touch()
        try:
            call.result()
        except RpcClosed as error:
            (tmp_path / "woken").write_text(str(error))
            raise

    def end():
        while not (tmp_path / "waits").exists():
            sleep(0.005, "the other to wait")
        stop_run("enough")

    program = Program("close")
    net = program.add_node(Node(Net), label="net")
    program.add_node(Node(Step, use, net), label="user")
    program.add_node(Node(Step, end), label="zender")
    assert run_to_end(program, launcher) == "enough"
    text = (tmp_path / "woken").read_text()
    assert "net.double: the run ended: enough" in text
    assert "(it waited: 3 more of 4 requests, or 1000 s)" in text


# --- What is shown, and other callers ----------------------------------------------


@pytest.mark.parametrize("launcher", ["threads", "processes"])
def test_the_status_says_how_many_are_missing(launcher):
    program = Program("waiting")
    net = program.add_node(Node(Net), label="net")
    for label in "ab":
        ask = Node(Once, lambda net: net.wait_for_four(0), net)
        program.add_node(ask, label=label)
    with launch(program, launcher) as run:
        until = time.monotonic() + LIMIT
        while len((status := run.status())["net"].parked) < 2:
            assert time.monotonic() < until
        found = {call.caller: call.reason for call in status["net"].parked}
        assert found == dict.fromkeys("ab", "2 more of 4 requests")
        clients = [run.client(net) for _ in range(2)]
        calls = [start(client.wait_for_four, 1) for client in clients]
        assert results(calls) == [1, 1]


def test_serial_says_what_a_batch_that_never_fills_waits_for():
    with pytest.raises(Deadlock, match=r"net\.wait_for_four: 3 more of 4 requests$"):
        run_one("serial", lambda net: net.wait_for_four(0))


def test_a_caller_outside_the_program_is_answered(launcher):
    program = Program("outside")
    net = program.add_node(Node(Net), label="net")
    with launch(program, launcher) as run, deadline(LIMIT):
        assert run.client(net).double_soon(3)["y"] == 6
        assert run.client(net).double_now(3) == 6


@pytest.mark.parametrize(("method", "number"), [("double", 4), ("double_soon", 3)])
def test_calls_that_came_before_the_node_had_started_are_handled(
    launcher, tmp_path, method, number
):
    def use(net, file):
        calls = [start(getattr(net, method), x) for x in range(number)]
        file.touch()
        stop_run(str([int(answer["size"]) for answer in results(calls)]))

    file = tmp_path / "asked"
    program = Program("late")
    # Under serial the user comes before the net in label order.
    gate = None if launcher == "serial" else file
    net = program.add_node(Node(Net, gate), label="the net")
    program.add_node(Node(Step, use, net, file), label="a user")
    assert run_to_end(program, launcher) == str([number] * number)


def test_a_forgotten_updating_is_found_in_it():
    class Learner(Net):
        def step(self):
            sleep(1.0, "nothing")
            self.scale = 3

    def use(net):
        net.double_soon(1)
        sleep(3.0, "the learner")

    program = Program("forgotten")
    net = program.add_node(Node(Learner), label="net")
    program.add_node(Node(Step, use, net), label="user")
    with pytest.raises(NodeFailed, match=r"sets 'scale'.*net\.double_soon.*reads it"):
        run_to_end(program, "serial", check=True)


def test_its_step_may_change_what_it_reads(launcher):
    class Learner(Net):
        def step(self):
            with updating(self):
                self.scale += 1
            sleep(0.01, "the next")

    def use(net):
        if net.double_soon(1)["y"] > 3:
            stop_run("changed")

    program = Program("updating")
    net = program.add_node(Node(Learner), label="net")
    program.add_node(Node(Step, use, net), label="user")
    assert run_to_end(program, launcher) == "changed"
