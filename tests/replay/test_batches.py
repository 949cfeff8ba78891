"""Batches: what is asked for ahead of need, and what becomes of it."""

from __future__ import annotations

import pytest

from acmelike import core
from acmelike.errors import ConfigError, NotReady
from acmelike.replay import Batches, Fifo, Replay


class Answer(core.Future):
    def __init__(self, number: int):
        self.number, self.is_cancelled = number, False

    def done(self):
        return True

    def result(self):
        return self.number

    def cancel(self):
        self.is_cancelled = True


class Method(core.RemoteMethod):
    """A remote method whose answers are 0, 1, 2, ..."""

    def __init__(self):
        self.answers, self.asked = [], []

    def submit(self, args, kwargs, timeout):
        self.asked.append(args)
        self.answers.append(Answer(len(self.answers)))
        return self.answers[-1]


class Client:
    def __init__(self):
        self.sample = Method()


class Context:
    def __init__(self, is_serial: bool):
        self.is_serial = is_serial

    def sleep(self, seconds, reason):
        raise AssertionError("nothing here sleeps")

    def stop(self, reason):
        raise AssertionError("nothing here stops the run")


@pytest.fixture
def in_run():
    yield lambda is_serial: core.set_context(Context(is_serial))
    core.set_context(None)


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


@pytest.mark.parametrize(("batch_size", "num_prefetch"), [(0, 2), (4, -1)])
def test_bad_numbers_are_refused(batch_size, num_prefetch):
    with pytest.raises(ConfigError, match=f"got {batch_size} and {num_prefetch}"):
        Batches(Client(), "table", batch_size=batch_size, num_prefetch=num_prefetch)
