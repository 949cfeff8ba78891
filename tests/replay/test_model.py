"""Random programs of a table and its iterators, compared step by step with a model."""

from __future__ import annotations

import numpy as np
import pytest
from dm_env import specs
from hypothesis import given, settings
from hypothesis import strategies as st

from acmelike.errors import ConfigError
from acmelike.replay import (
    Fifo,
    Lifo,
    MaxHeap,
    MinHeap,
    MinSize,
    Prioritized,
    Queue,
    Raw,
    SamplesPerInsert,
    Stack,
    TableConfig,
    TableInfo,
    Uniform,
)
from acmelike.replay.service.sample_cursors import SampleCursor
from tests.replay.conftest import OpenReplay
from tests.replay.model import ModelTable

SIGNATURE = {
    "number": specs.Array((), np.int64),
    "again": specs.Array((3,), np.int16),
}
ITEM_BYTES = 8 + 3 * 2
MAX_SIZE = 6

selectors = st.sampled_from(
    [
        *(Uniform(), Fifo(), Lifo(), *[MinHeap(), MaxHeap()] * 2),
        *(Prioritized(exponent=e) for e in (0.0, 0.5, 1.0, 2.0)),
    ]
)
limiters = st.one_of(
    st.builds(MinSize, min_size=st.integers(1, MAX_SIZE)),
    st.builds(
        SamplesPerInsert,
        ratio=st.sampled_from([0.1, 0.3, 1, 2.5]),
        min_size=st.integers(1, MAX_SIZE),
        error_buffer=st.sampled_from([2.5, 3, 4.7, 20]),
    ),
    st.builds(Queue, size=st.integers(1, MAX_SIZE)),
    st.builds(Stack, size=st.integers(1, MAX_SIZE)),
    st.builds(
        Raw,
        samples_per_insert=st.sampled_from([0.7, 1, 3]),
        min_size=st.integers(1, MAX_SIZE),
        min_diff=st.sampled_from([-np.inf, -3, -0.1, 0]),
        max_diff=st.sampled_from([np.inf, 4.1, 9]),
    ),
)
configs = st.builds(
    TableConfig,
    name=st.just("table"),
    signature=st.just(SIGNATURE),
    max_size=st.integers(1, MAX_SIZE),
    sampler=selectors,
    remover=selectors,
    # The program begins with `limit`, if the limiter fits the table.
    rate_limiter=st.just(MinSize(min_size=1)),
    max_times_sampled=st.sampled_from([None, 1, 2, 3]),
    replacement=st.booleans(),
    max_bytes=st.one_of(
        st.none(), st.none(), st.integers(ITEM_BYTES, MAX_SIZE * ITEM_BYTES)
    ),
)
# Squares: their powers in the model are exact.
priorities = st.sampled_from([0, 1, 1, 1, 4, 10**6])
# Means the key of the item inserted so many items ago.
recent = st.integers(0, 12)
inserts = st.tuples(
    st.just("insert"), st.lists(priorities, min_size=1, max_size=8), st.booleans()
)
samples = st.tuples(st.just("sample"), st.integers(1, 10))
# An iterator, and how many more of its samples it has used.
cursor = st.integers(0, 1), st.integers(0, 2)
cursor_steps = st.one_of(
    st.tuples(st.just("sample"), st.integers(1, 6), *cursor),
    st.tuples(st.just("close"), *cursor),
)
updates = st.tuples(st.just("update"), st.lists(st.tuples(recent, priorities)))
others = st.one_of(
    st.tuples(
        st.just("assign"),
        st.lists(st.tuples(recent, priorities), min_size=1, unique_by=lambda p: p[0]),
    ),
    st.tuples(st.just("delete"), st.lists(recent)),
    st.tuples(st.just("limit"), limiters),
    st.tuples(st.just("reset")),
)
steps = st.one_of(inserts, inserts, samples, samples, cursor_steps, updates, others)
programs = st.lists(steps, min_size=10, max_size=40)


