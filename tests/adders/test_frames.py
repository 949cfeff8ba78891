"""Frames stored once: what is sampled is what stacks would have been."""

import jax
import numpy as np
import pytest

from acmelike.adders import FrameAdder, NStepAdder, frame_transition_signature
from acmelike.environments import CatchFactory, FrameStackFactory, VectorEnvironment
from acmelike.replay import Fifo, Items, MinSize, Replay, TableConfig, Writer
from acmelike.types import transition_signature

NUM_ENVS, NUM_FRAMES = 3, 4
# Episodes of nine steps, so that a transition of three reaches back to a whole stack.
FACTORY = FrameStackFactory(whole=CatchFactory(), num_frames=NUM_FRAMES)


def priority(items, extras_tm1, extras_t):
    return np.ones(len(items.r_t))


def collect(adder, signature, num_steps=60, max_size=1_000):
    """A table of the transitions of so many steps, and how many bytes that takes."""
    environment = VectorEnvironment(FACTORY, num_envs=NUM_ENVS, seed=0)
    table = TableConfig(
        name="transitions",
        signature=signature(environment.spec),
        max_size=max_size,
        sampler=Fifo(),
        rate_limiter=MinSize(min_size=1),
        replacement=False,
    )
    replay, random = Replay([table], seed=0), np.random.default_rng(0)
    writer = Writer(replay)
    now = environment.reset()
    adder.start(now)
    for n in range(num_steps):
        action = random.integers(3, size=NUM_ENVS)
        now = environment.step(action)
        added = adder.add(action, n, now)
        items = [Items("transitions", added.items, added.priorities)]
        writer.write(
            [] if added.items is None else items,
            steps=added.steps,
            keep_from=added.keep_from,
        )
    info = replay.info("transitions")
    return replay.sample("transitions", info.size).data, info


@pytest.mark.parametrize("initial_priority", [None, priority])
@pytest.mark.parametrize("n", [1, 3])
def test_samples_are_those_of_stacks_in_less_memory(n, initial_priority):
    def n_step():
        return NStepAdder(
            num_envs=NUM_ENVS, n=n, discount=0.9, initial_priority=initial_priority
        )

    stacks, of_stacks = collect(n_step(), transition_signature)
    adder = FrameAdder(
        n_step(),
        num_envs=NUM_ENVS,
        num_frames=NUM_FRAMES,
        span=n + (initial_priority is not None),
    )
    frames, of_frames = collect(adder, frame_transition_signature)
    jax.tree.map(np.testing.assert_array_equal, frames, stacks)
    assert (
        frames.o_t.dtype == stacks.o_t.dtype and of_frames.size == of_stacks.size > 99
    )
    # An item has 2 F numbers of 8 bytes; 61 frames of each environment are there once.
    frame = frames.o_t[0, 0].nbytes
    others = of_stacks.num_bytes - of_stacks.size * 2 * NUM_FRAMES * frame
    numbers = of_frames.size * 2 * NUM_FRAMES * 8
    assert of_frames.num_bytes <= others + numbers + 61 * NUM_ENVS * frame


def test_frames_go_with_the_last_item_that_has_them():
    adder = FrameAdder(
        NStepAdder(num_envs=NUM_ENVS, n=1, discount=0.9),
        num_envs=NUM_ENVS,
        num_frames=NUM_FRAMES,
        span=1,
    )
    made, info = collect(adder, frame_transition_signature, max_size=NUM_ENVS)
    frame, item = made.o_t[0, 0].nbytes, 2 * NUM_FRAMES * 8 + 4 + 4 + 8 + 8
    assert info.size == NUM_ENVS
    # Of each environment, the newest transition has no more than F + 1 frames.
    most = info.size * (item + (NUM_FRAMES + 1) * frame)
    assert info.num_bytes <= most
