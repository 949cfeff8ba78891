"""Which hosts a run has, and where they meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from acmelike.errors import ConfigError
from acmelike.rpc import HEARTBEAT_SECONDS, checked_heartbeat

# A program that knows the secret can run code on all hosts of a run.
MIN_SECRET_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class HostsConfig:
    """The hosts of a run.

    Attributes:
      num_hosts: the number of hosts, including the launcher's.
      rank: the number of this host; the launcher's has 0.
      rendezvous: where the launcher listens, as HOST:PORT; an address by which the
        other hosts reach it.
      secret: known to all hosts; 16 bytes or more.
      labels: of this host, for nodes that need a host with them.
      heartbeat: a host that has sent nothing for so many seconds is lost.
      join_seconds: how long the launcher waits until all hosts have joined, and an
        agent until there is a launcher.
    """

    num_hosts: int
    rank: int
    rendezvous: str
    secret: bytes = field(repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    heartbeat: float = HEARTBEAT_SECONDS
    join_seconds: float = 300.0

    def __post_init__(self) -> None:
        if self.num_hosts < 1:
            raise ConfigError(f"hosts must be at least 1: {self.num_hosts}")
        if not 0 <= self.rank < self.num_hosts:
            raise ConfigError(
                f"rank must be from 0 to {self.num_hosts - 1}, as there are "
                f"{self.num_hosts} hosts: {self.rank}"
            )
        if len(self.secret) < MIN_SECRET_BYTES:
            raise ConfigError(f"secret must have at least {MIN_SECRET_BYTES} bytes")
        checked_heartbeat(self.heartbeat)
        host, port = self.place
        if host in ("0.0.0.0", "::"):
            raise ConfigError(
                f"rendezvous must be an address of the launcher's host that the others "
                f"reach, such as 10.0.0.1:{port}: {self.rendezvous}"
            )

    @property
    def place(self) -> tuple[str, int]:
        """Host and port of the rendezvous.

        Raises:
          ConfigError: it is not HOST:PORT.
        """
        host, colon, port = self.rendezvous.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        is_port = port.isdigit() and 0 < int(port) < 2**16
        if not colon or not host or not is_port:
            raise ConfigError(
                f"rendezvous must be HOST:PORT, such as 10.0.0.1:7000: "
                f"{self.rendezvous}"
            )
        return host, int(port)
