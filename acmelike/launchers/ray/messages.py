"""What the launcher and the process that speaks to Ray say to each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from acmelike.graph import Resources
from acmelike.rpc import Certificate


class Connect(NamedTuple):
    """To the broker: connect to Ray, or start one.

    Attributes:
      address: of the cluster, or None to start one.
      folder: for the files of a Ray that is started; None if none is started. The
        launcher removes it, or the broker if the launcher is gone.
      num_cpus: of a Ray that is started, which may be more than there are.
      working_dir: the folder that is sent to all hosts, or None.
      path: where the launcher finds modules, for hosts that have the same folders.
    """

    address: str | None
    folder: str | None
    num_cpus: float
    working_dir: str | None
    path: Sequence[str]


class Connected(NamedTuple):
    """From the broker.

    Attributes:
      ip: of this host, as Ray knows it.
      words: what was connected to.
      num_gpus: of all its hosts.
    """

    ip: str
    words: str
    num_gpus: float


class Bundle(NamedTuple):
    """What a process needs of its host.

    Attributes:
      name: of the process.
      resources: that it needs.
    """

    name: str
    resources: Resources

    @property
    def is_spread(self) -> bool:
        """Whether processes like this one should be on different hosts."""
        return self.resources.place == "spread"


class Reserve(NamedTuple):
    """To the broker: reserve bundles, and start an agent on each of their hosts.

    Attributes:
      bundles: at least one.
      seconds: that it may take.
    """

    bundles: Sequence[Bundle]
    seconds: float


class Withdraw(NamedTuple):
    """To the broker: the launcher waits no longer for the last reservation."""


class AgentKey(NamedTuple):
    """An agent that was started.

    Attributes:
      rank: of the agent in the run.
      bundles: the numbers of the bundles whose processes it starts.
      host: the name of its host in Ray; agents of one host have the same.
      public_key: of the agent, as PEM.
    """

    rank: int
    bundles: Sequence[int]
    host: str
    public_key: bytes


class Reserved(NamedTuple):
    """From the broker: all bundles are reserved."""

    agents: Sequence[AgentKey]


class LetIn(NamedTuple):
    """To the broker: let an agent join the run.

    Attributes:
      rank: of the agent.
      certificate: of its key.
      place: host and port of the rendezvous.
      heartbeat: see `RayConfig`.
    """

    rank: int
    certificate: Certificate
    place: tuple[str, int]
    heartbeat: float


class AgentBack(NamedTuple):
    """From the broker: an agent has ended, and another one is in its place.

    Attributes:
      rank: of the agent.
      public_key: of the new one, as PEM.
    """

    rank: int
    public_key: bytes


class GiveBack(NamedTuple):
    """To the broker: end an agent that has left, and release what it had reserved."""

    rank: int


class Available(NamedTuple):
    """To the broker: for how many more such bundles is there room?"""

    resources: Resources


class Room(NamedTuple):
    """From the broker: there is room for so many bundles."""

    number: int


class Refused(NamedTuple):
    """From the broker: it cannot be done, and why."""

    words: str


class Release(NamedTuple):
    """To the broker: the run is over; release everything."""


class Released(NamedTuple):
    """From the broker: nothing of the run is left in Ray."""
