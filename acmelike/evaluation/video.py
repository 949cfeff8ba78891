"""Settings that say when episodes of a run are recorded as videos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from acmelike.checks import at_least, check_fields


@dataclass(frozen=True, kw_only=True)
class VideoSettings:
    """Settings for videos of evaluations, in the folder `videos/` of the run.

    Attributes:
      every: one more episode is recorded in the first of every so many evaluations,
        and in the final one; 0 for no videos.
      format: "gif", or "mp4", which needs the extra `video`.
    """

    every: Annotated[int, at_least(0)] = 0
    format: Literal["gif", "mp4"] = "gif"

    def __post_init__(self) -> None:
        check_fields(self)
