"""Atari games as they are usually played by agents."""

from __future__ import annotations

from typing import Any

import gymnasium

from acmelike.environments.wrappers.wrapper import wrapped
from acmelike.errors import ConfigError, first_line

PREFIX = "ALE/"
# The prefix with the module that registers the games, as Gymnasium allows.
WITH_MODULE = f"ale_py:{PREFIX}"
# Observations that are stacked, as a single one shows no velocities: Mnih et al. 2015,
# "Human-level control through deep reinforcement learning", extended data table 1.
NUM_FRAMES = 4

# The settings of the preprocessing; all others are the game's own.
_PREPROCESSING: dict[str, Any] = {
    # Mnih et al. 2015: an action is repeated for 4 frames, and the observation is the
    # maximum of the last two, as some games draw their parts in turns. It is grey and
    # of 84 by 84 pixels.
    "frame_skip": 4,
    "screen_size": 84,
    "grayscale_obs": True,
    # Mnih et al. 2015 end an episode when a life is lost; Machado et al. 2018,
    # "Revisiting the Arcade Learning Environment", section 4.1, when the game ends.
    "terminal_on_life_loss": False,
    # Mnih et al. begin an episode with up to 30 no-op actions, so episodes differ.
    # Machado et al. let the game repeat an action at random instead.
    "noop_max": 0,
}
# Machado et al. 2018, section 5.3.
_REPEAT_PROBABILITY = 0.25


def make_atari(name: str, arguments: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    """Makes a game with the usual preprocessing: observations `[84, 84, 1]` uint8.

    Args:
      name: in Gymnasium's registry, such as "ALE/Pong-v5".
      arguments: of the game, such as `mode` and `difficulty`, and of the preprocessing:
        `frame_skip`, `screen_size`, `grayscale_obs`, `terminal_on_life_loss` and
        `noop_max`. `preprocess=False` leaves the preprocessing out.

    Raises:
      ConfigError: the packages are not installed, or the preprocessing does not take
        one of its settings.
    """
    arguments = {"repeat_action_probability": _REPEAT_PROBABILITY, **arguments}
    if not arguments.pop("preprocess", True):
        return gymnasium.make(name, disable_env_checker=True, **arguments)
    settings = {key: arguments.pop(key, value) for key, value in _PREPROCESSING.items()}
    # The preprocessing repeats actions itself, as it needs the frames between.
    env = gymnasium.make(name, disable_env_checker=True, frameskip=1, **arguments)
    try:
        return wrapped(
            env,
            lambda game: gymnasium.wrappers.AtariPreprocessing(
                game, grayscale_newaxis=bool(settings["grayscale_obs"]), **settings
            ),
        )
    except gymnasium.error.DependencyNotInstalled:
        raise ConfigError("Atari needs OpenCV: pip install 'acmelike[atari]'") from None
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"Atari's preprocessing does not take its settings: {first_line(error)}"
        ) from error
