"""Distributions of actions: densities worked out by hand, and what they sample."""

import jax
import numpy as np
import pytest
from dm_env import specs
from scipy import stats

from acmelike.agents.parts.distributions import (
    Categorical,
    ClippedGaussian,
    MultiCategorical,
    distribution_of,
)
from acmelike.errors import ConfigError
from acmelike.policies import gumbel_noise
from acmelike.types import MultiDiscreteArray

ACTIONS = specs.BoundedArray((2,), np.float32, [-2.0, 0.0], [2.0, 1.0])
GAUSSIAN = distribution_of(ACTIONS, "ppo")
# Means and logarithms of deviations.
OUTPUTS = np.array([[0.5, -0.25, -1.0, 0.5], [0.0, 0.0, 0.0, 0.0]], np.float32)


def test_the_kind_follows_from_the_actions():
    assert distribution_of(specs.DiscreteArray(3), "ppo") == Categorical(num_actions=3)
    assert isinstance(GAUSSIAN, ClippedGaussian) and hash(GAUSSIAN)
    with pytest.raises(ConfigError, match=r"^ppo needs actions with bounds"):
        distribution_of(specs.Array((2,), np.float32), "ppo")


def test_the_density_is_that_of_the_normal_distribution():
    noise = np.random.default_rng(0).normal(size=(2, 2)).astype(np.float32)
    _, extras = jax.jit(GAUSSIAN.sample)(OUTPUTS, noise)
    mean, std = OUTPUTS[:, :2], np.exp(OUTPUTS[:, 2:])
    np.testing.assert_allclose(extras["sample"], mean + std * noise, rtol=1e-6)
    density = stats.norm.logpdf(extras["sample"], mean, std).sum(axis=-1)
    np.testing.assert_allclose(extras["log_prob"], density, rtol=1e-5)
    again = GAUSSIAN.log_prob(OUTPUTS, extras["sample"])
    np.testing.assert_allclose(again, density, rtol=1e-5)
    entropy = stats.norm.entropy(mean, std).sum(axis=-1)
    np.testing.assert_allclose(GAUSSIAN.entropy(OUTPUTS), entropy, rtol=1e-5)


def test_an_action_is_its_sample_between_the_bounds_and_beyond_them():
    noise = np.array([[9.0, -9.0], [0.5, 0.5]], np.float32)
    action, extras = GAUSSIAN.sample(OUTPUTS, noise)
    # 0.5 + 9 exp(-1) and -0.25 - 9 exp(0.5); then both 0 + 0.5 exp(0).
    sample = [[3.810915, -15.088491], [0.5, 0.5]]
    np.testing.assert_allclose(extras["sample"], sample, rtol=1e-5)
    # Of the first number -1 and 1 become -2 and 2, and of the second 0 and 1.
    expected = [[2 * 3.810915, 0.5 - 0.5 * 15.088491], [1.0, 0.75]]
    np.testing.assert_allclose(action, expected, rtol=1e-5)


def test_without_noise_the_action_is_the_likeliest():
    action, _ = GAUSSIAN.sample(OUTPUTS, np.zeros((2, 2), np.float32))
    np.testing.assert_allclose(action, [[1.0, 0.375], [0.0, 0.5]], rtol=1e-6)
    action, extras = Categorical(num_actions=2).sample(
        np.log(np.array([[0.25, 0.75]], np.float32)), np.zeros((1, 2), np.float32)
    )
    assert action.tolist() == [1]
    np.testing.assert_allclose(extras["log_prob"], np.log([0.75]), rtol=1e-6)


def test_log_probabilities_and_entropy_of_a_few_actions():
    logits = np.log(np.array([[[0.25, 0.75]], [[0.5, 0.5]]], np.float32))
    found = Categorical(num_actions=2).log_prob(logits, np.array([[0], [1]]))
    np.testing.assert_allclose(found, np.log([[0.25], [0.5]]), rtol=1e-6)
    entropy = Categorical(num_actions=2).entropy(logits)
    np.testing.assert_allclose(entropy[1], [np.log(2)], rtol=1e-6)


LEVERS = distribution_of(MultiDiscreteArray((2,), np.int64, [0, 5], [2, 6]), "ppo")
# Logits of three values of the first category, and of two of the second.
LEVER_PROBABILITIES = np.array(
    [[0.2, 0.5, 0.3, 0.9, 0.1], [0.6, 0.3, 0.1, 0.25, 0.75]], np.float32
)
LEVER_LOGITS = np.log(LEVER_PROBABILITIES)


def test_several_categories_have_the_product_of_their_probabilities():
    assert isinstance(LEVERS, MultiCategorical) and hash(LEVERS)
    chosen = np.array([[1, 0], [2, 1]])
    expected = np.log([0.5 * 0.9, 0.1 * 0.75])
    found = LEVERS.log_prob(LEVER_LOGITS, chosen)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    entropy = [stats.entropy(p[:3]) + stats.entropy(p[3:]) for p in LEVER_PROBABILITIES]
    np.testing.assert_allclose(LEVERS.entropy(LEVER_LOGITS), entropy, rtol=1e-5)


def test_several_categories_are_sampled_each_by_itself():
    action, extras = LEVERS.sample(LEVER_LOGITS, np.zeros((2, 5), np.float32))
    assert np.asarray(action).tolist() == [[1, 5], [0, 6]]  # The likeliest of each.
    np.testing.assert_allclose(
        extras["log_prob"], np.log([0.5 * 0.9, 0.6 * 0.75]), rtol=1e-5
    )
    random, num = np.random.default_rng(0), 20_000
    noise = gumbel_noise(random, num, num_actions=5)
    outputs = np.broadcast_to(LEVER_LOGITS[0], (num, 5))
    action, _ = jax.jit(LEVERS.sample)(outputs, noise)
    counts = np.zeros((3, 2))
    np.add.at(counts, (action[:, 0], action[:, 1] - 5), 1)
    expected = np.outer([0.2, 0.5, 0.3], [0.9, 0.1])
    np.testing.assert_allclose(counts / num, expected, atol=0.015)


def test_what_was_sampled_is_read_back_from_actions():
    a_t = np.array([[[1, 5], [2, 6]]])
    assert np.asarray(LEVERS.chosen(a_t, {})).tolist() == [[[1, 0], [2, 1]]]
