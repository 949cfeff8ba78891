"""Hosts of a run that are all this machine: with agents, or in a Ray cluster."""

from __future__ import annotations

import socket
import subprocess
import sys
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acmelike import HostsConfig, RayConfig

SECRET = "of this benchmark alone"
AGENT = """
import sys
from acmelike import HostsConfig, join_run
rank, num_hosts, place, secret = sys.argv[1:]
join_run(HostsConfig(rank=int(rank), num_hosts=int(num_hosts), rendezvous=place,
                     secret=secret.encode()))
"""


CLUSTER = """
import sys
from ray.cluster_utils import Cluster
num_hosts, num_cpus = map(int, sys.argv[1:])
settings = dict(num_cpus=num_cpus, include_dashboard=False)
cluster = Cluster(initialize_head=True, head_node_args=settings)
for _ in range(num_hosts - 1):
    cluster.add_node(num_cpus=num_cpus)
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


class RayCluster:
    """A Ray cluster; a context manager. It needs an interpreter that has Ray.

    Args:
      num_hosts: of the cluster.
      num_cpus: that each of them says it has.
    """

    def __init__(self, num_hosts: int, num_cpus: int):
        self._words = [str(num_hosts), str(num_cpus)]

    def __enter__(self) -> RayCluster:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CLUSTER, *self._words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self._address = self._process.stdout.readline().strip()
        return self

    @property
    def config(self) -> RayConfig:
        """For a run on it."""
        from acmelike import RayConfig

        return RayConfig(address=self._address, working_dir=None)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(60.0)


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
