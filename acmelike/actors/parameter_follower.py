"""Takes newer parameters from a learner, usually without waiting."""

from __future__ import annotations

from acmelike.core import Future, start
from acmelike.learners import ParameterSource
from acmelike.types import Nested, Versioned


class ParameterFollower:
    """Follows the parameters of a learner, or of a cacher of one.

    It keeps one call for newer parameters outstanding. So it costs nothing to check
    whether newer parameters have arrived.

    Args:
      source: where the parameters come from.
      min_interval: the minimum number of updates between two versions that it takes.

    Attributes:
      version: of the latest parameters that it took; -1 before the first. If it is set
        before the first `take`, only later versions are taken.
    """

    def __init__(self, source: ParameterSource, min_interval: int = 1):
        self._source, self._min_interval = source, min_interval
        self._newer: Future[Versioned] | None = None
        self.version = -1

    def take(self, *, waits: bool = False) -> Nested | None:
        """Returns newer parameters, or None if there are none yet.

        Args:
          waits: whether to wait for newer ones. It always waits for the first.
        """
        if self._newer is None:
            self._newer = start(
                self._source.next_parameters, self.version, self._min_interval
            )
        if not (waits or self.version < 0 or self._newer.done()):
            return None
        self.version, parameters = self._newer.result()
        self._newer = None
        return parameters
