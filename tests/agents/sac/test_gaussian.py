"""The squashed Gaussian against numbers worked out by hand, and its integral."""

import math

import jax
import numpy as np
import pytest

from acmelike.agents.parts.gaussian import Gaussian, log_prob, sample


def row(*values):
    return np.array([values], np.float32)


def test_an_action_is_squashed_mean_plus_noise():
    gaussian = Gaussian(row(0.5, -1.0), row(math.log(2), 0.0))
    action = sample(gaussian, row(0.25, 3.0))
    # tanh(0.5 + 2 * 0.25) and tanh(-1 + 3).
    np.testing.assert_allclose(action, row(math.tanh(1), math.tanh(2)), rtol=1e-6)


def test_the_log_density_is_that_of_the_normal_less_the_slope_of_tanh():
    gaussian = Gaussian(row(0.5, -1.0), row(math.log(2), 0.0))
    # For u = 1: N(1; 0.5, 2) / (1 - tanh(1) ** 2); for u = 2: N(2; -1, 1) and so on.
    one = math.exp(-(0.25**2) / 2) / (2 * math.sqrt(2 * math.pi)) / 0.4199743416
    two = math.exp(-(3**2) / 2) / math.sqrt(2 * math.pi) / 0.0706508249
    found = log_prob(gaussian, row(0.25, 3.0))
    assert found.shape == (1,) and found.dtype == np.float32
    np.testing.assert_allclose(found, [math.log(one) + math.log(two)], rtol=1e-5)


def test_the_density_of_all_actions_adds_up_to_1():
    noise = np.linspace(-8, 8, 20_001)[:, None]
    gaussian = Gaussian(np.full_like(noise, 0.3), np.full_like(noise, math.log(0.7)))
    action, density = sample(gaussian, noise)[:, 0], np.exp(log_prob(gaussian, noise))
    widths = np.diff(action)
    total = (widths * (density[1:] + density[:-1]) / 2).sum()
    assert total == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("mean", [-60.0, 60.0])
def test_it_is_finite_where_tanh_rounds_to_1(mean):
    # There 1 - tanh(u) ** 2 is 4 exp(-2 |u|).
    expected = -0.5 * math.log(2 * math.pi) - (math.log(4) - 120)

    def value(mean):
        return log_prob(Gaussian(mean, row(0.0)), row(0.0))[0]

    assert value(row(mean)) == pytest.approx(expected, rel=1e-6)
    found, slope = jax.value_and_grad(value)(row(mean))
    assert found == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(slope, row(2 * np.sign(mean)))
