"""The control suite of DeepMind, by names such as "dm_control:cheetah-run"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acmelike.environments.wrappers.wrapper import EnvironmentWrapper, wrapped
from acmelike.errors import ConfigError, first_line, nearest

PREFIX = "dm_control:"


class ControlEnvironment(EnvironmentWrapper):
    """An environment of the control suite, which can draw itself.

    Args:
      environment: from `dm_control.suite.load`; `close` closes it.
    """

    def __init__(self, environment: Any) -> None:
        super().__init__(environment, environment.observation_spec())

    def render(self) -> Any:
        """A picture of the first camera, `[240, 320, 3]` uint8."""
        return self._environment.physics.render(height=240, width=320, camera_id=0)

    @property
    def frames_per_second(self) -> float:
        """One picture for each step of the environment."""
        return float(1 / self._environment.control_timestep())


@dataclass(frozen=True, kw_only=True)
class ControlFactory:
    """An `EnvironmentFactory` of a task of the control suite.

    Attributes:
      domain: such as "cheetah".
      task: such as "run".
      arguments: of the task, as (name, value).
    """

    domain: str
    task: str
    arguments: tuple[tuple[str, Any], ...] = ()

    def __call__(self, seed: int) -> ControlEnvironment:
        settings = {"random": seed, **dict(self.arguments)}
        suite = _import_suite()
        made = suite.load(self.domain, self.task, task_kwargs=settings)
        return wrapped(made, ControlEnvironment)


def make_control_factory(
    name: str, *, arguments: Mapping[str, Any] = {}
) -> ControlFactory:
    """Makes a factory, and one environment with it as a check.

    Args:
      name: domain and task, such as "cheetah-run".
      arguments: of the task, such as `time_limit`.

    Raises:
      ConfigError: the package is not installed, has no such task (the message has the
        nearest), or cannot make it.
    """
    suite = _import_suite()
    tasks = [f"{domain}-{task}" for domain, task in suite.ALL_TASKS]
    if name not in tasks:
        raise ConfigError(
            f"dm_control has no task '{name}'{nearest(name, tasks)}; a name is the "
            "domain and the task, such as cheetah-run"
        )
    if "random" in arguments:
        raise ConfigError(
            "leave random out of environment_kwargs: it is the seed, and each "
            "environment gets its own, from that of the run"
        )
    domain, _, task = name.rpartition("-")
    factory = ControlFactory(
        domain=domain, task=task, arguments=tuple(arguments.items())
    )
    try:
        factory(seed=0).close()
    except (Exception, SystemExit) as error:
        reason = first_line(error)
        raise ConfigError(
            f"environment '{PREFIX}{name}' cannot be made: {reason}"
        ) from error
    return factory


def _import_suite() -> Any:
    try:
        from dm_control import suite
    except ImportError as error:
        raise ConfigError(
            f"dm_control cannot be imported: {error}; pip install "
            "'acmelike[dm_control]'"
        ) from error
    return suite
