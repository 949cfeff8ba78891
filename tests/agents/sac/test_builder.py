"""How SAC's settings reach its parts, and what the end of an episode is worth."""

import numpy as np
import pytest

from acmelike.agent import ActorPlace
from acmelike.agents.sac import SACBuilder, SACConfig
from acmelike.environments import GymnasiumFactory, VectorEnvironment
from acmelike.errors import ConfigError
from acmelike.replay import SamplesPerInsert, Uniform
from tests.agents.settings import configure

PENDULUM = VectorEnvironment(GymnasiumFactory(name="Pendulum-v1"), num_envs=2, seed=0)
SPEC = PENDULUM.spec
PLACE = ActorPlace(index=0, num_actors=1, num_envs=2)


def make_builder(**settings):
    return SACBuilder(config=configure(SACConfig, **settings))


def test_a_batch_has_a_minibatch_for_each_update():
    builder = make_builder(batch_size=8, num_updates_per_call=3)
    assert (builder.batch_size, builder.num_updates_per_call) == (24, 3)


def test_by_default_there_is_an_update_for_every_step():
    config = SACConfig()
    assert config.replay.samples_per_insert == config.batch_size


def test_the_table_is_as_the_settings_say():
    table = make_builder(
        size=50,
        min_size=20,
        samples_per_insert=4.0,
        batch_size=8,
        num_updates_per_call=2,
    ).make_table(SPEC)
    assert (table.max_size, table.sampler) == (50, Uniform())
    assert table.rate_limiter == SamplesPerInsert(
        ratio=4.0,
        min_size=20,
        error_buffer=2 * 8 * 2,  # two calls' worth
    )
    assert make_builder(error_buffer=999).make_table(SPEC).rate_limiter == (
        SamplesPerInsert(ratio=256.0, min_size=1_000, error_buffer=999)
    )


def test_a_table_too_small_for_the_first_update_is_refused():
    with pytest.raises(
        ConfigError, match="max_size must be at least min_size = 20: 10"
    ):
        make_builder(size=10, min_size=20).make_table(SPEC)


def test_only_the_policy_that_is_judged_is_greedy():
    builder, random = make_builder(), np.random.default_rng(0)
    assert not builder.make_greedy_inputs(SPEC).noise(random, 2).any()
    noise = builder.make_policy_inputs(SPEC, PLACE).noise(random, 2)
    assert noise.all() and noise.shape == (2, 1)
    # Torques from -2 to 2.
    bounds = builder.make_agent(SPEC).bounds
    assert (bounds.low, bounds.high) == ((-2.0,), (2.0,))


def test_an_episode_that_is_cut_off_is_no_end_to_what_it_is_worth():
    step = PENDULUM.reset()
    adder = make_builder(discount=0.9).make_adder(2)
    adder.start(step)
    discounts = []
    while not step.last().any():
        actions = np.zeros((2, 1), np.float32)
        step = PENDULUM.step(actions)
        discounts.append(adder.add(actions, 0, step).items.discount_t)
    assert step.last().all() and len(discounts) == 200
    np.testing.assert_allclose(discounts, 0.9)
