"""Hosts of a run that are all this machine, each with an agent of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acmelike import HostsConfig

SECRET = "of this benchmark alone"
AGENT = """
import sys
from acmelike import HostsConfig, join_run
rank, num_hosts, place, secret = sys.argv[1:]
join_run(HostsConfig(rank=int(rank), num_hosts=int(num_hosts), rendezvous=place,
                     secret=secret.encode()))
"""


class Hosts:
    """The other hosts; a context manager.

    Args:
      num_hosts: with that of the launcher.
    """

    def __init__(self, num_hosts: int):
        self._num_hosts = num_hosts
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._place = f"127.0.0.1:{free.getsockname()[1]}"
        self._agents: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def config(self) -> HostsConfig:
        """Of the launcher's host."""
        from acmelike import HostsConfig

        return HostsConfig(
            num_hosts=self._num_hosts,
            rank=0,
            rendezvous=self._place,
            secret=SECRET.encode(),
        )

    def replace(self, rank: int) -> None:
        """Kills the agent of a host, and starts another."""
        self._agents[rank].kill()
        self._agents[rank].wait()
        self._start(rank)

    def __enter__(self) -> Hosts:
        for rank in range(1, self._num_hosts):
            self._start(rank)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for agent in self._agents.values():
            try:
                agent.wait(10.0)  # It ends with the run.
            except subprocess.TimeoutExpired:
                agent.kill()
                agent.wait()

    def _start(self, rank: int) -> None:
        words = [str(rank), str(self._num_hosts), self._place, SECRET]
        self._agents[rank] = subprocess.Popen([sys.executable, "-c", AGENT, *words])
