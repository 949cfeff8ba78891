"""Environments by name."""

from __future__ import annotations

from acmelike.environments.adapters.envpool import make_envpool_factory
from acmelike.environments.adapters.gymnasium import (
    GymnasiumFactory,
    make_gymnasium_factory,
)
from acmelike.environments.adapters.gymnasium_vector import (
    make_gymnasium_vector_factory,
)
from acmelike.environments.catch import CatchFactory
from acmelike.environments.interface import EnvironmentFactory
from acmelike.environments.wrappers.masked import MaskedObservationFactory

_VECTORISED, _ENVPOOL = "vec:", "envpool:"


_BUILT_IN: dict[str, EnvironmentFactory] = {
    "Catch": CatchFactory(),
    # Where the cart and the pole are, without how fast they move.
    "CartPole-v1-positions": MaskedObservationFactory(
        inner=GymnasiumFactory(name="CartPole-v1"), indices=(0, 2)
    ),
}


def make_environment_factory(name: str) -> EnvironmentFactory:
    """The factory of a named environment.

    Args:
      name: "Catch", "CartPole-v1-positions" (CartPole without its two velocities), or
        an id in gymnasium's registry such as "CartPole-v1", or "module:id" for one that
        the module registers when it is imported; or any of gymnasium's after "vec:",
        such as "vec:CartPole-v1", for its vectorised version, which computes all
        environments of an actor at once. Those of MinAtar, such as
        "MinAtar/Breakout-v1", need the extra `minatar`; those of EnvPool, such as
        "envpool:CartPole-v1", the extra `envpool`.

    Raises:
      ConfigError: no environment has the name, or the one that has it cannot be made
        here. A gymnasium environment is made once to find out.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    if name.startswith(_VECTORISED):
        return make_gymnasium_vector_factory(name.removeprefix(_VECTORISED))
    if name.startswith(_ENVPOOL):
        return make_envpool_factory(name.removeprefix(_ENVPOOL))
    return make_gymnasium_factory(name, other_names=_BUILT_IN)
