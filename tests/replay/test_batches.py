"""`Batches`: samples that are requested ahead of need, used or returned."""

from __future__ import annotations

import pytest

from acmelike import Node, Program, core, launch, sleep, stop_run
from acmelike.core import runtime
from acmelike.core.future import RemoteMethod
from acmelike.errors import ConfigError, NotReady, RpcTimeout
from acmelike.replay import Batches, Fifo, Replay, SamplesPerInsert


class Answer(core.Future):
    def __init__(self, number: int):
        self.number, self.is_cancelled = number, False

    def done(self):
        return True

    def result(self):
        return self.number

    def cancel(self):
        self.is_cancelled = True


class Method(RemoteMethod):
    """A remote method whose answers are 0, 1, 2, ..."""

    def __init__(self):
        self.answers, self.asked = [], []

    def submit(self, args, kwargs):
        table, num_items, _ = args
        self.asked.append((table, num_items))
        self.answers.append(Answer(len(self.answers)))
        return self.answers[-1]

    def __call__(self, *args):
        return self.submit(args, {}).result()


class Client:
    def __init__(self):
        self.sample, self.closed = Method(), []

    def close_cursor(self, cursor):
        self.closed.append(cursor.num_used)


class Context:
    def __init__(self, is_serial: bool):
        self.is_serial, self.time = is_serial, 0.0

    def now(self):
        return self.time

    def sleep(self, seconds, reason):
        raise AssertionError("nothing here sleeps")

    def stop(self, reason):
        raise AssertionError("nothing here stops the run")


@pytest.fixture
def in_run():
    yield lambda is_serial: runtime.set_context(Context(is_serial))
    runtime.set_context(None)


def test_nothing_is_asked_for_before_it_is_wanted(in_run):
    in_run(is_serial=False)
    client = Client()
    batches = Batches(client, "table", batch_size=5)
    assert client.sample.asked == []
    assert [next(batches), next(batches)] == [0, 1]
    assert client.sample.asked == [("table", 5)] * 2


def test_prefetching_asks_for_what_is_not_outstanding_yet(in_run):
    in_run(is_serial=False)
    client = Client()
    batches = Batches(client, "table", batch_size=5, num_prefetch=3)
    batches.prefetch()
    batches.prefetch()
    assert client.sample.asked == [("table", 5)] * 3
    assert [next(batches), next(batches)] == [0, 1]
    assert len(client.sample.asked) == 3
    batches.prefetch()
    assert len(client.sample.asked) == 5
    assert [next(batches) for _ in range(4)] == [2, 3, 4, 5]


def test_closing_withdraws_what_was_not_taken(in_run):
    in_run(is_serial=False)
    client = Client()
    batches = Batches(client, "table", batch_size=5, num_prefetch=3)
    batches.prefetch()
    assert next(batches) == 0
    batches.close()
    cancelled = [answer.is_cancelled for answer in client.sample.answers]
    assert cancelled == [False, True, True]
    assert list(batches) == []
    batches.close()
    assert len(client.sample.asked) == 3
    assert client.closed == [1]  # of the three, one was used


def test_serial_runs_ask_for_nothing_ahead(in_run):
    in_run(is_serial=True)
    client = Client()
    batches = Batches(client, "table", batch_size=5, num_prefetch=2)
    batches.prefetch()
    assert client.sample.asked == []
    assert [next(batches), next(batches)] == [0, 1]
    assert len(client.sample.asked) == 2


def test_outside_a_run_it_calls_the_service(make_config, make_items):
    replay = Replay([make_config(sampler=Fifo(), replacement=False)], seed=0)
    batches = Batches(replay, "table", batch_size=3)
    batches.prefetch()
    with pytest.raises(NotReady, match="minimum size: 0 items of 1"):
        next(batches)
    replay.insert("table", make_items(0, 3))
    assert next(batches).data["reward"].tolist() == [0, 1, 2]
    assert next(iter(batches)).keys.tolist() == [0, 1, 2]
    assert replay.info("table").num_sampled == 6


