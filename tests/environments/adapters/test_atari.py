"""Atari as agents play it, and what is said where its packages are missing."""

import importlib.util
import pickle

import dm_env
import numpy as np
import pytest
from dm_env import specs

from acmelike.environments import VectorEnvironment, make_environment_factory
from acmelike.environments.adapters import atari
from acmelike.errors import ConfigError

needs_atari = pytest.mark.skipif(
    importlib.util.find_spec("ale_py") is None, reason="needs Atari: make test-envpool"
)


@pytest.mark.skipif(
    importlib.util.find_spec("ale_py") is not None,
    reason="run without Atari: make test",
)
def test_a_missing_package_is_one_line_with_what_installs_it():
    with pytest.raises(ConfigError) as caught:
        make_environment_factory("ALE/Pong-v5")
    assert str(caught.value) == (
        "environment 'ALE/Pong-v5': Atari is not installed: "
        "pip install 'acmelike[atari]'"
    )


@needs_atari
def test_a_game_is_small_and_grey():
    factory = pickle.loads(pickle.dumps(make_environment_factory("ALE/Pong-v5")))
    environment = factory(seed=0)
    spec = environment.observation_spec()
    assert (spec.shape, spec.dtype) == ((84, 84, 1), np.uint8)
    assert environment.action_spec() == specs.DiscreteArray(6, np.int64, "action")
    step = environment.reset()
    rewards = []
    while not step.last():
        step = environment.step(0)
        spec.validate(step.observation)
        rewards.append(step.reward)
    # Who does not move loses by 21, in three to four frames of a point's 30 each.
    assert sum(rewards) == -21 and 700 < len(rewards) < 1_100
    assert step.discount == 0
    environment.close()


@needs_atari
def test_the_seed_decides_the_game():
    def frames(seed):
        factory = make_environment_factory("ALE/Pong-v5")
        vector = VectorEnvironment(factory, num_envs=2, seed=seed)
        steps = [vector.reset()] + [vector.step([2, 3]) for _ in range(60)]
        vector.close()
        return np.stack([step.observation for step in steps])

    first = frames(0)
    np.testing.assert_array_equal(first, frames(0))
    assert (first != frames(1)).any()


@needs_atari
def test_an_action_is_repeated_for_four_frames_of_which_the_last_two_count():
    factory = make_environment_factory("ALE/Pong-v5")
    environment = factory(seed=0)
    env = environment._env
    assert isinstance(env, atari.gymnasium.wrappers.AtariPreprocessing)
    assert env.frame_skip == 4 and not env.terminal_on_life_loss and not env.noop_max
    assert env.unwrapped._frameskip == 1
    assert env.spec.kwargs["repeat_action_probability"] == 0.25
    environment.close()


@needs_atari
def test_settings_are_of_the_game_or_of_the_preprocessing():
    factory = make_environment_factory(
        "ALE/Breakout-v5",
        terminal_on_life_loss=True,
        repeat_action_probability=0.0,
        screen_size=64,
        grayscale_obs=False,
    )
    environment = factory(seed=0)
    assert environment.observation_spec().shape == (64, 64, 3)
    lengths, step = [], environment.reset()
    for _ in range(2):
        num_steps = 0
        while not step.last():  # To begin with a ball, and then to miss it.
            step = environment.step(1 if num_steps % 20 == 0 else 0)
            num_steps += 1
        lengths.append(num_steps)
        assert step.discount == 0
        step = environment.step(0)
        assert step.step_type is dm_env.StepType.FIRST
    assert max(lengths) < 150
    environment.close()


@needs_atari
def test_without_preprocessing_it_is_as_the_emulator_shows_it():
    factory = make_environment_factory("ALE/Pong-v5", preprocess=False)
    environment = factory(seed=0)
    assert environment.observation_spec().shape == (210, 160, 3)
    environment.close()


@needs_atari
def test_a_misspelt_game_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"'ALE/Pongg-v5'.*ALE/Pong-v5"):
        make_environment_factory("ALE/Pongg-v5")