class Machine:
    """A table of a replay service and its model; applies each step to both."""

    def __init__(self, config: TableConfig, seed: int):
        self.replay = OpenReplay([config], seed=seed)
        self.table = self.replay.table("table")
        self.model = ModelTable(config, ITEM_BYTES)
        self.cursors = [
            SampleCursor(0, 0),
            SampleCursor(1, 3),
        ]
        self.seen: list[int] = []  # every key so far
        self.num_made = 0

    def insert(self, priorities, is_given):
        num_expected = self.model.num_admissible(len(priorities))
        values, items = self.make(len(priorities))
        given = np.array(priorities, float) if is_given else None
        keys = self.table.insert(items, given).tolist()
        assert len(keys) == num_expected
        assert len({*self.seen, *keys}) == len(self.seen) + len(keys), "keys came again"
        self.seen += keys
        self.model.insert(
            keys, values, priorities if is_given else None, contents(self.table)
        )

    def sample(self, num_items, number=None, num_more=0):
        if not self.model.can_sample(num_items):
            num_items = max(filter(self.model.can_sample, range(num_items)), default=0)
        if num_items == 0:
            return
        before = self.model.contents()
        cursor = None if number is None else self.cursor(number, num_more)
        sample = self.replay.sample("table", num_items, cursor)
        keys = sample.keys.tolist()
        expected = self.model.sample(keys, number)
        np.testing.assert_allclose(
            sample.probabilities, [float(p) for p in expected], rtol=1e-9
        )
        assert sample.data["number"].tolist() == [before[key][0] for key in keys]
        assert (sample.data["again"] == sample.data["number"][:, None]).all()
        assert sample.priorities.tolist() == [before[key][1] for key in keys]
        times = [before[key][2] + keys.count(key) for key in keys]
        assert sample.times_sampled.tolist() == times

    def close(self, number, num_more):
        self.replay.close_cursor(self.cursor(number, num_more))
        self.model.close(number)

    def cursor(self, number, num_more):
        """The cursor of an iterator that has used `num_more` samples, or all it has."""
        num_used, num_drawn = self.model.num_used[number], len(self.model.drawn[number])
        num_more = min(num_more, num_drawn - num_used)
        self.model.num_used[number] += num_more
        cursor = self.cursors[number]
        self.cursors[number] = cursor._replace(num_used=cursor.num_used + num_more)
        return self.cursors[number]

    def update(self, updates):
        updates = [(self.key(k), priority) for k, priority in updates]
        found = self.table.update_priorities(*columns(updates))
        assert found == self.model.update(updates)

    def assign(self, updates):
        updates = [(self.key(k), priority) for k, priority in updates]
        values, items = self.make(len(updates))
        keys, priorities = columns(updates)
        found = self.table.assign(keys, items, priorities)
        assert found == self.model.assign(updates, values)

    def delete(self, ages):
        keys = [self.key(age) for age in ages]
        found = self.table.delete(np.array(keys, np.int64))
        assert found == self.model.delete(keys)

    def limit(self, limiter):
        if limiter.limits.min_size > self.model.config.max_items:
            with pytest.raises(ConfigError, match="min_size"):
                self.table.set_rate_limiter(limiter)
        else:
            self.table.set_rate_limiter(limiter)
            self.model.limiter = limiter

    def reset(self):
        self.replay.reset("table")
        self.model.reset()

    def drain(self):
        """Samples and deletes the items one by one, which shows their order."""
        self.limit(MinSize(min_size=1))
        while self.model.items:
            keys = self.table.sample(1).keys
            self.model.sample(keys.tolist())
            assert self.table.delete(keys) == self.model.delete(keys)

    def make(self, num_items):
        """New items: their numbers, and the nest."""
        numbers = np.arange(self.num_made, self.num_made + num_items)
        self.num_made += num_items
        again = np.repeat(numbers[:, None], 3, axis=1).astype(np.int16)
        return numbers.tolist(), {"number": numbers, "again": again}

    def key(self, age):
        """A key, mostly of an item that is or was held."""
        if age < len(self.seen):
            return self.seen[-1 - age]
        return 10**9 + age if age % 2 else -age - 1

    def check(self):
        table, model = self.table, self.model
        assert contents(table) == model.contents()
        assert self.replay.info("table") == TableInfo(
            name="table",
            size=len(model.items),
            max_size=model.config.max_size,
            num_inserted=model.num_inserted,
            num_sampled=model.num_sampled,
            num_prefetched=model.num_prefetched(),
            num_deleted=model.num_deleted,
            samples_per_insert=model.num_sampled / max(1, model.num_inserted),
            num_bytes=model.num_bytes(),
            num_row_bytes=0,
            num_index_bytes=table.info().num_index_bytes,  # not of the model
        )
        for n in range(1, 20):
            assert (table.blocks_insert(n) is None) == model.can_insert(n), n
            assert (table.blocks_sample(n) is None) == model.can_sample(n), n


def contents(table):
    """(value, priority, times sampled) by key; draws no sample."""
    held = table.dump()
    columns = held["data"]["number"].tolist(), held["priorities"], held["times_sampled"]
    return dict(zip(held["keys"], zip(*columns, strict=True), strict=True))


def columns(updates):
    keys = np.array([key for key, _ in updates], np.int64)
    return keys, np.array([priority for _, priority in updates], float)


def run(config, limiter, seed, program):
    machine = Machine(config, seed)
    machine.limit(limiter)
    for name, *args in program:
        getattr(machine, name)(*args)
        machine.check()
    machine.drain()
    machine.check()


arguments = given(
    config=configs, limiter=limiters, seed=st.integers(0, 1000), program=programs
)


@pytest.mark.long
@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@arguments
def test_a_table_does_what_its_docs_say(config, limiter, seed, program):
    run(config, limiter, seed, program)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=10000, deadline=None, derandomize=True, database=None)
@arguments
def test_a_table_does_what_its_docs_say_for_long(config, limiter, seed, program):
    run(config, limiter, seed, program)
