"""Records a video of an episode, as GIF or MP4."""

from __future__ import annotations

import io
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dm_env
import numpy as np
from dm_env import specs

from acmelike.checks import is_installed
from acmelike.environments.interface import (
    EnvironmentFactory,
    Renderable,
    make_rendering,
)
from acmelike.errors import ConfigError, first_line
from acmelike.files import write_whole
from acmelike.types import Array, NestedSpec

VIDEO_FORMATS = ("gif", "mp4")
_FRAMES_PER_SECOND = 30
_MIN_SIDE = 100  # Smaller pictures are enlarged to about this many pixels.
_MAX_PICTURES = 9_000  # Five minutes at 30 a second; 300 MB for Atari.
_MIN_MILLISECONDS = 20  # Browsers show frames with a shorter duration for 100 ms.


class VideoRecorder(dm_env.Environment):  # type: ignore[misc]  # no types
    """An environment that keeps a picture of every step of an episode.

    It keeps at most the first 9,000 pictures, because they are all held in memory.

    Args:
      factory: makes the inner environment.
      seed: of the inner environment.

    Raises:
      ConfigError: the environment cannot be rendered here; `reset` and `step` raise it,
        too.
    """

    def __init__(self, factory: EnvironmentFactory, *, seed: int):
        self._pictures: list[Any] = []
        with warnings.catch_warnings():
            # Gymnasium warns of the same problems that are raised here as errors.
            warnings.simplefilter("ignore")
            try:
                self._environment = make_rendering(factory, seed)
            except Exception as error:
                raise _refusal(error) from error

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode, and discards the pictures of the last one."""
        step = self._environment.reset()
        self._pictures = []
        self._keep()
        return step

    def step(self, action: Any) -> dm_env.TimeStep:
        """Takes one step, and keeps a picture of it."""
        step = self._environment.step(action)
        self._keep()
        return step

    def observation_spec(self) -> NestedSpec:
        """The spec of the inner environment."""
        return self._environment.observation_spec()

    def action_spec(self) -> specs.Array:
        """The spec of the inner environment."""
        return self._environment.action_spec()

    def close(self) -> None:
        """Closes the inner environment."""
        self._environment.close()

    def encoded(self, format: str) -> bytes:
        """The pictures of the episode as the content of a file.

        Args:
          format: "gif" or "mp4".

        Raises:
          ConfigError: a package is missing.
          OSError: there is no room for a temporary file.
        """
        check_format(format)
        rate = getattr(self._environment, "frames_per_second", _FRAMES_PER_SECOND)
        return (_as_mp4 if format == "mp4" else _as_gif)(self._pictures, rate)

    def save(self, path: Path) -> None:
        """Writes the pictures of the episode, in the format of the file's suffix.

        Raises:
          ConfigError: a package is missing, or the file cannot be written.
        """
        try:
            write_whole(path, self.encoded(path.suffix.removeprefix(".")))
        except OSError as error:
            raise ConfigError(f"cannot write to {path}: {error.strerror}") from None

    def _keep(self) -> None:
        from PIL import Image

        if len(self._pictures) == _MAX_PICTURES:
            return
        if not isinstance(self._environment, Renderable):
            raise ConfigError("this environment does not render")
        try:
            picture = self._environment.render()
            if picture is None:  # Gymnasium's draw none if they open a window.
                raise ConfigError(
                    "it draws no picture; Gymnasium's need an argument render_mode"
                )
            image = Image.fromarray(_as_bytes(np.asarray(picture)))
        except Exception as error:
            raise _refusal(error) from error
        # A picture of a few pixels, such as MinAtar's, is too small to be seen.
        factor = max(1, _MIN_SIDE // max(image.size))
        image = image.resize((image.width * factor, image.height * factor), 0)
        # With a palette, as in a GIF, a picture takes a third of the memory.
        self._pictures.append(image.quantize())


def check_format(format: str) -> None:
    """Checks that videos of this format can be made.

    Raises:
      ConfigError: it is not one of `VIDEO_FORMATS`, or a package is missing.
    """
    if format not in VIDEO_FORMATS:
        raise ConfigError(f"a video is .gif or .mp4, not .{format}")
    if format == "mp4" and not is_installed("imageio_ffmpeg"):
        raise ConfigError(
            "a video in .mp4 needs imageio-ffmpeg: pip install 'acmelike[video]'"
        )


def _as_gif(pictures: Sequence[Any], rate: float) -> bytes:
    content = io.BytesIO()
    first, *others = pictures
    first.save(
        content,
        "GIF",
        save_all=True,
        append_images=others,
        duration=max(_MIN_MILLISECONDS, round(1000 / rate)),
        loop=0,
    )
    return content.getvalue()


def _as_mp4(pictures: Sequence[Any], rate: float) -> bytes:
    import imageio_ffmpeg
    from PIL import Image

    # Otherwise it forks, which may hang because JAX has threads.
    os.environ.setdefault("IMAGEIO_FFMPEG_NO_PREVENT_SIGINT", "1")
    # H.264 wants even sides.
    width, height = (side + side % 2 for side in pictures[0].size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        writer = imageio_ffmpeg.write_frames(
            str(path), (width, height), fps=rate, macro_block_size=2
        )
        writer.send(None)
        for picture in pictures:
            frame = Image.new("RGB", (width, height))
            frame.paste(picture.convert("RGB"))
            writer.send(frame.tobytes())
        writer.close()
        return path.read_bytes()


def _as_bytes(picture: Array) -> Array:
    """Converts a picture to uint8; some environments draw floats in 0..1."""
    if not np.issubdtype(picture.dtype, np.floating):
        return np.asarray(picture, np.uint8)
    if picture.min() < 0 or picture.max() > 1:
        raise ConfigError("it draws floats that are not from 0 to 1")
    return np.asarray(np.rint(picture * 255), np.uint8)


def _refusal(error: Exception) -> ConfigError:
    reason = first_line(error)
    return ConfigError(f"this environment cannot render: {reason}")
