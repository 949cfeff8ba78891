"""The settings of R2D2: what is refused, in one line that names the setting."""

import math

import pytest

from acmelike.agents.r2d2 import R2D2Config
from acmelike.errors import ConfigError
from tests.agents.settings import configure, value_of


def test_the_defaults_are_accepted():
    R2D2Config()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_sizes", (8, 0)),
        ("lstm_size", 0),
        ("sequence_length", 1),
        ("burn_in", -1),
        ("burn_in", 19),  # of sequences of 20 steps
        ("overlap", -1),
        ("overlap", 20),
        ("n_step", 0),
        ("discount", 1.01),
        ("discount", math.nan),
        ("priority_max_fraction", 1.1),
        ("priority_exponent", -1.0),
        ("importance_exponent", -0.1),
        ("learning_rate", 0.0),
        ("learning_rate", math.inf),
        ("final_fraction", 2.0),
        ("decay_updates", 0),
        ("max_gradient_norm", 0.0),
        ("huber_delta", -1.0),
        ("batch_size", 0),
        ("num_updates_per_call", 0),
        ("target_update_period", 0),
        ("size", 0),
        ("min_size", 0),
        ("samples_per_insert", 0.0),
        ("error_buffer", -1.0),
        ("epsilon", 1.1),
        ("epsilon_alpha", -1.0),
    ],
)
def test_a_bad_value_is_refused_by_name(name, value):
    with pytest.raises(ConfigError) as caught:
        configure(R2D2Config, **{name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} must be ") and str(value) in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_sizes", ()),
        ("burn_in", 0),
        ("burn_in", 18),
        ("overlap", 0),
        ("overlap", 19),
        ("priority_max_fraction", 0.0),
        ("priority_max_fraction", 1.0),
        ("discount", 1.0),
        ("epsilon", 0.0),
    ],
)
def test_the_limits_themselves_are_accepted(name, value):
    assert value_of(configure(R2D2Config, **{name: value}), name) == value
