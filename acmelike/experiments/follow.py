"""Adapts the number of actors to the hosts of a run."""

from __future__ import annotations

import logging
import threading

from acmelike.errors import AcmelikeError
from acmelike.launchers import Run
from acmelike.topologies.layout import Layout

logger = logging.getLogger("acmelike")

_PERIOD_SECONDS = 5.0


class ActorFollower(threading.Thread):
    """Keeps as many actors as hosts have room for, from `num_actors` to `max_actors`.

    It checks the room every few seconds, until the run ends.

    Args:
      run: a program with a group "actor".
      layout: of the program.
    """

    def __init__(self, run: Run, layout: Layout):
        super().__init__(name="actor follower", daemon=True)
        self._run, self._layout = run, layout
        self._size = layout.num_actors

    def run(self) -> None:
        is_refused = False
        while not self._run.is_over(within=_PERIOD_SECONDS):
            try:
                room = self._run.room("actor")
                most, least = self._layout.num_places, self._layout.num_actors
                size = max(least, min(self._size + room, most))
                if size != self._size:
                    self._run.scale("actor", size)
                    logger.info("%d actors run now, of at most %d", size, most)
                    self._size, is_refused = size, False
            except (AcmelikeError, OSError) as error:
                if not is_refused and not self._run.is_over():
                    logger.warning("the number of actors cannot follow: %s", error)
                is_refused = True
                self._size = self._num_running()

    def _num_running(self) -> int:
        """How many actors run; a change of their number may have stopped half-way."""
        nodes = self._run.status().values()
        return sum(node.group == "actor" and node.phase != "ended" for node in nodes)
