"""Plays whole episodes with a trained policy; also as `acmelike evaluate`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from dm_env import specs

from acmelike.checks import at_least, check_fields
from acmelike.environments import make_environment_factory, make_vector_environment
from acmelike.environments.nests import Leaves
from acmelike.environments.wrappers.frame_stack import stacked_like
from acmelike.environments.wrappers.video import check_format
from acmelike.errors import ConfigError, first_line
from acmelike.evaluation.episodes import play_episodes, record_episode
from acmelike.evaluation.saved_policy import SavedPolicy, load_policy
from acmelike.experiments.flags import parse
from acmelike.experiments.process import INTERRUPTED, complain, tell
from acmelike.topologies.layout import MAX_EVAL_ENVS
from acmelike.types import Array, EnvironmentSpec, NestedSpec


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """The flags of `acmelike evaluate`.

    Attributes:
      run_folder: the folder of the run whose policy plays.
      best: take the best policy of the run, which was kept with --keep-best.
      episodes: how many whole episodes.
      num_envs: environments that they are played in, side by side.
      seed: of the environments; at least 0.
      video: record one more episode into this file (.gif, or .mp4 with the extra
        `video`), if the environment renders.
    """

    run_folder: Annotated[
        str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_FOLDER")
    ]
    best: bool = False
    episodes: Annotated[int, at_least(1)] = 20
    num_envs: Annotated[int, at_least(1)] = MAX_EVAL_ENVS
    seed: Annotated[int, at_least(0)] = 0
    video: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.video is not None:
            _check_ending(self.video)


def evaluate(
    policy: SavedPolicy | str | os.PathLike[str],
    *,
    num_episodes: int = 20,
    num_envs: int = MAX_EVAL_ENVS,
    seed: int = 0,
    environment: str | Callable[..., Any] | None = None,
    video: str | os.PathLike[str] | None = None,
) -> Array:
    """Plays whole episodes with a trained policy, which acts greedily.

    Args:
      policy: from `load_policy` or `train`, or the folder of a run.
      num_episodes: how many.
      num_envs: environments that they are played in, side by side; at most one for each
        episode is made.
      seed: of the environments; at least 0.
      environment: see `make_environment_factory`; None for the one that the policy was
        trained in, with its wrappers, such as a limit of steps. Another one gets no
        wrapper but the policy's stack of frames, unless it is stacked already.
      video: the file for a video of one more episode (.gif, or .mp4 with the extra
        `video`), which is played first; None for no video.

    Returns:
      The returns, `[num_episodes]`, ordered by environment.

    Raises:
      ConfigError: there is no such policy, or no such environment, or the policy was
        trained for other observations or actions; or the video cannot be made.
      EnvironmentFault: an environment failed.
    """
    if num_episodes < 1:
        raise ConfigError(f"num_episodes must be at least 1, not {num_episodes}")
    if seed < 0:
        raise ConfigError(f"seed must be at least 0, not {seed}")
    path = None if video is None else _video_path(video)
    if not isinstance(policy, SavedPolicy):
        policy = load_policy(policy)
    factory = policy.environment_factory
    if environment is not None:
        factory = stacked_like(make_environment_factory(environment), policy.spec)
    num_envs = min(num_envs, num_episodes)
    vector = make_vector_environment(factory, num_envs=num_envs, seed=seed)
    try:
        _check_spec(vector.spec, policy.spec)
        if path is not None:
            # Before the evaluation, because this is where mistakes show.
            inference = policy.make_inference(1)
            record_episode(factory, inference, seed=int(seed)).save(path)
        return play_episodes(vector, policy.make_inference(num_envs), num_episodes)
    finally:
        vector.close()


def _check_ending(video: str) -> None:
    if not video.endswith((".gif", ".mp4")):
        raise ConfigError(f"video must end in .gif or .mp4: {video}")


def _video_path(video: str | os.PathLike[str]) -> Path:
    """Where a video goes, whatever working directory an environment changes to.

    Raises:
      ConfigError: its name has another ending, or a package is missing.
    """
    _check_ending(os.fspath(video))
    path = Path(video).absolute()
    check_format(path.suffix.removeprefix("."))
    return path


def _check_spec(spec: EnvironmentSpec, trained: EnvironmentSpec) -> None:
    for name in ("observations", "actions"):
        has, wants = (_in_words(getattr(each, name)) for each in (spec, trained))
        if has != wants:
            raise ConfigError(
                f"the policy was trained for {name} {wants}; this environment's are "
                f"{has}"
            )


def _in_words(nest: NestedSpec) -> str:
    def of_one(spec: specs.Array) -> str:
        bounds = ""
        if isinstance(spec, specs.DiscreteArray):
            bounds = f" below {spec.num_values}"
        elif isinstance(spec, specs.BoundedArray):
            bounds = f" from {_bound(spec.minimum)} to {_bound(spec.maximum)}"
        return f"{spec.dtype} {list(spec.shape)}{bounds}"

    leaves = Leaves(nest)
    words = dict(zip(leaves.names, map(of_one, leaves.specs), strict=True))
    # By name, as the order of keys does not matter.
    return words[""] if [*words] == [""] else str(words)


def _bound(bound: Array) -> str:
    """The bound of each number of an array; a single one if all are the same."""
    numbers = np.unique(bound)
    return str(numbers[0] if len(numbers) == 1 else bound.tolist())


def evaluate_command(args: Sequence[str]) -> int:
    """Evaluates as a command line says, and prints the returns in one line.

    Returns:
      The exit status: 0, 1 for an environment or a policy that failed, 2 for a mistake
      of the user's, 130 interrupted.
    """
    try:
        config = parse(
            EvaluateConfig,
            args,
            prog="acmelike evaluate",
            description="Play whole episodes with the policy that a run stored.",
        )
    except ConfigError as error:
        return complain(error)
    except SystemExit:  # After `--help`.
        return 0
    try:
        returns = evaluate(
            load_policy(config.run_folder, best=config.best),
            num_episodes=config.episodes,
            num_envs=config.num_envs,
            seed=config.seed,
            video=config.video,
        )
    except ConfigError as error:
        return complain(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (Exception, SystemExit) as error:
        print(f"error: {first_line(error)}", file=sys.stderr)
        return 1
    line = (
        f"return: mean {returns.mean():.2f}, std {returns.std():.2f}, "
        f"min {returns.min():.2f}, max {returns.max():.2f}, {len(returns)} episodes"
    )
    try:
        print(line, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:  # A full disk, say; the result stands nowhere else.
        tell(f"error: {first_line(error)}", sys.stderr)
        return 1
    return 0
