"""DeepMind's control suite by name: nested observations, and episodes cut off."""

import importlib.util
import pickle

import numpy as np
import pytest

from acmelike.environments import VectorEnvironment, make_environment_factory
from acmelike.errors import ConfigError

needs_suite = pytest.mark.skipif(
    importlib.util.find_spec("dm_control") is None,
    reason="needs dm_control: make test-envpool",
)


@pytest.mark.skipif(
    importlib.util.find_spec("dm_control") is not None,
    reason="run without dm_control: make test",
)
def test_a_missing_package_is_one_line_with_what_installs_it():
    with pytest.raises(ConfigError) as caught:
        make_environment_factory("dm_control:cheetah-run")
    message = str(caught.value)
    assert message.startswith("dm_control cannot be imported: ")
    assert message.endswith("pip install 'acmelike[dm_control]'")


@needs_suite
def test_observations_are_a_dict_and_the_seed_decides():
    name = "dm_control:cheetah-run"
    factory = pickle.loads(pickle.dumps(make_environment_factory(name)))

    def walk(seed):
        vector = VectorEnvironment(factory, num_envs=2, seed=seed)
        steps = [vector.reset()]
        random = np.random.default_rng(0)
        for _ in range(20):
            steps.append(vector.step(random.uniform(-1, 1, (2, 6))))
        vector.close()
        return steps

    steps = walk(0)
    assert {name: x.shape for name, x in steps[0].observation.items()} == {
        "position": (2, 8),
        "velocity": (2, 9),
    }
    for name in ("position", "velocity"):
        last = steps[-1].observation[name]
        assert last.dtype == np.float64
        np.testing.assert_array_equal(last, walk(0)[-1].observation[name])
        assert (last != walk(1)[-1].observation[name]).all()


@needs_suite
def test_episodes_are_cut_off_and_not_terminated():
    factory = make_environment_factory("dm_control:cartpole-balance", time_limit=0.2)
    environment = factory(seed=0)
    step, num_steps = environment.reset(), 0
    while not step.last():
        step, num_steps = environment.step(np.zeros(1)), num_steps + 1
    assert (num_steps, step.discount) == (20, 1.0)
    assert environment.frames_per_second == 100
    environment.close()


@needs_suite
def test_an_unknown_task_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"no task 'cheeta-run'.*cheetah-run"):
        make_environment_factory("dm_control:cheeta-run")


@needs_suite
def test_a_domain_may_have_an_underscore():
    factory = make_environment_factory("dm_control:ball_in_cup-catch")
    assert (factory.domain, factory.task) == ("ball_in_cup", "catch")
