"""Frames stored once: what is sampled is what stacks would have been."""

import jax
import numpy as np
import optree
import pytest
from dm_env import specs

from acmelike.adders import (
    EpisodeAdder,
    NStepAdder,
    SequenceAdder,
    UnrollAdder,
    observations_signature,
    sequence_signature,
    store_frames_once,
    transition_signature,
    unroll_signature,
)
from acmelike.environments import CatchFactory, FrameStackFactory, VectorEnvironment
from acmelike.environments.wrappers.wrapper import EnvironmentWrapper
from acmelike.replay import Fifo, Items, MinSize, Replay, TableConfig, Writer

NUM_ENVS, NUM_FRAMES, NUM_STEPS = 3, 4, 60
# Episodes of nine steps, so that a transition of three reaches back to a whole stack.
FACTORY = FrameStackFactory(inner=CatchFactory(), num_frames=NUM_FRAMES)
FRAME_BYTES = 10 * 5 * 4


class CatchOfParts(EnvironmentWrapper):
    """Catch as a nest: the board, its columns in bytes, and a mask that changes."""

    def __init__(self, seed):
        self.num_observed = 0
        board, columns = specs.Array((10, 5), np.float32), specs.Array((5,), np.uint8)
        mask = specs.Array((3,), np.int8)
        spec = {"seen": (board, columns), "action_mask": mask}
        super().__init__(CatchFactory()(seed), spec)

    def observe(self, step):
        self.num_observed += 1
        board, mask = step.observation, np.zeros(3, np.int8)
        mask[self.num_observed % 3] = 1
        columns = 2 * board.sum(axis=0).astype(np.uint8)
        observation = {"seen": (board, columns), "action_mask": mask}
        return step._replace(observation=observation)


PARTS = FrameStackFactory(inner=CatchOfParts, num_frames=NUM_FRAMES)


def priority(items, extras_tm1, extras_t):
    return np.ones(len(items.r_t))


def transitions(n, initial_priority=None):
    adder = NStepAdder(
        num_envs=NUM_ENVS, n=n, discount=0.9, initial_priority=initial_priority
    )
    return adder, transition_signature


def sequences(length, period, at_end, initial_priority=None):
    adder = SequenceAdder(
        num_envs=NUM_ENVS,
        length=length,
        period=period,
        at_end=at_end,
        initial_priority=initial_priority,
    )
    return adder, lambda spec: sequence_signature(spec, length)


def episodes():
    adder = EpisodeAdder(num_envs=NUM_ENVS, max_length=12)
    return adder, lambda spec: sequence_signature(spec, 12)


def unrolls(length):
    adder = UnrollAdder(num_envs=NUM_ENVS, length=length)
    return adder, lambda spec: unroll_signature(spec, length)


KINDS = {
    "transitions of 1": lambda: transitions(1),
    "transitions of 3": lambda: transitions(3),
    "transitions of 1 with priorities": lambda: transitions(1, priority),
    "transitions of 3 with priorities": lambda: transitions(3, priority),
    "padded sequences": lambda: sequences(4, 3, "pad"),
    "padded sequences with priorities": lambda: sequences(
        4, 3, "pad", lambda items: np.ones(len(items.mask))
    ),
    "shifted sequences": lambda: sequences(6, 3, "shift"),
    "sequences that go on": lambda: sequences(7, 7, "continue"),
    "sequences of one step": lambda: sequences(1, 1, "pad"),
    "episodes": episodes,
    "unrolls of 1": lambda: unrolls(1),
    "unrolls of 7": lambda: unrolls(7),
}


def collect(make, once, max_size=1_000, begin_again=(), factory=FACTORY):
    """What a table has after some steps, with stacks or with every frame once."""
    adder, signature = make()
    environment = VectorEnvironment(factory, num_envs=NUM_ENVS, seed=0)
    # Without word of frames they are observations like others.
    num_frames = NUM_FRAMES if once else 1
    signature = signature(environment.spec._replace(num_frames=num_frames))
    table = TableConfig(
        name="items",
        signature=signature,
        max_size=max_size,
        sampler=Fifo(),
        rate_limiter=MinSize(min_size=1),
        replacement=False,
    )
    adder = store_frames_once(adder, signature, num_envs=NUM_ENVS)
    replay, random = Replay([table], seed=0), np.random.default_rng(0)
    writer = Writer(replay)
    now = environment.reset()
    adder.start(now)
    for n in range(NUM_STEPS):
        action = random.integers(3, size=NUM_ENVS)
        now = environment.step(action)
        added = adder.add(action, n, now)
        items = [Items("items", added.items, added.priorities)]
        writer.write(
            [] if added.items is None else items,
            steps=added.steps,
            keep_from=added.keep_from,
        )
        if n in begin_again:
            now = environment.reset()
            adder.start(now)
    info = replay.info("items")
    return replay.sample("items", info.size).data, info


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("begin_again", [(), (20, 21, 43)])
@pytest.mark.parametrize("factory", [FACTORY, PARTS], ids=["one", "several"])
def test_samples_are_those_of_stacks(kind, begin_again, factory):
    (stacks, of_stacks), (frames, of_frames) = (
        collect(KINDS[kind], once=once, begin_again=begin_again, factory=factory)
        for once in (False, True)
    )
    assert of_frames.size == of_stacks.size > 9
    jax.tree.map(np.testing.assert_array_equal, frames, stacks)
    assert _types(frames) == _types(stacks)


