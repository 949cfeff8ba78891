"""Settings by their names alone, nested in an agent's config or not."""

import dataclasses

import numpy as np
from dm_env import specs

from acmelike.types import EnvironmentSpec


def configure(config_class, **settings):
    """A config with these settings, in its groups where it has them there."""
    config = config_class()
    names = {field.name for field in dataclasses.fields(config)}
    for group in ("optimizer", "replay"):
        value = getattr(config, group, None)
        if dataclasses.is_dataclass(value):
            inner = {field.name for field in dataclasses.fields(value)} - names
            mine = {name: settings.pop(name) for name in inner & settings.keys()}
            settings[group] = dataclasses.replace(value, **mine)
    return dataclasses.replace(config, **settings)


def value_of(config, name):
    """The value of a setting that `configure` was given."""
    for group in (config, getattr(config, "optimizer", None), config.replay):
        if hasattr(group, name):
            return getattr(group, name)
    raise AttributeError(name)


def make_spec(observation_shape=(3,), actions=None):
    """The spec of environments with these observations, float32."""
    return EnvironmentSpec(
        observations=specs.Array(observation_shape, np.float32),
        actions=specs.DiscreteArray(2) if actions is None else actions,
        rewards=specs.Array((), np.float32),
        discounts=specs.BoundedArray((), np.float32, 0, 1),
    )
