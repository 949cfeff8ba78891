"""Which calls wait at a table, in which order they proceed; with both engines.

Reverb's own queues let a sample that cannot proceed hold up those behind it. Here no
call waits inside of Reverb: guards ask its limiter, so the order is that of our server.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from acmelike import Node, Program, launch
from acmelike.core import start
from acmelike.errors import RpcClosed
from acmelike.replay import Fifo, MinSize, Queue, Raw, Replay


@pytest.fixture
def launched(engine, make_config):
    """A client of a queue: each item is sampled once, the oldest first."""

    @contextmanager
    def start(**changes):
        settings = {
            "sampler": Fifo(),
            "max_times_sampled": 1,
            "rate_limiter": Queue(size=8),
        }
        config = make_config(**(settings | changes))
        program = Program("waiting")
        node = Node(Replay, [config], seed=0, engine=engine)
        handle = program.add_node(node, label="replay")
        with launch(program, "threads") as run:
            client = run.client(handle)
            client.infos()  # From now on it is there.
            yield client

    return start


def numbers(sample):
    return sample.data["reward"].astype(int).tolist()


def done(calls):
    return [call.done() for call in calls]


def test_samples_that_wait_are_served_in_the_order_of_their_arrival(
    launched, make_items
):
    with launched() as client:
        waiting = [start(client.sample, "table", 2) for _ in range(3)]
        assert done(waiting) == [False] * 3
        client.insert("table", make_items(0, 4))
        assert done(waiting) == [True, True, False]
        client.insert("table", make_items(4, 6))
        assert [numbers(call.result()) for call in waiting] == [[0, 1], [2, 3], [4, 5]]


def test_who_cannot_proceed_holds_up_nobody_behind_it(launched, make_items):
    with launched() as client:
        large = start(client.sample, "table", 3)
        small = [start(client.sample, "table", 1) for _ in range(2)]
        client.insert("table", make_items(0, 2))
        assert [numbers(call.result()) for call in small] == [[0], [1]]
        assert not large.done()
        # Now that it can, it goes before one that came later and also could.
        later = start(client.sample, "table", 1)
        client.insert("table", make_items(2, 6))
        assert numbers(large.result()) == [2, 3, 4]
        assert numbers(later.result()) == [5]


def test_inserts_that_wait_go_before_those_that_come_later(launched, make_items):
    with launched(rate_limiter=Queue(size=1)) as client:
        client.insert("table", make_items(0, 1))
        calls = [start(client.insert, "table", make_items(k, k + 1)) for k in (1, 2)]
        taken = numbers(client.sample("table", 1))
        # There was room for one, and it is taken by who waited first.
        assert done(calls) == [True, False]
        calls.append(start(client.insert, "table", make_items(3, 4)))
        taken += [numbers(client.sample("table", 1))[0] for _ in range(3)]
        assert taken == [0, 1, 2, 3]
        assert [call.result() for call in calls] == [1, 1, 1]


def test_a_reset_wakes_those_whom_it_lets_proceed(launched, make_items):
    with launched(rate_limiter=Queue(size=2)) as client:
        client.insert("table", make_items(0, 2))
        inserts = [start(client.insert, "table", make_items(k, k + 1)) for k in (2, 3)]
        sample = start(client.sample, "table", 3)
        client.reset("table")
        assert [call.result() for call in inserts] == [1, 1]
        assert not sample.done()
        assert numbers(client.sample("table", 2)) == [2, 3]
        sample.cancel()


def test_after_a_deletion_samples_wait_for_the_next_insert(launched, make_items):
    with launched(rate_limiter=MinSize(min_size=2), max_times_sampled=None) as client:
        client.insert("table", make_items(0, 2))
        client.delete("table", client.sample("table", 1).keys)
        sample = start(client.sample, "table", 1)
        assert not sample.done()
        client.insert("table", make_items(2, 3))
        assert numbers(sample.result()) == [1]


def test_a_deletion_wakes_inserts_that_it_lets_proceed(launched, make_items):
    # Inserts wait at four items, unless they only fill the table up to three.
    limiter = Raw(samples_per_insert=1, min_size=3, min_diff=0, max_diff=2)
    with launched(rate_limiter=limiter, max_times_sampled=None) as client:
        client.insert("table", make_items(0, 3))
        key = client.sample("table", 1).keys
        inserts = [start(client.insert, "table", make_items(k, k + 1)) for k in (3, 4)]
        assert done(inserts) == [False, False]
        assert client.delete("table", key) == 1
        assert done(inserts) == [True, False]
        assert numbers(client.sample("table", 1)) == [1]
        inserts[1].cancel()


@pytest.mark.parametrize("size", [0, 2])
def test_the_end_of_the_run_wakes_everybody(launched, make_items, size):
    with launched(rate_limiter=Queue(size=2)) as client:
        client.insert("table", make_items(0, 2))
        if size == 0:
            client.sample("table", 2)
            waiting = [start(client.sample, "table", 1) for _ in range(3)]
        else:
            waiting = [
                start(client.insert, "table", make_items(k, k + 1)) for k in (2, 3, 4)
            ]
        assert done(waiting) == [False] * 3
    for call in waiting:
        with pytest.raises(RpcClosed):
            call.result()
