"""Distributions of actions: densities worked out by hand, and what they sample."""

import jax
import numpy as np
import pytest
from dm_env import specs
from scipy import stats

from acmelike.agents.parts.distributions import (
    Categorical,
    ClippedGaussian,
    distribution_of,
)
from acmelike.errors import ConfigError

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


def test_actions_are_within_their_bounds_and_samples_need_not_be():
    noise = np.array([[9.0, -9.0], [0.5, 0.5]], np.float32)
    action, extras = GAUSSIAN.sample(OUTPUTS, noise)
    np.testing.assert_allclose(action, [[2.0, 0.0], [1.0, 0.75]], rtol=1e-6)
    assert np.abs(extras["sample"][0]).min() > 1


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
