"""When a process that failed is restarted, and when its run ends instead."""

from __future__ import annotations

from dataclasses import dataclass

from acmelike.errors import ContractError
from acmelike.graph import RestartPolicy

# The longest time from a failure to the next start.
_MAX_BACKOFF = 30.0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a process ends before its run does.

    Attributes:
      label: of the node.
      where: the part that failed: "step", "process" for the process itself, or "start"
        for what could not be made there.
      error: what happened.
      has_worked: whether the node had done anything before.
    """

    label: str
    where: str
    error: BaseException
    has_worked: bool

    def __str__(self) -> str:
        return f"node '{self.label}' failed ({self.where}): {self.error}"


class Restarts:
    """Counts the failures of the processes of one name, and decides what follows.

    Args:
      policy: of its nodes; None if the first failure ends the run.
    """

    def __init__(self, policy: RestartPolicy | None):
        self._policy = policy
        self._has_worked = False
        # With their times; those that count now, the oldest first.
        self._failures: list[tuple[float, Failure]] = []

    def next_start(self, failure: Failure, now: float) -> float | None:
        """Notes a failure at the time `now`.

        Returns:
          When the process is to be restarted; None to end the run. The run ends after
          too many failures, or if the next failure is sure to come: the code breaks the
          contract of nodes, or raised before the node had ever worked.
        """
        policy = self._policy
        if policy is None or self._will_repeat(failure):
            self._failures = [(now, failure)]
            return None
        since = now - policy.window
        self._failures = [each for each in self._failures if each[0] >= since]
        self._failures.append((now, failure))
        if self.num_failures > policy.max_restarts:
            return None
        doubled = 2.0 ** min(self.num_failures - 1, 64)
        return now + min(policy.backoff * doubled, _MAX_BACKOFF)

    @property
    def num_failures(self) -> int:
        """How many failures count now."""
        return len(self._failures)

    @property
    def cause(self) -> Failure:
        """The first of the failures that count now."""
        return self._failures[0][1]

    def _will_repeat(self, failure: Failure) -> bool:
        self._has_worked = self._has_worked or failure.has_worked
        if failure.where == "process":
            return False
        return isinstance(failure.error, ContractError) or not self._has_worked
