"""The cacher node: takes parameters from a learner once, for many actors."""

from __future__ import annotations

from typing import Protocol

from acmelike.core import idempotent, updating, when
from acmelike.policies import PortablePolicy
from acmelike.types import Versioned


class ParameterSource(Protocol):
    """Where actors get the policy and its parameters: a learner, or a cacher of one."""

    def policy(self) -> PortablePolicy:
        """Returns the agent's policy; it is the same for all versions of parameters."""

    def next_parameters(self, newer_than: int, min_interval: int = 1) -> Versioned:
        """Waits for parameters later than version `newer_than`; returns the newest."""


class Cacher:
    """A worker that has the newest parameters of a learner; a `ParameterSource`.

    With one cacher on each host, the learner sends a version to that host only once,
    however many actors there are.

    Args:
      learner: where the parameters come from; it may be a cacher itself.
      min_interval: the least number of updates between two versions that it takes.
    """

    def __init__(self, learner: ParameterSource, min_interval: int = 1):
        self._learner, self._min_interval = learner, min_interval
        self._policy: PortablePolicy | None = None
        self._newest: Versioned | None = None

    # --- Its service -----------------------------------------------------------------

    def _has_no_policy(self) -> str | None:
        return "it has no policy yet" if self._policy is None else None

    @idempotent
    @when(_has_no_policy)
    def policy(self) -> PortablePolicy:
        """Waits for the agent's policy, and returns it."""
        assert self._policy is not None
        return self._policy

    def _nothing_newer(self, newer_than: int, min_interval: int = 1) -> str | None:
        if self._newest is None:
            return "it has no parameters yet"
        return why_too_early(self._newest.version, newer_than, min_interval)

    @idempotent
    @when(_nothing_newer)
    def next_parameters(self, newer_than: int, min_interval: int = 1) -> Versioned:
        """Waits for parameters later than version `newer_than`; returns the newest.

        See `Learner.next_parameters`.
        """
        assert self._newest is not None
        return self._newest

    # --- Its own work ----------------------------------------------------------------

    def step(self) -> None:
        """Takes the next parameters."""
        if self._policy is None:
            policy = self._learner.policy()
            with updating(self):
                self._policy = policy
        version = -1 if self._newest is None else self._newest.version
        newest = self._learner.next_parameters(version, self._min_interval)
        with updating(self):
            self._newest = newest


def why_too_early(version: int, newer_than: int, min_interval: int) -> str | None:
    """Why a caller that has version `newer_than` has to wait, or None.

    Args:
      version: of the newest parameters.
      newer_than: the version that the caller has; -1 if it has none, and then the
        interval does not apply.
      min_interval: updates that the caller wants to be between two versions.
    """
    wanted = newer_than + 1 if newer_than < 0 else newer_than + min_interval
    if version >= wanted:
        return None
    return f"parameters are at version {version}, asked for {wanted} or later"
