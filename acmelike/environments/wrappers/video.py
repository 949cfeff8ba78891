"""Films of episodes: an environment that keeps a picture of each of its steps."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import dm_env
import numpy as np
from dm_env import specs

from acmelike.environments.interface import (
    EnvironmentFactory,
    Renderable,
    make_rendering,
)
from acmelike.errors import ConfigError
from acmelike.files import write_whole
from acmelike.types import Array

_FRAMES_PER_SECOND = 30
_MIN_SIDE = 100  # Pixels of the longer side, or more.
_SHORTEST = 20  # Milliseconds; what shows GIFs takes less for a tenth of a second.


class VideoRecorder(dm_env.Environment):  # type: ignore[misc]  # no types
    """An environment that keeps a picture of every step.

    Args:
      factory: of the environment.
      seed: of the environment.

    Raises:
      ConfigError: it does not render, or cannot here; also from `reset` and `step`.
    """

    def __init__(self, factory: EnvironmentFactory, *, seed: int):
        self._pictures: list[Any] = []
        with warnings.catch_warnings():
            # Gymnasium's, of what is told here in an error.
            warnings.simplefilter("ignore")
            try:
                self._environment = make_rendering(factory, seed)
            except Exception as error:
                raise _refusal(error) from error

    def reset(self) -> dm_env.TimeStep:
        """Begins an episode, and a film in the place of the last."""
        step = self._environment.reset()
        self._pictures = []
        self._keep()
        return step

    def step(self, action: Any) -> dm_env.TimeStep:
        """Takes one step, and a picture."""
        step = self._environment.step(action)
        self._keep()
        return step

    def observation_spec(self) -> specs.Array:
        """That of the environment inside."""
        return self._environment.observation_spec()

    def action_spec(self) -> specs.Array:
        """That of the environment inside."""
        return self._environment.action_spec()

    def close(self) -> None:
        """Closes the environment inside."""
        self._environment.close()

    def save(self, path: Path) -> None:
        """Writes the film as a GIF: aside, then renamed.

        Raises:
          ConfigError: it cannot be written.
        """
        rate = getattr(self._environment, "frames_per_second", _FRAMES_PER_SECOND)
        content = io.BytesIO()
        first, *others = self._pictures
        first.save(
            content,
            "GIF",
            save_all=True,
            append_images=others,
            duration=max(_SHORTEST, round(1000 / rate)),
            loop=0,
        )
        try:
            write_whole(path, content.getvalue())
        except OSError as error:
            raise ConfigError(f"cannot write to {path}: {error.strerror}") from None

    def _keep(self) -> None:
        from PIL import Image

        if not isinstance(self._environment, Renderable):
            raise ConfigError("this environment does not render")
        try:
            picture = self._environment.render()
            if picture is None:  # What Gymnasium's return that only show themselves.
                raise ConfigError("it draws no picture")
            image = Image.fromarray(_as_bytes(np.asarray(picture)))
        except Exception as error:
            raise _refusal(error) from error
        # One of a few pixels would be shown as a dot.
        factor = max(1, _MIN_SIDE // max(image.size))
        image = image.resize((image.width * factor, image.height * factor), 0)
        # With a palette, as GIFs have it: a third of the memory.
        self._pictures.append(image.quantize())


def _as_bytes(picture: Array) -> Array:
    """A picture in bytes; one of floats from 0 to 1, as some draw, in 256 steps."""
    if not np.issubdtype(picture.dtype, np.floating):
        return np.asarray(picture, np.uint8)
    if picture.min() < 0 or picture.max() > 1:
        raise ConfigError("it draws floats that are not from 0 to 1")
    return np.asarray(np.rint(picture * 255), np.uint8)


def _refusal(error: Exception) -> ConfigError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ConfigError(f"this environment cannot render: {reason}")