def _types(items):
    return [array.dtype for array in jax.tree.leaves(items)]


@pytest.mark.parametrize(
    ("kind", "stacks_of_item"), [("transitions of 3", 2), ("unrolls of 7", 8)]
)
def test_every_frame_is_there_once(kind, stacks_of_item):
    _, of_stacks = collect(KINDS[kind], once=False)
    _, of_frames = collect(KINDS[kind], once=True)
    # In the place of frames an item has numbers of 8 bytes.
    num_frames = of_frames.size * stacks_of_item * NUM_FRAMES
    others = of_stacks.num_bytes - num_frames * FRAME_BYTES
    once = (NUM_STEPS + 1) * NUM_ENVS * FRAME_BYTES
    assert of_frames.num_bytes <= others + num_frames * 8 + once


def test_every_frame_of_sequences_is_there_once():
    _, of_stacks = collect(KINDS["shifted sequences"], once=False)
    _, of_frames = collect(KINDS["shifted sequences"], once=True)
    num_steps = of_frames.size * 6
    # Steps were shared before; now each of its stacks is one frame.
    saved = NUM_STEPS * NUM_ENVS * (NUM_FRAMES - 1) * FRAME_BYTES
    numbers = num_steps * (NUM_FRAMES - 1) * 8
    assert of_frames.num_bytes <= of_stacks.num_bytes - saved + numbers


def test_frames_go_with_the_last_item_that_has_them():
    made, info = collect(KINDS["transitions of 1"], once=True, max_size=NUM_ENVS)
    frame, item = made.o_t[0, 0].nbytes, 2 * NUM_FRAMES * 8 + 4 + 4 + 8 + 8
    assert info.size == NUM_ENVS
    # Of each environment, the newest transition has no more than F + 1 frames.
    most = info.size * (item + (NUM_FRAMES + 1) * frame)
    assert info.num_bytes <= most


def test_who_starts_again_keeps_no_frames_of_before():
    adder, signature = transitions(3)
    environment = VectorEnvironment(FACTORY, num_envs=NUM_ENVS, seed=0)
    signature = signature(environment.spec)
    adder = store_frames_once(adder, signature, num_envs=NUM_ENVS)
    action = np.ones(NUM_ENVS, np.int32)
    adder.start(environment.reset())
    num_frames = len(adder.add(action, 0, environment.step(action)).steps["frames"])
    adder.start(environment.reset())
    added = adder.add(action, 0, environment.step(action))
    assert added.keep_from == {"frames": num_frames}


def test_an_adder_for_whole_stacks_is_left_as_it_is():
    adder, signature = transitions(1)
    spec = VectorEnvironment(FACTORY, num_envs=1, seed=0).spec
    whole = signature(spec._replace(num_frames=1))
    assert store_frames_once(adder, whole, num_envs=NUM_ENVS) is adder


def test_each_array_has_a_column_and_a_mask_one_of_the_newest():
    one = observations_signature(VectorEnvironment(FACTORY, num_envs=1, seed=0).spec)
    # As in checkpoints of one array.
    assert (one.column, one.lengths) == ("frames", (NUM_FRAMES,))
    spec = VectorEnvironment(PARTS, num_envs=1, seed=0).spec
    leaves = optree.tree_leaves(observations_signature(spec, 8))
    assert [(leaf.column, leaf.lengths, leaf.row.shape) for leaf in leaves] == [
        ("newest/action_mask", (8,), (3,)),
        ("frames/seen/0", (8, NUM_FRAMES), (10, 5, 1)),
        ("frames/seen/1", (8, NUM_FRAMES), (5,)),
    ]
    adder, _ = unrolls(7)
    environment = VectorEnvironment(PARTS, num_envs=NUM_ENVS, seed=0)
    signature = unroll_signature(environment.spec, 7)
    adder = store_frames_once(adder, signature, num_envs=NUM_ENVS)
    adder.start(environment.reset())
    action = np.ones(NUM_ENVS, np.int32)
    added = adder.add(action, 0, environment.step(action))
    assert set(added.steps) == set(added.keep_from) == {leaf.column for leaf in leaves}
    assert {len(rows) for rows in added.steps.values()} == {2 * NUM_ENVS}
