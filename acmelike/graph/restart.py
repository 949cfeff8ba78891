"""Restart policies: whether a node that failed is restarted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from acmelike.checks import at_least, check_fields


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """Restarts a node when it fails, but not too often.

    A node fails if its process ends, or if its code raises. What it held is lost, and
    its constructor runs again. So this is for nodes that others do not call, such as
    actors, and for those that hold nothing that cannot be had again.

    It holds where nodes have processes. `serial` and `threads` have one process, and
    the first failure ends the run there.

    Attributes:
      max_restarts: how often within `window`; one failure more ends the run.
      window: in seconds.
      backoff: seconds before the node is restarted. It doubles with each further
        failure within `window`, up to 30 s.
    """

    max_restarts: Annotated[int, at_least(1)] = 5
    window: Annotated[float, at_least(0)] = 300.0
    backoff: Annotated[float, at_least(0)] = 0.5

    def __post_init__(self) -> None:
        check_fields(self)
