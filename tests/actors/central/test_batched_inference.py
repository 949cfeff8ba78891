"""One policy for several actors: whose state is whose, and what is compiled."""

from collections import Counter
from dataclasses import dataclass

import dm_env
import jax
import numpy as np
import pytest
from dm_env import specs

from acmelike.actors.central.batched_inference import BatchedInference
from acmelike.actors.compiled import compile_policy
from acmelike.agent import PolicyOutput
from acmelike.types import EnvironmentSpec, VectorStep
from tests.actors.policies import as_it_is, inputs_of

SPEC = EnvironmentSpec(
    specs.Array((1,), np.float32), specs.DiscreteArray(1_000, np.int64), None, None
)


@dataclass(frozen=True)
class Adding:
    """Adds up what it observes, from a start of its own; says so, and does that."""

    start: int

    def init(self, num_envs):
        return {"sum": np.arange(num_envs) + self.start, "nothing": ()}

    def noise(self, random, num_envs):
        return random.random((2, num_envs))

    def act(self, parameters, state, observation, noise):
        TRACED[observation.shape[0]] += 1
        assert noise.shape == (2, observation.shape[0])
        total = state["sum"] + observation[:, 0].astype(np.int32)
        action = (total * parameters["times"]).astype(np.int32)
        return PolicyOutput(
            action, {"sum": total, "nothing": ()}, {"before": state["sum"]}
        )


TRACED: Counter[int] = Counter()


def make(*, needs_jax, num_actors=3, num_envs=2, times=1):
    policy = as_it_is(Adding(0), needs_jax=needs_jax)
    inputs = [inputs_of(Adding(100 * i)) for i in range(num_actors)]
    acting = BatchedInference(policy, inputs, SPEC, num_envs=num_envs, seed=0)
    acting.set_parameters({"times": np.array([times], np.int32)})
    return acting


def step(*observations, begins=()):
    num_envs = len(observations)
    kinds = np.full(num_envs, dm_env.StepType.MID, np.int8)
    kinds[list(begins)] = dm_env.StepType.FIRST
    scalars = np.zeros(num_envs, np.float32)
    return VectorStep(
        kinds, scalars, scalars, np.array(observations, np.float32)[:, None]
    )


both = pytest.mark.parametrize("needs_jax", [False, True])


@both
def test_every_environment_has_a_state_of_its_own(needs_jax):
    acting = make(needs_jax=needs_jax)
    # Actors come together, alone, and in any order.
    two, zero = acting.act([2, 0], [step(1, 2), step(3, 4)])
    np.testing.assert_array_equal(two.action, [201, 203])
    np.testing.assert_array_equal(zero.action, [3, 5])
    (one,) = acting.act([1], [step(1, 1)])
    np.testing.assert_array_equal(one.action, [101, 102])
    found = acting.act([0, 1, 2], [step(10, 20), step(10, 20), step(10, 20)])
    actions = [list(x.action) for x in found]
    assert actions == [[13, 25], [111, 122], [211, 223]]
    before = [list(x.extras["before"]) for x in found]
    assert before == [[3, 5], [101, 102], [201, 203]]
    assert found[0].action.dtype == np.int64


@both
def test_a_state_begins_anew_where_an_episode_does(needs_jax):
    acting = make(needs_jax=needs_jax)
    acting.act([0, 1], [step(5, 5), step(5, 5)])
    zero, one = acting.act([0, 1], [step(1, 1, begins=[1]), step(1, 1)])
    assert [list(zero.action), list(one.action)] == [[6, 2], [106, 107]]
    one, zero = acting.act([1, 0], [step(0, 0, begins=[0, 1]), step(0, 0)])
    assert [list(zero.action), list(one.action)] == [[6, 2], [100, 101]]


@both
def test_parameters_are_the_last_set(needs_jax):
    acting = make(needs_jax=needs_jax)
    acting.set_parameters({"times": np.array([2], np.int32)})
    (zero,) = acting.act([0], [step(1, 1)])
    np.testing.assert_array_equal(zero.action, [2, 4])


def test_few_sizes_are_compiled_and_all_of_them_at_once():
    jax.clear_caches()
    compile_policy.cache_clear()
    TRACED.clear()
    acting = make(needs_jax=True, num_actors=5)
    assert TRACED == {2: 1, 4: 1, 8: 1, 10: 1}
    for actors in ([0], [1, 2], [4, 1, 3], [3, 2, 1, 0], [0, 1, 2, 3, 4]):
        for _ in range(2):
            acting.act(actors, [step(1, 1)] * len(actors))
    acting.set_parameters({"times": np.array([3], np.int32)})
    acting.act([1], [step(1, 1)])
    assert TRACED == {2: 1, 4: 1, 8: 1, 10: 1}


def test_a_single_actor_has_a_single_size():
    jax.clear_caches()
    compile_policy.cache_clear()
    TRACED.clear()
    make(needs_jax=True, num_actors=1)
    assert TRACED == {2: 1}
