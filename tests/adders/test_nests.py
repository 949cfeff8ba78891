"""Observations of several arrays: each is added as if it were the only one."""

import weakref

import dm_env
import numpy as np
import optree
import pytest
from dm_env import specs

from acmelike.adders import (
    EpisodeAdder,
    NStepAdder,
    SequenceAdder,
    UnrollAdder,
    sequence_signature,
    transition_signature,
    unroll_signature,
)
from acmelike.environments import VectorEnvironment
from acmelike.replay import Fifo, Items, MinSize, Replay, TableConfig, Writer

NUM_ENVS = 2
# How an observation is nested, of a vector and of a picture of bytes.
NESTS = {
    "one": lambda vector, picture: vector,
    "dict": lambda vector, picture: {"picture": picture, "vector": vector},
    "tuple in a dict": lambda vector, picture: {"a": (vector, {"b": picture})},
}


class Numbers(dm_env.Environment):
    """Observes the number of its step; episodes of three steps."""

    def __init__(self, seed, nest):
        self.nest, self.time, self.num_steps = nest, 100 * (seed % 2), 0

    def reset(self):
        self.time, self.num_steps = self.time + 1, 0
        return dm_env.restart(self._observe())

    def step(self, action):
        self.time, self.num_steps = self.time + 1, self.num_steps + 1
        make = dm_env.truncation if self.num_steps == 3 else dm_env.transition
        return make(1.0, self._observe())

    def _observe(self):
        vector = np.full(2, self.time, np.float32)
        return self.nest(vector, np.full((2, 2, 1), self.time % 256, np.uint8))

    def observation_spec(self):
        vector = specs.Array((2,), np.float32)
        return self.nest(vector, specs.Array((2, 2, 1), np.uint8))

    def action_spec(self):
        return specs.DiscreteArray(2)


ADDERS = {
    "transitions": (
        transition_signature,
        lambda **settings: NStepAdder(n=2, discount=0.5, **settings),
    ),
    "sequences": (
        lambda spec: sequence_signature(spec, 4),
        lambda **settings: SequenceAdder(length=4, period=2, **settings),
    ),
    "unrolls": (
        lambda spec: unroll_signature(spec, 4),
        lambda **settings: UnrollAdder(length=4, **settings),
    ),
    "episodes": (
        lambda spec: sequence_signature(spec, 5),
        lambda **settings: EpisodeAdder(max_length=5, **settings),
    ),
}


def collected(kind, nest, **settings):
    """All items that replay has after some steps, in the order in which they came."""
    make_signature, make = ADDERS[kind]
    environment = VectorEnvironment(
        lambda seed: Numbers(seed, nest), num_envs=NUM_ENVS, seed=0
    )
    table = TableConfig(
        name="items",
        signature=make_signature(environment.spec),
        max_size=1_000,
        sampler=Fifo(),
        rate_limiter=MinSize(min_size=1),
        replacement=False,
    )
    replay = Replay([table], seed=0)
    adder, writer = make(num_envs=NUM_ENVS, **settings), Writer(replay)
    step, num_items = environment.reset(), 0
    adder.start(step)
    for number in range(14):
        actions = np.full(NUM_ENVS, number % 2, np.int32)
        step = environment.step(actions)
        added = adder.add(actions, number, step)
        items = []
        if added.items is not None:
            items.append(Items("items", added.items, added.priorities))
            num_items += len(optree.tree_leaves(added.items)[0])
        writer.write(items, steps=added.steps, keep_from=added.keep_from)
    assert num_items > 4
    return replay.sample("items", num_items).data


@pytest.mark.parametrize("kind", ADDERS)
@pytest.mark.parametrize("name", NESTS)
def test_each_array_is_added_as_if_it_were_the_only_one(kind, name):
    nest = NESTS[name]
    nested = collected(kind, nest)
    vectors = collected(kind, lambda vector, picture: vector)
    pictures = collected(kind, lambda vector, picture: picture)
    for field in nested._fields:
        found = getattr(nested, field)
        expected = getattr(vectors, field)
        if field.startswith("o_"):
            expected = nest(expected, getattr(pictures, field))
        optree.tree_map_(np.testing.assert_array_equal, found, expected)


def test_first_priorities_see_the_nest():
    """Those of sequences, which put rows together again."""
    seen = []

    def priority(sequences):
        seen.append(sequences.o_t)
        return np.ones(len(sequences.mask))

    collected("sequences", NESTS["dict"], initial_priority=priority)
    assert seen
    for observations in seen:
        assert observations["picture"].shape[1:] == (4, 2, 2, 1)
        vector, picture = observations["vector"], observations["picture"]
        np.testing.assert_array_equal(vector[..., 0] % 256, picture[..., 0, 0, 0])


@pytest.mark.parametrize("make", [ADDERS["transitions"][1], ADDERS["unrolls"][1]])
def test_an_observation_that_is_nested_in_another_way_is_refused_at_once(make):
    environment = VectorEnvironment(
        lambda seed: Numbers(seed, NESTS["dict"]), num_envs=NUM_ENVS, seed=0
    )
    adder, actions = make(num_envs=NUM_ENVS), np.zeros(NUM_ENVS, np.int32)
    adder.start(environment.reset())
    adder.add(actions, 0, environment.step(actions))
    step = environment.step(actions)
    other = step._replace(observation=step.observation["vector"])
    with pytest.raises(ValueError, match="dict"):
        adder.add(actions, 1, other)


def test_unrolls_keep_no_observation():
    """It may be a view of memory that another process has lent."""
    environment = VectorEnvironment(
        lambda seed: Numbers(seed, NESTS["one"]), num_envs=NUM_ENVS, seed=0
    )
    adder, actions = UnrollAdder(num_envs=NUM_ENVS, length=4), np.zeros(2, np.int32)
    adder.start(environment.reset())
    observations = []
    for number in range(3):
        step = environment.step(actions)
        adder.add(actions, number, step)
        observations.append(weakref.ref(step.observation))
    del step
    # The next step needs the last one.
    assert [each() is None for each in observations] == [True, True, False]