def test_what_was_drawn_ahead_is_seen_and_given_back(make_config, make_items):
    limiter = SamplesPerInsert(ratio=1, min_size=4, error_buffer=4)
    program = Program("ahead")
    replay = program.add_node(
        Node(Replay, [make_config(rate_limiter=limiter)], seed=0), label="replay"
    )
    program.add_node(Node(Ahead, replay), label="ahead")
    with launch(program, "threads") as run:
        client = run.client(replay)
        client.insert("table", make_items(0, 6))
        run.wait(timeout=20)
        assert run.status()["ahead"].phase == "ended"


class Ahead:
    """Uses one of three samples that it asked for, and closes."""

    def __init__(self, replay: Replay):
        self.replay = replay
        self.batches = Batches(replay, "table", batch_size=2, num_prefetch=3)

    def step(self):
        self.batches.prefetch()
        next(self.batches)
        next(self.batches)
        while self.replay.info("table").num_sampled < 6:
            sleep(0.001, "the third sample")
        # The second is used, but replay has not heard of it.
        assert self.replay.info("table").num_prefetched == 6
        self.batches.close()
        info = self.replay.info("table")
        assert (info.num_sampled, info.num_prefetched) == (4, 0)
        stop_run("seen")


def test_an_iteration_ends_when_no_sample_comes_in_time(make_config):
    program = Program("late")
    replay = program.add_node(Node(Replay, [make_config()], seed=0), label="replay")
    program.add_node(Node(Late, replay), label="late")
    with launch(program, "serial") as run:
        assert run.wait(timeout=20) == "two iterations ended"


class Late:
    """Waits for samples of an empty table, with one asked for ahead and without."""

    def __init__(self, replay: Replay):
        self.replay = replay

    def step(self):
        for num_prefetch in (0, 1):
            batches = Batches(
                self.replay,
                "table",
                batch_size=1,
                num_prefetch=num_prefetch,
                timeout=5.0,  # of logical time
            )
            batches.prefetch()
            assert list(batches) == []
        stop_run("two iterations ended")


class Slow(RemoteMethod):
    """A remote method that never answers.

    Args:
      context: whose time passes.
    """

    def __init__(self, context):
        self.context, self.timeouts = context, []

    def submit(self, args, kwargs):
        self.timeouts.append(runtime.seconds_left())
        return Never(self.context)

    def __call__(self, *args):
        return self.submit(args, {}).result()


class Never(core.Future):
    def __init__(self, context):
        self.context, self.deadline = context, runtime.current_deadline()

    def done(self):
        return self.deadline is not None and self.context.time >= self.deadline

    def result(self):
        if not self.done():
            self.context.time = runtime.current_deadline()
        raise RpcTimeout("no sample in time")

    def cancel(self):
        pass


@pytest.fixture
def slow(in_run):
    in_run(is_serial=False)
    client = Client()
    client.sample = Slow(runtime.current_context())
    return client


def test_the_timeout_is_that_of_the_caller_who_waits(slow):
    batches = Batches(slow, "table", batch_size=5, num_prefetch=1, timeout=0.75)
    batches.prefetch()
    slow.sample.context.time += 0.5
    assert list(batches) == []
    # The caller waited for the call that was under way, and made no other.
    assert slow.sample.timeouts == [None]
    assert slow.sample.context.time == 1.25


def test_a_sample_asked_for_under_a_deadline_that_passed_is_asked_for_again(slow):
    batches = Batches(slow, "table", batch_size=5, num_prefetch=1, timeout=0.75)
    with core.deadline(0.25):
        batches.prefetch()
    slow.sample.context.time += 0.5
    assert list(batches) == []
    assert slow.sample.timeouts == [0.25, 0.75]


def test_the_deadline_of_the_scope_is_no_end_of_the_iteration(slow):
    batches = Batches(slow, "table", batch_size=5, num_prefetch=1)
    with pytest.raises(RpcTimeout, match="no sample in time"), core.deadline(0.25):
        next(batches)


@pytest.mark.parametrize(("batch_size", "num_prefetch"), [(0, 2), (4, -1)])
def test_bad_numbers_are_refused(batch_size, num_prefetch):
    with pytest.raises(ConfigError, match=f"got {batch_size} and {num_prefetch}"):
        Batches(Client(), "table", batch_size=batch_size, num_prefetch=num_prefetch)
