"""The contract that every environment of acmelike keeps."""

import functools
import importlib.util
import itertools
import unittest

import dm_env
import gymnasium
import numpy as np
import pytest
from dm_env import specs, test_utils

from acmelike.environments import (
    FrameStackFactory,
    GymnasiumEnvironment,
    GymnasiumVector,
    TimeLimitFactory,
    make_environment_factory,
    make_vector_environment,
)


def make_truncated(seed):
    """A gymnasium environment behind the adapter, cut off after seven steps."""
    env = gymnasium.make("CartPole-v1", max_episode_steps=7)
    return GymnasiumEnvironment(env, seed=seed)


class OneOf(dm_env.Environment):
    """The second of three environments that are stepped as one, by itself."""

    def __init__(self, vector):
        self.vector = vector

    def reset(self):
        return self._second(self.vector.reset())

    def step(self, action):
        return self._second(self.vector.step(np.stack([action] * 3)))

    def observation_spec(self):
        return self.vector.spec.observations

    def action_spec(self):
        return self.vector.spec.actions

    def reward_spec(self):
        return self.vector.spec.rewards

    def discount_spec(self):
        # A vector's steps have them so, whatever its environments say.
        return specs.BoundedArray((), np.float32, 0, 1, "discount")

    def close(self):
        self.vector.close()

    def _second(self, step):
        kind, reward, discount, observation = (array[1] for array in step)
        if kind == dm_env.StepType.FIRST:
            assert (reward, discount) == (0, 1)
            return dm_env.restart(observation)
        return dm_env.TimeStep(dm_env.StepType(kind), reward, discount, observation)


def make_one_of(name, seed):
    """One of a vector, made as actors make it."""
    factory = make_environment_factory(name)
    return OneOf(make_vector_environment(factory, num_envs=3, seed=seed))


def make_named(name, seed):
    """The environment of a name, which is looked up only now."""
    return make_environment_factory(name)(seed)


def make_one_of_truncated(seed):
    """One of a vectorised environment of gymnasium, cut off after seven steps."""
    env = gymnasium.make_vec(
        "CartPole-v1", 3, vectorization_mode="vector_entry_point", max_episode_steps=7
    )
    return OneOf(GymnasiumVector(env, seed=seed))


FACTORIES = {
    "Catch": make_environment_factory("Catch"),
    "CartPole-v1": make_environment_factory("CartPole-v1"),
    "CartPole-v1-positions": make_environment_factory("CartPole-v1-positions"),
    "Pendulum-v1": make_environment_factory("Pendulum-v1"),
    "stacked Catch": FrameStackFactory(
        inner=make_environment_factory("Catch"), num_frames=3
    ),
    "Catch with a limit": TimeLimitFactory(
        inner=make_environment_factory("Catch"), num_steps=4
    ),
    "truncated": make_truncated,
    "one of CartPole-v1": functools.partial(make_one_of, "CartPole-v1"),
    "one of vec:CartPole-v1": functools.partial(make_one_of, "vec:CartPole-v1"),
    "one of truncated": make_one_of_truncated,
}
needs_envpool = pytest.mark.skipif(
    importlib.util.find_spec("envpool") is None,
    reason="needs EnvPool: make test-envpool",
)
OF_ENVPOOL = {
    "envpool:CartPole-v1": functools.partial(make_named, "envpool:CartPole-v1"),
    "one of envpool:CartPole-v1": functools.partial(make_one_of, "envpool:CartPole-v1"),
    "one of envpool:Pendulum-v1": functools.partial(make_one_of, "envpool:Pendulum-v1"),
}
every_environment = pytest.mark.parametrize(
    "factory",
    [pytest.param(factory, id=name) for name, factory in FACTORIES.items()]
    + [
        pytest.param(factory, id=name, marks=needs_envpool)
        for name, factory in OF_ENVPOOL.items()
    ],
)


def random_action(spec, random):
    if isinstance(spec, specs.DiscreteArray):
        return spec.dtype.type(random.integers(spec.num_values))
    return random.uniform(spec.minimum, spec.maximum, spec.shape).astype(spec.dtype)


def walk(environment, num_steps, seed=0):
    """A reset and then steps with random actions."""
    random = np.random.default_rng(seed)
    steps = [environment.reset()]
    for _ in range(num_steps):
        action = random_action(environment.action_spec(), random)
        steps.append(environment.step(action))
    return steps


class Contract(test_utils.EnvironmentTestMixin):
    """dm_env's own suite, with enough random steps to end an episode."""

    factory: functools.partial

    def make_object_under_test(self):
        return type(self).factory(seed=0)

    def make_action_sequence(self):
        random = np.random.default_rng(0)
        for _ in range(210):
            yield random_action(self.environment.action_spec(), random)


class CatchContractTest(Contract, unittest.TestCase):
    factory = functools.partial(FACTORIES["Catch"])


class CartPoleContractTest(Contract, unittest.TestCase):
    factory = functools.partial(FACTORIES["CartPole-v1"])


class PartialContractTest(Contract, unittest.TestCase):
    factory = functools.partial(FACTORIES["CartPole-v1-positions"])


class FrameStackContractTest(Contract, unittest.TestCase):
    factory = functools.partial(FACTORIES["stacked Catch"])


class PendulumContractTest(Contract, unittest.TestCase):
    factory = functools.partial(FACTORIES["Pendulum-v1"])


class TruncatedContractTest(Contract, unittest.TestCase):
    factory = functools.partial(make_truncated)


class OneOfCartPoleContractTest(Contract, unittest.TestCase):
    factory = functools.partial(FACTORIES["one of CartPole-v1"])


class OneOfVectorisedContractTest(Contract, unittest.TestCase):
    factory = functools.partial(FACTORIES["one of vec:CartPole-v1"])


class OneOfTruncatedContractTest(Contract, unittest.TestCase):
    factory = functools.partial(make_one_of_truncated)


@every_environment
def test_episodes_are_first_mid_last_and_begin_again_after_last(factory):
    kinds = [step.step_type for step in walk(factory(seed=0), 420)]
    assert kinds[0] is dm_env.StepType.FIRST
    assert dm_env.StepType.LAST in kinds
    for before, after in itertools.pairwise(kinds):
        assert (after is dm_env.StepType.FIRST) == (before is dm_env.StepType.LAST)


@every_environment
def test_only_a_last_step_may_have_the_discount_zero(factory):
    steps = walk(factory(seed=0), 420)
    assert all(step.discount == 1 for step in steps if step.mid())
    assert all(step.discount in (0, 1) for step in steps if step.last())


@every_environment
def test_one_seed_gives_one_trajectory(factory):
    for one, other in zip(
        walk(factory(seed=3), 250), walk(factory(seed=3), 250), strict=True
    ):
        assert one[:3] == other[:3]
        np.testing.assert_array_equal(one.observation, other.observation)


@every_environment
def test_another_seed_gives_another_trajectory(factory):
    one, other = walk(factory(seed=3), 250), walk(factory(seed=4), 250)
    assert not all(
        np.array_equal(a.observation, b.observation)
        for a, b in zip(one, other, strict=True)
    )


@every_environment
def test_a_second_episode_is_not_the_first_again(factory):
    environment = factory(seed=0)
    starts = [environment.reset().observation.tolist() for _ in range(8)]
    assert any(start != starts[0] for start in starts[1:])


@every_environment
def test_rewards_are_single_precision(factory):
    environment = factory(seed=0)
    assert environment.reward_spec().dtype == np.float32
    assert all(
        step.reward.dtype == np.float32
        for step in walk(environment, 20)
        if not step.first()
    )
