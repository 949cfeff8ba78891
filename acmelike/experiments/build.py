"""From flags to a program of nodes that is ready to be launched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from acmelike.environments import (
    EnvironmentFactory,
    FrameStackFactory,
    RestartingFactory,
    StepTimeoutFactory,
    TimeLimitFactory,
    make_environment_factory,
)
from acmelike.environments.adapters import atari
from acmelike.environments.wrappers.action_mask import make_action_mask_factory
from acmelike.evaluation.goal import Goal
from acmelike.experiments.config import (
    EnvironmentConfig,
    ExperimentConfig,
    parse_kwargs,
)
from acmelike.experiments.program import TrainingProgram
from acmelike.experiments.run_folder import RunFolder
from acmelike.graph.resources import parse_place
from acmelike.topologies.layout import Layout
from acmelike.topologies.names import TOPOLOGIES
from acmelike.topologies.system import Experiment, System

C = TypeVar("C", bound=ExperimentConfig[Any])
P = TypeVar("P")


def make_system(
    program: TrainingProgram[C],
    config: C,
    folder: RunFolder,
    environment: Callable[..., Any] | None = None,
) -> System:
    """Makes the nodes and edges of a run, and starts nothing.

    Args:
      program: makes the agent.
      config: the flags.
      folder: of the run; metrics and policy are written there.
      environment: makes environments; None for those that the flags name.

    Raises:
      ConfigError: the environment, the agent and the topology do not fit together, or
        a node to place does not exist.
    """
    experiment = Experiment(
        environment_factory=_with_wrappers(
            make_environment_factory(
                environment or config.environment,
                **parse_kwargs(config.environment_kwargs),
            ),
            config,
        ),
        builder=program.builder(config),
        layout=_part(config, Layout),
        goal=_part(config, Goal),
        rewards=config.rewards,
        video=config.video,
        seed=config.seed,
        metrics=str(folder.metrics),
        policy=str(folder.policy),
        best_policy=str(folder.best_policy) if config.keep_best else None,
    )
    system = TOPOLOGIES[config.topology](experiment)
    for text in config.place:
        name, changes = parse_place(text)
        system.program.set_resources(name, **changes)
    return system


def _with_wrappers(
    factory: EnvironmentFactory, config: EnvironmentConfig
) -> EnvironmentFactory:
    if config.action_mask_from_info:  # Inside all others, which pass no info on.
        factory = make_action_mask_factory(factory, config.environment)
    if config.step_timeout is not None:
        factory = StepTimeoutFactory(inner=factory, seconds=config.step_timeout)
    if config.max_episode_steps is not None:
        factory = TimeLimitFactory(inner=factory, num_steps=config.max_episode_steps)
    is_of_atari = config.environment.startswith((atari.PREFIX, atari.WITH_MODULE))
    num_frames = config.frame_stack or (atari.NUM_FRAMES if is_of_atari else 1)
    if num_frames > 1:
        factory = FrameStackFactory(inner=factory, num_frames=num_frames)
    if config.restart_environments:
        factory = RestartingFactory(
            inner=factory, max_restarts=config.restart_environments
        )
    return factory


def _part(config: Any, kind: type[P]) -> P:
    """The fields of a configuration that it inherits from `kind`.

    Nodes get this part, so that their processes need not import the program.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: getattr(config, name) for name in names})
