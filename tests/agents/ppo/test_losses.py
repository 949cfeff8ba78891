"""The losses of PPO against numbers worked out by hand."""

import jax
import numpy as np
import pytest

from acmelike.agents.parts.updates import standardize
from acmelike.agents.ppo.losses import advantages, policy_loss, value_loss

compiled = jax.jit(advantages, static_argnames="gae_lambda")


def f32(*values):
    return np.array(values, np.float32)


def test_advantages_of_an_episode_that_goes_on():
    # TD errors 1 + .5*4 - 2 = 1 and 2 + .5*6 - 4 = 1; the first also has .5*.5 of it.
    found = compiled(f32(1, 2), f32(0.5, 0.5), f32(1, 1), f32(2, 4, 6), 0.5)
    np.testing.assert_allclose(found[0], [1.25, 1])
    np.testing.assert_allclose(found[1], [3.25, 5])


def test_lambda_of_one_is_the_return_less_the_value():
    found = compiled(f32(1, 2), f32(0.5, 0.5), f32(1, 1), f32(2, 4, 6), 1.0)
    np.testing.assert_allclose(found[1], [1 + 0.5 * (2 + 0.5 * 6), 2 + 0.5 * 6])


def test_after_termination_there_is_only_the_reward():
    # A step that terminates, the last observation, and a step of the next episode.
    found = compiled(f32(3, 0, 1), f32(0, 0, 1), f32(1, 0, 1), f32(7, 100, 2, 5), 0.9)
    np.testing.assert_allclose(found[0], [3 - 7, 0, 1 + 5 - 2])


def test_a_truncated_episode_bootstraps_from_its_last_observation_and_no_further():
    found = compiled(f32(3, 0, 1), f32(1, 0, 1), f32(1, 0, 1), f32(7, 100, 2, 5), 0.9)
    np.testing.assert_allclose(found[0], [3 + 100 - 7, 0, 1 + 5 - 2])


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (1.0, 2.0, -2.0),
        (1.5, 2.0, -2.4),  # no gain beyond 1.2
        (0.5, 2.0, -1.0),
        (0.5, -2.0, 1.6),  # none below 0.8
        (1.5, -2.0, 3.0),
    ],
)
def test_the_surrogate_is_clipped_where_it_would_gain(ratio, advantage, loss):
    # With a step that is masked, and would else count for a lot.
    found = policy_loss(
        np.log(f32(ratio, 9)), f32(0, 0), f32(advantage, 99), f32(1, 0), 0.2
    )
    np.testing.assert_allclose(found, loss, rtol=1e-6)


def test_values_are_clipped_if_that_is_wanted():
    value, old, target = f32(3, 50), f32(1, 0), f32(4, 0)
    mask = f32(1, 0)
    np.testing.assert_allclose(value_loss(value, old, target, mask, None), 0.5)
    # Near the old value is 1.5: (4 - 1.5)^2 is larger than (4 - 3)^2.
    np.testing.assert_allclose(value_loss(value, old, target, mask, 0.5), 0.5 * 6.25)


def test_standardizing_looks_at_what_is_not_masked():
    found = standardize(f32(1, 3, 1000), f32(1, 1, 0))
    np.testing.assert_allclose(found[:2], [-1, 1], rtol=1e-6)
