"""SAC's updates: one call of several, the target critics, the temperature, noise."""

import functools
import math
import operator
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import pytest
from dm_env import specs

from acmelike.agents.parts.bounds import Bounds
from acmelike.agents.sac import SACConfig
from acmelike.agents.sac.learner import SAC, SACState
from acmelike.types import Transition
from tests.agents.compiled import compiled_update, first_state
from tests.agents.settings import configure, make_spec

BOUNDS = Bounds(shape=(2,), low=(-2.0, 0.0), high=(2.0, 10.0))
SPEC = make_spec(actions=specs.BoundedArray((2,), np.float32, BOUNDS.low, BOUNDS.high))
# Compiling takes seconds, so tests share it: an entropy that is never reached lets the
# temperature rise.
DEFAULTS = {
    "hidden_sizes": (16,),
    "num_updates_per_call": 1,
    "learning_rate": 0.01,
    "target_rate": 0.25,
    "initial_temperature": 0.5,
    "target_entropy": 50.0,
}


class Compiled(NamedTuple):
    """A core, its update compiled, and a state to begin from."""

    core: SAC
    update: Callable
    state: SACState


def make_core(**settings):
    """The core with these settings; what they do not say is as in DEFAULTS."""
    config = configure(SACConfig, **(DEFAULTS | settings))
    return SAC(config, SPEC)


@functools.cache
def compiled(**settings):
    core = make_core(**settings)
    return Compiled(core, compiled_update(core), first_state(core))


def make_items(num_items=4, seed=0):
    """Random transitions, and the probabilities that nobody asks for."""
    random = np.random.default_rng(seed)
    data = Transition(
        o_tm1=random.normal(size=(num_items, 3)).astype(np.float32),
        a_tm1=BOUNDS.scale(random.uniform(-1, 1, (num_items, 2)).astype(np.float32)),
        r_t=random.normal(size=num_items).astype(np.float32),
        discount_t=np.full(num_items, 0.9, np.float32),
        o_t=random.normal(size=(num_items, 3)).astype(np.float32),
        version=np.zeros(num_items, np.int64),
    )
    return data, np.ones(num_items)


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


@pytest.mark.slow
def test_a_call_of_three_updates_equals_three_calls_of_one(monkeypatch):
    # Their random numbers differ, so that without any they are the same.
    monkeypatch.setattr(
        jax.random, "normal", lambda key, shape: jax.numpy.full(shape, 0.3)
    )
    items = make_items(3 * 4)
    _, update, first = compiled.__wrapped__(num_updates_per_call=3)
    state, outputs = update(first, *items)
    assert outputs.priorities is None

    _, update, one_by_one = compiled.__wrapped__()
    losses = []
    for start in (0, 4, 8):
        minibatch = jax.tree.map(operator.itemgetter(slice(start, start + 4)), items)
        one_by_one, output = update(one_by_one, *minibatch)
        losses.append(output.loss)
    np.testing.assert_allclose(flat(state), flat(one_by_one), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(outputs.loss, np.mean(losses), rtol=1e-5)


def test_the_target_critics_follow_by_their_rate():
    _, update, state = compiled()
    np.testing.assert_array_equal(flat(state.target), flat(state.critics.parameters))
    after, _ = update(state, *make_items())
    expected = 0.75 * flat(state.target) + 0.25 * flat(after.critics.parameters)
    np.testing.assert_allclose(flat(after.target), expected, rtol=1e-5, atol=1e-7)


def test_the_temperature_rises_towards_an_entropy_out_of_reach():
    _, update, state = compiled()
    assert state.log_temperature.parameters == pytest.approx(math.log(0.5))
    after, _ = update(state, *make_items())
    change = after.log_temperature.parameters - state.log_temperature.parameters
    # Adam's first update moves by the learning rate.
    assert change == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(("given", "aimed_at"), [(None, -2.0), (0.0, 0.0), (3.0, 3.0)])
def test_the_entropy_aimed_at_is_minus_the_dimensions(given, aimed_at):
    assert make_core(target_entropy=given).target_entropy == aimed_at


def test_another_key_is_other_noise():
    _, update, state = compiled()
    found = [
        update(state, *make_items(), jax.random.key(seed))[0].policy.parameters
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(flat(found[0]), flat(found[1]))
    assert not np.array_equal(flat(found[0]), flat(found[2]))


def test_the_twins_begin_apart():
    _, _, state = compiled()
    first, second = (
        critic["params"]["MLP_0"]["Dense_0"]["kernel"]
        for critic in state.critics.parameters
    )
    assert first.shape == second.shape == (3 + 2, 16)
    assert not np.array_equal(first, second)


def test_it_learns_which_action_pays():
    """One state, and a reward of minus the squared distance from an action.

    The action is told in the environment's bounds, the policy's is from -1 to 1.
    """
    core, update, state = compiled(
        hidden_sizes=(32,),
        num_updates_per_call=50,
        initial_temperature=0.1,
        target_entropy=-4.0,
    )
    random, best = np.random.default_rng(0), np.array([0.5, -0.5], np.float32)
    for number in range(20):
        key = jax.random.key(number)
        data, probabilities = make_items(50 * 32)
        x = random.uniform(-1, 1, (50 * 32, 2)).astype(np.float32)
        data = data._replace(
            o_tm1=np.ones_like(data.o_tm1),
            a_tm1=BOUNDS.scale(x),
            r_t=-np.square(x - best).sum(axis=1),
            discount_t=np.zeros_like(data.discount_t),
        )
        state, _ = update(state, data, probabilities, key)
    gaussian = core.policy.apply(state.policy.parameters, np.ones((1, 3), np.float32))
    np.testing.assert_allclose(np.tanh(gaussian.mean[0]), best, atol=0.2)
