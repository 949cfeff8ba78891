"""An agent that gets normalised observations: what it sees, and when."""

import jax
import numpy as np
import pytest
from dm_env import specs

from acmelike.adders import Sequence, Unroll
from acmelike.agent import PolicyOutput, UpdateOutputs
from acmelike.agents.parts.normalized import Normalized
from acmelike.types import EnvironmentSpec, Transition
from tests.agents.settings import make_spec

RANDOM = np.random.default_rng(0)


class Seeing:
    """An agent that keeps what it was shown, and has a count as its state."""

    needs_jax = True

    def __init__(self):
        self.data, self.observation = None, None

    def init(self, key):
        return 0

    def parameters(self, state):
        return {"count": state}

    def act(self, parameters, state, observation, noise):
        self.observation = observation
        return PolicyOutput(parameters["count"], state)

    def update(self, state, data, probabilities, key):
        self.data = data
        return state + 1, UpdateOutputs(loss=3.0, priorities=probabilities)


def made(spec):
    inner = Seeing()
    agent = Normalized(inner, spec, "auto")
    return inner, agent, agent.init(jax.random.key(0))


def observed(*shape):
    return RANDOM.normal(5.0, 20.0, shape).astype(np.float32)


def transitions(o_tm1, o_t):
    zeros = np.zeros(50, np.float32)
    return Transition(o_tm1, zeros, zeros, zeros, o_t, zeros)


def steps_of(kind, num_observations):
    """Three items of four steps, of which some have no action."""
    mask = np.float32([[1, 1, 0, 1], [1, 0, 1, 1], [0, 0, 0, 1]])
    o_t = observed(3, num_observations, 2)
    return kind(o_t, mask, mask, mask, mask > 0, mask, mask, {})


def normalised(x, mean, variance):
    return ((x - mean) / np.sqrt(variance + 1e-6)).clip(-10, 10)


def test_transitions_are_seen_with_the_moments_of_all_before():
    inner, agent, state = made(make_spec((2,)))
    first = transitions(observed(50, 2), observed(50, 2))
    state, outputs = agent.update(state, first, np.ones(50), jax.random.key(0))
    assert (state.agent, outputs.loss) == (1, 3.0) and outputs.priorities.sum() == 50
    # There were none before.
    np.testing.assert_allclose(inner.data.o_tm1, first.o_tm1.clip(-10, 10), rtol=1e-5)

    second = transitions(observed(50, 2), observed(50, 2))
    state, _ = agent.update(state, second, np.ones(50), jax.random.key(0))
    mean, variance = first.o_tm1.mean(axis=0), first.o_tm1.var(axis=0)
    for name in ("o_tm1", "o_t"):
        expected = normalised(getattr(second, name), mean, variance)
        np.testing.assert_allclose(getattr(inner.data, name), expected, rtol=1e-3)

    (moments,) = state.moments
    both = np.concatenate([first.o_tm1, second.o_tm1])
    np.testing.assert_allclose(moments.mean, both.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(moments.variance, both.var(axis=0), rtol=1e-4)
    assert moments.count == 100


@pytest.mark.parametrize(("kind", "num_observations"), [(Unroll, 5), (Sequence, 4)])
def test_of_several_steps_those_with_an_action_count(kind, num_observations):
    inner, agent, state = made(make_spec((2,)))
    data = steps_of(kind, num_observations)
    state, _ = agent.update(state, data, None, jax.random.key(0))
    assert inner.data.o_t.shape == data.o_t.shape
    used = data.o_t[:, :4][data.mask > 0]
    (moments,) = state.moments
    np.testing.assert_allclose(moments.mean, used.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(moments.variance, used.var(axis=0), rtol=1e-4)
    assert moments.count == len(used) == 7


def test_whoever_acts_sees_the_same():
    inner, agent, state = made(make_spec((2,)))
    data = transitions(observed(50, 2), observed(50, 2))
    state, _ = agent.update(state, data, np.ones(50), jax.random.key(0))
    seen = observed(4, 2)
    output = agent.act(agent.parameters(state), "memory", seen, None)
    assert (output.action, output.state) == (1, "memory")
    expected = normalised(seen, data.o_tm1.mean(axis=0), data.o_tm1.var(axis=0))
    np.testing.assert_allclose(inner.observation, expected, rtol=1e-3)


def test_categories_bytes_and_masks_are_left_alone():
    spec = EnvironmentSpec(
        observations={
            "action_mask": specs.BoundedArray((2,), np.int8, 0, 1),
            "camera": specs.BoundedArray((4, 4, 3), np.uint8, 0, 255),
            "lamps": specs.BoundedArray((3,), np.uint8, 0, 1),
            "place": specs.BoundedArray((), np.int64, 0, 3),
            "speed": specs.Array((2,), np.float32),
        },
        actions=specs.DiscreteArray(2),
        rewards=specs.Array((), np.float32),
        discounts=specs.BoundedArray((), np.float32, 0, 1),
    )
    inner, agent, state = made(spec)
    o_t = {
        "action_mask": np.ones((50, 2), np.int8),
        "camera": RANDOM.integers(0, 255, (50, 4, 4, 3), np.uint8),
        "lamps": RANDOM.integers(0, 2, (50, 3), np.uint8),
        "place": RANDOM.integers(0, 3, 50),
        "speed": observed(50, 2),
    }
    for _ in range(2):
        data = transitions(o_t, o_t)
        state, _ = agent.update(state, data, np.ones(50), jax.random.key(0))
    for name in ("action_mask", "camera", "lamps", "place"):
        assert inner.data.o_t[name] is o_t[name]
    assert abs(float(inner.data.o_t["speed"].mean())) < 1e-3
    assert [x is None for x in state.moments] == [True, True, True, True, False]
