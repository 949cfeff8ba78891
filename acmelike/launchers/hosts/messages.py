"""What the launcher and the agents of the other hosts say to each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from acmelike.launchers.processes.capacity import Capacity
from acmelike.launchers.processes.machine import Order


class Hello(NamedTuple):
    """To an agent, before it joins.

    Attributes:
      port: where the launcher's host listens, so that the agent can try to reach it.
    """

    port: int


class Join(NamedTuple):
    """From an agent: it offers its host.

    Attributes:
      rank: of the host, from 1 on.
      name: of the host, for people.
      ip: where its processes listen.
      port: where the host listens, so that the launcher can try to reach it.
      launcher_port_error: why the port of `Hello` could not be reached, or "".
      capacity: what it has.
      public_key: of the agent, as PEM. It is the same when the agent joins again, and
        another one after a restart of the agent.
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
      heartbeat: an end that was silent for so many seconds is lost. An agent ends its
        processes earlier, so two processes of one name never run at once.
    """

    heartbeat: float


class Refusal(NamedTuple):
    """To an agent: it cannot join, and why."""

    reason: str


class Start(NamedTuple):
    """To an agent: start a process; no other process has the same `number`."""

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
