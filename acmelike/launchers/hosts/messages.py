"""What the launcher and the agents of the other hosts say to each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from acmelike.launchers.processes.capacity import Capacity
from acmelike.launchers.processes.machine import Order


class Hello(NamedTuple):
    """To an agent, before it joins.

    Attributes:
      port: where the launcher's host listens for the agent to try.
    """

    port: int


class Join(NamedTuple):
    """From an agent: it offers its host.

    Attributes:
      rank: of the host, from 1 on.
      name: of the host, for people.
      ip: where its processes listen.
      port: where it listens there for the launcher to try.
      launcher_port_error: why the port of `Hello` could not be reached, or "".
      capacity: what it has.
      public_key: of the agent, as PEM; the same when it joins again, and another one
        when it was started anew.
      is_again: whether it had joined before, and was lost.
    """

    rank: int
    name: str
    ip: str
    port: int
    launcher_port_error: str
    capacity: Capacity
    public_key: bytes
    is_again: bool


class Welcome(NamedTuple):
    """To an agent: it has joined.

    Attributes:
      heartbeat: who has not been heard for so many seconds is lost. An agent ends its
        processes earlier, so that no two of one name are ever there.
    """

    heartbeat: float


class Refusal(NamedTuple):
    """To an agent: it cannot join, and why."""

    reason: str


class Start(NamedTuple):
    """To an agent: start a process; `number` is of this one alone."""

    number: int
    order: Order


class Kill(NamedTuple):
    """To an agent: end a process at once."""

    number: int


class Exit(NamedTuple):
    """From an agent: a process has ended, and how."""

    number: int
    how: str


class Usage(NamedTuple):
    """From an agent, once a second: the processor time of its processes, by number."""

    seconds: Mapping[int, float]


class Leave(NamedTuple):
    """To an agent: the run is over, and why."""

    reason: str


def control_stream(number: int) -> int:
    """The stream of a process's control connection."""
    return 2 * number


def output_stream(number: int) -> int:
    """The stream of what a process prints."""
    return 2 * number + 1
