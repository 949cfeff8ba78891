"""`acmelike evaluate`: plays whole episodes with the policy that a run left."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from acmelike.environments import VectorEnvironment, make_vector_environment
from acmelike.environments.wrappers.video import VideoRecorder
from acmelike.errors import ConfigError
from acmelike.evaluation.evaluator import play_episodes
from acmelike.evaluation.saved_policy import SavedPolicy, load_policy
from acmelike.experiments.cli import INTERRUPTED, complain, one_line, parse
from acmelike.types import Array


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What an evaluation can be told.

    Attributes:
      run_folder: the folder of the run whose policy plays.
      episodes: how many whole episodes, each in an environment of its own.
      seed: of the environments; at least 0.
      video: film one more episode into this file (.gif), if the environment renders.
    """

    run_folder: Annotated[
        str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_FOLDER")
    ]
    episodes: int = 20
    seed: int = 0
    video: str | None = None

    def __post_init__(self) -> None:
        if self.episodes < 1:
            raise ConfigError(f"episodes must be at least 1: {self.episodes}")
        if self.seed < 0:
            raise ConfigError(f"seed must be at least 0: {self.seed}")
        if self.video is not None and not self.video.endswith(".gif"):
            raise ConfigError(f"video must end in .gif: {self.video}")


def main(args: Sequence[str]) -> int:
    """Evaluates as a command line says, and prints the returns in one line.

    Returns:
      The exit status: 0, 1 for an environment or a policy that failed, 2 for a mistake
      of the user, 130 interrupted.
    """
    try:
        config = parse(
            EvaluateConfig,
            args,
            prog="acmelike evaluate",
            description="Play whole episodes with the policy that a run left.",
        )
        policy = load_policy(config.run_folder)
        if config.video is not None:
            # First, as it is here that a mistake would show.
            _film(policy, Path(config.video), config.seed)
        returns = _evaluate(policy, config.episodes, config.seed)
    except ConfigError as error:
        return complain(error)
    except SystemExit:
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    print(
        f"return: mean {returns.mean():.2f}, std {returns.std():.2f}, "
        f"min {returns.min():.2f}, max {returns.max():.2f}, {len(returns)} episodes"
    )
    return 0


def _evaluate(policy: SavedPolicy, num_episodes: int, seed: int) -> Array:
    environment = make_vector_environment(
        policy.environment_factory, num_envs=num_episodes, seed=seed
    )
    try:
        return play_episodes(environment, policy.make_inference(num_episodes))
    finally:
        environment.close()


def _film(policy: SavedPolicy, path: Path, seed: int) -> None:
    filmed = VideoRecorder(policy.environment_factory, seed=seed)
    environment = VectorEnvironment(lambda seed: filmed, num_envs=1, seed=seed)
    try:
        play_episodes(environment, policy.make_inference(1))
        filmed.save(path)
    finally:
        environment.close()
