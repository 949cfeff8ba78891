"""How DQN's settings reach its parts."""

import numpy as np
import pytest

from acmelike.agent import ActorPlace
from acmelike.agents.dqn import DQNBuilder, DQNConfig
from acmelike.environments import (
    CatchFactory,
    make_environment_spec,
)
from acmelike.errors import ConfigError
from acmelike.replay import Prioritized, SamplesPerInsert, Uniform
from tests.agents.settings import configure

SPEC = make_environment_spec(CatchFactory()(0))


def make_builder(**settings):
    return DQNBuilder(config=configure(DQNConfig, **settings))


def test_a_batch_has_a_minibatch_for_each_update():
    builder = make_builder(batch_size=8, num_updates_per_call=3)
    assert (builder.batch_size, builder.num_updates_per_call) == (24, 3)


def test_the_table_is_as_the_settings_say():
    table = make_builder(
        size=50,
        min_size=20,
        samples_per_insert=4.0,
        priority_exponent=0.7,
        batch_size=8,
        num_updates_per_call=2,
    ).make_table(SPEC)
    assert table.max_size == 50
    assert table.sampler == Prioritized(exponent=0.7)
    assert table.rate_limiter == SamplesPerInsert(
        ratio=4.0,
        min_size=20,
        error_buffer=2 * 8 * 2,  # two calls' worth
    )


def test_uniform_sampling_and_a_window_of_ones_own():
    table = make_builder(prioritized=False, error_buffer=99).make_table(SPEC)
    assert table.sampler == Uniform()
    assert table.rate_limiter.error_buffer == 99


def test_a_table_too_small_for_the_first_update_is_refused():
    with pytest.raises(
        ConfigError, match="max_size must be at least min_size = 20: 10"
    ):
        make_builder(size=10, min_size=20).make_table(SPEC)


def test_two_actors_explore_as_one_with_all_their_environments():
    builder = make_builder(epsilon=0.4, epsilon_alpha=7.0)

    def epsilons(index, num_actors, num_envs):
        place = ActorPlace(index=index, num_actors=num_actors, num_envs=num_envs)
        return tuple(builder.make_policy_inputs(SPEC, place).init(num_envs).tolist())

    both = epsilons(0, 2, 4) + epsilons(1, 2, 4)
    assert both == epsilons(0, 1, 8)
    # From 0.4 to 0.4 ** 8, by the same factor each time.
    np.testing.assert_allclose([both[0], both[-1]], [0.4, 0.00065536], rtol=1e-6)
    np.testing.assert_allclose(np.diff(np.log(both)), np.log(0.4), rtol=1e-6)


def test_the_agent_is_judged_without_exploration():
    greedy = make_builder(epsilon=0.4).make_greedy_inputs(SPEC)
    assert greedy.init(3).tolist() == [0, 0, 0]
