"""Random programs of writers whose items share rows, compared with a naive model."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from dm_env import specs
from hypothesis import given, settings
from hypothesis import strategies as st

from acmelike.errors import NotReady
from acmelike.replay import (
    PADDING,
    Fifo,
    Items,
    Lifo,
    MaxHeap,
    MinHeap,
    MinSize,
    Queue,
    Replay,
    Rows,
    SamplesPerInsert,
    TableConfig,
    Uniform,
    Writer,
)
from tests.replay.model import ModelTable

FRAME = specs.Array((2,), np.int64)
ROW_BYTES = 2 * 8
ITEM_BYTES = 8 + 2 * 8  # every item has a number and refers to two rows
NUMBER = specs.Array((), np.int64)
SIGNATURES = {
    "pairs": {"id": NUMBER, "frames": Rows(column="frame", row=FRAME, length=2)},
    "twins": {
        "id": NUMBER,
        "first": Rows(column="frame", row=FRAME, length=1),
        "second": Rows(column="frame", row=FRAME),
    },
}
NUM_WRITERS = 2

ordered = [Fifo(), Fifo(), Lifo(), MinHeap(), MaxHeap()]
limiters = st.one_of(
    st.just(MinSize(min_size=1)),
    st.builds(Queue, size=st.integers(1, 8)),
    st.builds(
        SamplesPerInsert,
        ratio=st.sampled_from([0.5, 2]),
        min_size=st.just(1),
        error_buffer=st.sampled_from([2, 6]),
    ),
)


def configs(name):
    return st.builds(
        TableConfig,
        name=st.just(name),
        signature=st.just(SIGNATURES[name]),
        max_size=st.integers(1, 5),
        sampler=st.sampled_from([Uniform(), *ordered]),
        remover=st.sampled_from(ordered),
        rate_limiter=limiters,
        max_times_sampled=st.sampled_from([None, None, 1, 2]),
        max_bytes=st.one_of(st.none(), st.integers(40, 250)),
    )


tables = st.sampled_from(list(SIGNATURES))
# How many steps ago; None for the padding.
ages = st.one_of(*[st.integers(0, 2)] * 3, st.integers(0, 5), st.none())
parts = st.tuples(
    tables,
    st.lists(st.tuples(ages, ages), min_size=1, max_size=4),
    st.sampled_from([None, 0, 1, 4, 9]),
)
writers = st.integers(0, NUM_WRITERS - 1)
writes = st.tuples(
    st.just("write"),
    writers,
    st.integers(0, 4),
    st.lists(parts, max_size=3),
    st.integers(0, 4),
)
others = st.one_of(
    st.tuples(st.just("sample"), tables, st.integers(1, 4)),
    st.tuples(st.just("sample"), tables, st.integers(1, 4)),
    st.tuples(st.just("delete"), tables, st.lists(st.integers(0, 4), max_size=2)),
    st.tuples(st.just("limit"), tables, limiters),
    st.tuples(st.just("repeat"), writers),
    st.tuples(st.just("reset"), tables),
    st.tuples(st.just("close"), writers),
)
programs = st.lists(st.one_of(writes, writes, others), min_size=8, max_size=30)


@dataclass
class Letter:
    """A message, as the model knows it.

    Attributes:
      steps: the numbers of its steps.
      parts: the items not yet inserted: table, by id their pairs of steps, priority.
      keep_from: the first step that is kept when all are.
      num_env_steps: that it tells of.
      is_taken: whether replay has it.
    """

    steps: range
    parts: list[tuple[str, dict[int, tuple[int, int]], int | None]]
    keep_from: int
    num_env_steps: int
    is_taken: bool = False


@dataclass
class Pen:
    """A writer, and what the model knows of it.

    Attributes:
      name: which it is, from 1.
      writer: the writer.
      last: the last message of it that replay took.
      num_steps: that were written.
      num_unsent: of these, how many wait for items.
      num_uncounted: likewise, with those that no item can refer to any more.
      kept: the numbers of those that replay keeps for it.
      letters: what it has to send, in order.
    """

    name: int
    replay: Replay
    last: object = None
    num_steps: int = 0
    num_unsent: int = 0
    num_uncounted: int = 0
    kept: set[int] = field(default_factory=set)
    letters: list[Letter] = field(default_factory=list)

    def __post_init__(self):
        self.writer = Writer(self)

    # What a writer needs of replay: remembers what goes through.

    def write(self, message):
        num_done = self.replay.write(message)
        self.last = message if message.items else self.last
        return num_done

    def close_writer(self, number):
        self.replay.close_writer(number)


class Machine:
    """Replay and a model of each table; applies each step to both."""

    def __init__(self, configs, seed):
        self.replay = Replay(configs, seed=seed)
        self.models = {c.name: ModelTable(c, ITEM_BYTES, ROW_BYTES) for c in configs}
        self.num_pens = self.num_items = self.num_env_steps = 0
        self.pens = [self.new_pen() for _ in range(NUM_WRITERS)]

    def new_pen(self):
        self.num_pens += 1
        return Pen(self.num_pens, self.replay)

    # --- What happens -----------------------------------------------------------------

    def write(self, number, num_steps, parts, num_keep):
        pen = self.pens[number]
        new = np.arange(pen.num_steps, pen.num_steps + num_steps)
        pen.num_steps += num_steps
        pen.num_unsent += num_steps
        pen.num_uncounted += num_steps
        keep_from = pen.num_steps - num_keep
        parts = [
            (table, self.with_ids(pen, pairs), priority)
            for table, pairs, priority in parts
        ]
        message = [items(*part) for part in parts]
        if parts:
            steps = range(pen.num_steps - pen.num_unsent, pen.num_steps)
            letter = Letter(steps, parts, keep_from, pen.num_uncounted)
            pen.letters.append(letter)
            pen.num_unsent = pen.num_uncounted = 0
        elif len(pen.letters) < 2:  # No items wait that may refer to the others.
            pen.num_unsent = min(pen.num_unsent, num_keep)
        raised = None
        try:
            pen.writer.write(
                message,
                steps={"frame": np.stack([new, new * 0 + pen.name], axis=1)},
                keep_from={"frame": keep_from},
                num_env_steps=num_steps,
            )
        except (NotReady, ValueError) as error:
            raised = type(error)
        assert raised is self.follow(pen, pen.letters)

    def repeat(self, number):
        """The last message that replay received is sent again."""
        pen = self.pens[number]
        letters = [letter for letter in pen.letters if letter.is_taken]
        if pen.last is None:
            return
        try:
            self.replay.write(pen.last)
        except NotReady:
            assert letters
        self.follow(pen, letters, once=True)

    def sample(self, table, num_items):
        model = self.models[table]
        num_items = max(filter(model.can_sample, range(num_items + 1)), default=0)
        if num_items > 0:
            before = model.contents()
            data = self.replay.sample(table, num_items).data
            assert values(data) == [before[k][0] for k in data["id"].tolist()]
            model.sample(data["id"].tolist())

    def delete(self, table, places):
        keys, ids, _ = self.held(table)
        places = [k for k in places if k < len(keys)]
        found = self.replay.delete(table, keys[places])
        assert found == self.models[table].delete(ids[places].tolist())

    def limit(self, table, limiter):
        self.replay.set_rate_limiter(table, limiter)
        self.models[table].limiter = limiter

    def reset(self, table):
        self.replay.reset(table)
        self.models[table].reset()

    def close(self, number):
        self.pens[number].writer.close()
        self.pens[number] = self.new_pen()

    # --- What the docs say of messages ------------------------------------------------

    def follow(self, pen, letters, once=False):
        """Applies letters to the models; returns the error that replay raises, or None.

        A writer repeats its message until all of it is inserted, or with `once` not.
        """
        while letters:
            letter = letters[0]
            while letter.parts:
                table, pairs, priority = letter.parts[0]
                model = self.models[table]
                if not model.can_insert(1):
                    return NotReady
                if not letter.is_taken and not self.take(pen, letter):
                    letters.pop(0)
                    return ValueError
                ids = list(pairs)[: model.num_admissible(len(pairs))]
                model.insert(
                    ids,
                    [value(pen, pairs[k]) for k in ids],
                    None if priority is None else [priority] * len(ids),
                    held=(),
                    rows=[named(pen, {*pairs[k]} - {PADDING}) for k in ids],
                )
                for k in ids:
                    del pairs[k]
                if not pairs:
                    letter.parts.pop(0)
                elif once:
                    return None
            pen.kept = {n for n in pen.kept if n >= letter.keep_from}
            letters.pop(0)
        return None

    def take(self, pen, letter):
        """Whether replay accepts a message: its items refer to steps that are kept.

        If not, it stores the steps alone.
        """
        kept = {*pen.kept, *letter.steps}
        for _, pairs, _ in letter.parts:
            if not {n for pair in pairs.values() for n in pair} <= kept | {PADDING}:
                pen.kept = {n for n in kept if n >= letter.keep_from}
                return False
        pen.kept, letter.is_taken = kept, True
        self.num_env_steps += letter.num_env_steps
        return True

    def with_ids(self, pen, pairs):
        """Pairs of steps by the ids of their items."""
        numbers = [
            tuple(PADDING if age is None else pen.num_steps - 1 - age for age in pair)
            for pair in pairs
        ]
        first = self.num_items
        self.num_items += len(pairs)
        return dict(enumerate(numbers, first))

    # --- What is compared -------------------------------------------------------------

    def held(self, table):
        """Keys, ids and the rest of the items of a table; draws no sample."""
        held = self.replay.dump(table)
        rest = values(held["data"]), held["priorities"], held["times_sampled"]
        keys = np.array(held["keys"], np.int64)
        return keys, held["data"]["id"], zip(*rest, strict=True)

    def check(self):
        rows = set()
        for name, model in self.models.items():
            _, ids, rest = self.held(name)
            assert dict(zip(ids.tolist(), rest, strict=True)) == model.contents()
            info = self.replay.info(name)
            assert info.num_inserted == model.num_inserted
            assert info.num_sampled == model.num_sampled
            assert info.num_deleted == model.num_deleted
            assert info.num_bytes == model.num_bytes()
            assert info.num_row_bytes == ROW_BYTES * len(model.rows())
            rows |= model.rows()
        for pen in self.pens:
            rows |= named(pen, pen.kept)
        assert self.replay.row_bytes() == {"frame": ROW_BYTES * len(rows)}
        assert self.replay.num_env_steps() == self.num_env_steps

    def end(self):
        for number in range(NUM_WRITERS):
            self.close(number)
        for name in self.models:
            self.reset(name)
        assert self.replay.row_bytes() == {"frame": 0}


def items(table, pairs, priority):
    """The arguments of a writer."""
    numbers = np.array(list(pairs.values()), np.int64)
    data = {"id": np.array(list(pairs), np.int64)}
    if table == "pairs":
        data["frames"] = numbers
    else:
        data["first"], data["second"] = numbers[:, :1], numbers[:, 1]
    priorities = None if priority is None else np.full(len(pairs), float(priority))
    return Items(table, data, priorities)


def value(pen, pair):
    """The two rows of an item, in one list."""
    return [k for n in pair for k in ([0, 0] if n == PADDING else [n, pen.name])]


def values(data):
    """The same of items as they are sampled."""
    if "frames" in data:
        return data["frames"].reshape(-1, 4).tolist()
    return np.concatenate([data["first"][:, 0], data["second"]], axis=1).tolist()


def named(pen, numbers):
    """Steps of a writer, different from those of other writers."""
    return {(pen.name, n) for n in numbers}


def run(configs, seed, program):
    machine = Machine(configs, seed)
    for name, *args in program:
        getattr(machine, name)(*args)
        machine.check()
    machine.end()


arguments = given(
    configs=st.tuples(*map(configs, SIGNATURES)),
    seed=st.integers(0, 1000),
    program=programs,
)


@pytest.mark.long
@settings(max_examples=125, deadline=None, derandomize=True, database=None)
@arguments
def test_rows_are_held_as_long_as_somebody_may_use_them(configs, seed, program):
    run(configs, seed, program)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=5000, deadline=None, derandomize=True, database=None)
@arguments
def test_rows_are_held_as_long_as_somebody_may_use_them_for_long(
    configs, seed, program
):
    run(configs, seed, program)
