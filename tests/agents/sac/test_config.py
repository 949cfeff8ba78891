"""The settings of SAC: what is refused, in one line that names the setting."""

import math

import pytest

from acmelike.agents.sac import SACConfig
from acmelike.errors import ConfigError
from tests.agents.settings import configure, value_of


def test_the_defaults_are_accepted():
    SACConfig()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_sizes", (8, 0)),
        ("discount", 1.01),
        ("discount", math.nan),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("target_rate", -0.1),
        ("target_rate", 1.1),
        ("initial_temperature", 0.0),
        ("initial_temperature", math.inf),
        ("target_entropy", math.nan),
        ("target_entropy", -math.inf),
        ("batch_size", 0),
        ("num_updates_per_call", 0),
        ("size", 0),
        ("min_size", 0),
        ("samples_per_insert", 0.0),
        ("error_buffer", -1.0),
    ],
)
def test_a_bad_value_is_refused_by_name(name, value):
    with pytest.raises(ConfigError) as caught:
        configure(SACConfig, **{name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} must be ") and str(value) in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_sizes", ()),
        ("discount", 0.0),
        ("discount", 1.0),
        ("target_rate", 1.0),
        ("target_entropy", None),
        ("target_entropy", 3.0),
    ],
)
def test_the_limits_themselves_are_accepted(name, value):
    assert value_of(configure(SACConfig, **{name: value}), name) == value
