"""Sequences against one environment at a time, through a real table."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from dm_env import specs

from acmelike.adders import Sequence, SequenceAdder, sequence_signature
from acmelike.environments import VectorEnvironment
from acmelike.errors import ConfigError
from acmelike.replay import Fifo, Items, MinSize, Replay, TableConfig, Writer
from tests.counting_agent import Clock

EXTRAS = {"log_prob": specs.Array((), np.float32)}


class Lengths:
    """Makes clocks whose episodes are so long."""

    def __init__(self, *lengths):
        self.lengths = iter(lengths)

    def __call__(self, seed):
        return Clock(next(self.lengths))


def collect(lengths, num_steps, **settings):
    """The sequences of environments with these lengths of episodes, in a list."""
    adder = SequenceAdder(num_envs=len(lengths), **settings)
    return collect_with(adder, settings["length"], lengths, num_steps)


def num_observations(replay):
    """How many observations replay stores, each of one number."""
    return replay.row_bytes()["o_t"] // Clock(1).observation_spec().dtype.itemsize


def collect_with(adder, length, lengths, num_steps):
    """The same, with another adder whose items have so many steps."""
    num_envs = len(lengths)
    environment = VectorEnvironment(Lengths(*lengths), num_envs=num_envs, seed=0)
    table = TableConfig(
        name="sequences",
        signature=sequence_signature(environment.spec, length, EXTRAS),
        max_size=1_000,
        sampler=Fifo(),
        rate_limiter=MinSize(min_size=1),
        replacement=False,
    )
    replay = Replay([table], seed=0)
    writer = Writer(replay)
    now = environment.reset()
    adder.start(now)
    made = []
    for n in range(num_steps):
        action = np.arange(num_envs) + n % 7
        now = environment.step(action)
        extras = {"log_prob": -action.astype(np.float32)}
        added = adder.add(action, 100 + n, now, extras)
        items = [Items("sequences", added.items, added.priorities)]
        items = [] if added.items is None else items
        writer.write(items, steps=added.steps, keep_from=added.keep_from)
        size = replay.info("sequences").size
        made.append(size)
    sample = replay.sample("sequences", size).data if size else None
    return made, sample, replay


def episode_steps(length):
    """What one environment goes through: (observation, mask, is first)."""
    for _ in itertools.count():
        for n in range(length + 1):
            yield n, int(n < length), n == 0


def expected(length_of_episode, num_steps, *, length, period, at_end):
    """The windows of one environment, from the definition: lists of its steps."""
    steps = list(itertools.islice(episode_steps(length_of_episode), num_steps))
    if at_end == "continue":
        starts = range(0, num_steps - length + 1, period)
        return [steps[s : s + length] for s in starts]
    found, size = [], length_of_episode + 1
    for begin in range(0, num_steps, size):
        whole = begin + size <= num_steps
        end, start, seen = min(begin + size, num_steps), begin, begin
        while start + length <= end:
            found.append(steps[start : start + length])
            seen, start = start + length, start + period
        if whole and seen < end and at_end != "drop":
            if at_end == "shift":
                start = max(begin, min(start, end - length))
            elif start == end - 1:  # All of it would be masked.
                continue
            rest = steps[start:end]
            found.append(rest + [(0, 0, False)] * (length - len(rest)))
    return found


def windows(sample):
    return sample and [
        [
            (int(o), int(m), bool(f))
            for o, m, f in zip(
                sample.o_t[n, :, 0], sample.mask[n], sample.is_first[n], strict=True
            )
        ]
        for n in range(len(sample.mask))
    ]


@pytest.mark.parametrize("at_end", ["pad", "shift", "drop", "continue"])
@pytest.mark.parametrize(("length", "period"), [(3, 3), (4, 2), (5, 1), (1, 1), (6, 4)])
@pytest.mark.parametrize("episode", [1, 2, 4, 5, 9])
def test_sequences_of_one_environment(at_end, length, period, episode):
    settings = {"length": length, "period": period, "at_end": at_end}
    # The step after the last time that was added is not known yet.
    _, sample, _ = collect([episode], 30, **settings)
    # The last observation of an episode is a step only when the next one begins.
    assert (windows(sample) or []) == expected(episode, 30, **settings)


@pytest.mark.parametrize("at_end", ["pad", "shift", "drop", "continue"])
def test_environments_side_by_side_do_as_each_alone(at_end):
    settings = {"length": 4, "period": 2, "at_end": at_end}
    _, together, _ = collect([3, 5, 2], 25, **settings)
    alone = [windows(collect([n], 25, **settings)[1]) or [] for n in (3, 5, 2)]
    assert sorted(windows(together)) == sorted(itertools.chain(*alone))


def test_a_step_has_what_was_done_and_what_followed():
    _, sample, _ = collect([3], 8, length=4, period=4)
    assert isinstance(sample, Sequence)
    # Observations 0, 1, 2, 3, then the second episode.
    assert sample.a_t.tolist() == [[0, 1, 2, 0], [4, 5, 6, 0]]
    assert sample.r_t.tolist() == [[0, 1, 2, 0], [4, 5, 6, 0]]
    assert sample.discount_t.tolist() == [[1, 1, 0, 0]] * 2
    assert sample.version.tolist() == [[100, 101, 102, 103], [104, 105, 106, 107]]
    assert sample.extras["log_prob"].tolist() == [[0, -1, -2, -3], [-4, -5, -6, 0]]
    assert sample.is_first.tolist() == [[True, False, False, False]] * 2
    assert sample.mask.dtype == np.float32


@pytest.mark.parametrize("at_end", ["pad", "shift", "drop", "continue"])
def test_steps_are_stored_once_and_given_up_with_their_sequences(at_end):
    made, _, replay = collect([5, 9], 200, length=4, period=1, at_end=at_end)
    assert made[-1] > 100
    assert num_observations(replay) <= 2 * 200
    replay.reset("sequences")
    # What the next sequences may refer to.
    assert num_observations(replay) <= 2 * (4 + 1)


def test_a_new_start_forgets_what_was_there():
    adder = SequenceAdder(num_envs=1, length=2, period=1)
    environment = VectorEnvironment(Lengths(9), num_envs=1, seed=0)
    adder.start(environment.reset())
    assert adder.add([0], 0, environment.step([0])).items is None
    adder.start(environment.reset())
    assert adder.add([0], 0, environment.step([0])).items is None
    added = adder.add([0], 0, environment.step([0]))
    assert added.items.o_t.tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_envs": 0}, "num_envs must be at least 1, not 0"),
        ({"period": 0}, "period must be at least 1, not 0"),
        ({"length": 1}, "length must be at least period = 2, not 1"),
        ({"at_end": "stop"}, "one of pad, shift, drop, continue, not stop"),
    ],
)
def test_mistakes_are_refused(changes, message):
    settings = {"num_envs": 1, "length": 4, "period": 2, "at_end": "pad"}
    with pytest.raises(ConfigError, match=message):
        SequenceAdder(**(settings | changes))


@pytest.mark.parametrize("at_end", ["pad", "shift", "drop", "continue"])
def test_first_priorities_are_made_of_whole_sequences(at_end):
    seen = []

    def priority(sequences):
        seen.append(sequences)
        return sequences.o_t.sum(axis=(1, 2))

    settings = {"length": 4, "period": 3, "at_end": at_end}
    settings["initial_priority"] = priority
    _, sample, replay = collect([3, 5], 25, **settings)
    for name in Sequence._fields[:-1]:
        whole = np.concatenate([getattr(one, name) for one in seen])
        np.testing.assert_array_equal(whole, getattr(sample, name))
    log_probs = np.concatenate([one.extras["log_prob"] for one in seen])
    np.testing.assert_array_equal(log_probs, sample.extras["log_prob"])
    priorities = replay.sample("sequences", len(sample.mask)).priorities
    assert priorities.tolist() == sample.o_t.sum(axis=(1, 2)).tolist()


def test_there_is_a_start_first():
    adder = SequenceAdder(num_envs=1, length=2, period=1)
    environment = VectorEnvironment(Lengths(9), num_envs=1, seed=0)
    with pytest.raises(RuntimeError, match="before start"):
        adder.add([0], 0, environment.reset())


def test_of_some_extras_only_those_of_the_first_step_are_kept():
    environment = VectorEnvironment(Lengths(9, 9), num_envs=2, seed=0)
    signature = sequence_signature(
        environment.spec, 3, first_extras={"h": specs.Array((2,), np.float32)}
    )
    table = TableConfig(
        name="sequences",
        signature=signature,
        max_size=10,
        sampler=Fifo(),
        rate_limiter=MinSize(min_size=1),
        replacement=False,
    )
    replay = Replay([table], seed=0)
    adder = SequenceAdder(num_envs=2, length=3, period=2, first_extras=["h"])
    writer = Writer(replay)
    adder.start(environment.reset())
    for n in range(5):
        step = environment.step([0, 0])
        state = np.float32([[n, 0], [n, 1]])
        added = adder.add([0, 0], 0, step, {"h": state})
        items = [] if added.items is None else [Items("sequences", added.items)]
        writer.write(items, steps=added.steps, keep_from=added.keep_from)
    sample = replay.sample("sequences", 4).data
    assert sample.o_t.shape == (4, 3, 1)
    expected = [[0, 0], [0, 1], [2, 0], [2, 1]]
    np.testing.assert_array_equal(sample.extras["h"], expected)
