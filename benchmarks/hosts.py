"""Hosts of a run that are all this machine: with agents, or in a Ray cluster."""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import TYPE_CHECKING

from benchmarks.trial import TrialFailed

if TYPE_CHECKING:
    from acmelike import HostsConfig, RayConfig

# How long a cluster may take until it is there, and to answer.
_ANSWER_SECONDS = 120.0
# How long Ray may take to free what a run has given back.
_FREE_SECONDS = 30.0
SECRET = "of this benchmark alone"
AGENT = """
import sys
from acmelike import HostsConfig, join_run
rank, num_hosts, place, secret = sys.argv[1:]
join_run(HostsConfig(rank=int(rank), num_hosts=int(num_hosts), rendezvous=place,
                     secret=secret.encode()))
"""

# Its files are in a folder of its own, which goes with it. A line that comes in asks
# what of it is still held; the answer is JSON.
CLUSTER = """
import json, sys, tempfile
import ray
from ray.cluster_utils import Cluster
from ray.util import placement_group_table

def held():
    if not ray.is_initialized():
        ray.init(cluster.address, log_to_driver=False)
    whole, free = ray.cluster_resources(), ray.available_resources()
    num_held = whole["CPU"] - free.get("CPU", 0)
    found = [f"{num_held:g} cores"] if num_held else []
    for name, group in placement_group_table().items():
        if group["state"] != "REMOVED":
            found.append(f"placement group {name}")
    return found

num_hosts, num_cpus = map(int, sys.argv[1:])
with tempfile.TemporaryDirectory(prefix="ray-") as folder:
    settings = dict(num_cpus=num_cpus, include_dashboard=False, temp_dir=folder)
    cluster = Cluster(initialize_head=True, head_node_args=settings)
    for _ in range(num_hosts - 1):
        cluster.add_node(num_cpus=num_cpus)
    print(cluster.address, flush=True)
    for _ in sys.stdin:
        print(json.dumps(held()), flush=True)
    if ray.is_initialized():
        ray.shutdown()
    cluster.shutdown()
"""


class RayCluster:
    """A Ray cluster; a context manager. It needs an interpreter that has Ray.

    Args:
      num_hosts: of the cluster.
      num_cpus: that each of them says it has.

    Raises:
      TrialFailed: from its entry; there is no cluster, with the end of what was said.
    """

    def __init__(self, num_hosts: int, num_cpus: int):
        self._words = [str(num_hosts), str(num_cpus)]
        self._said = tempfile.TemporaryFile("w+", errors="replace")

    def __enter__(self) -> RayCluster:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CLUSTER, *self._words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )
        try:
            self._address = self._answer()
        except TrialFailed:
            self._process.kill()
            self.__exit__(None, None, None)
            raise
        return self

    @property
    def config(self) -> RayConfig:
        """For a run on it."""
        from acmelike import RayConfig

        return RayConfig(address=self._address, working_dir=None)

    def held(self) -> list[str]:
        """What of it is held: cores and placement groups; Ray frees them late."""
        limit = time.monotonic() + _FREE_SECONDS
        while True:
            assert self._process.stdin is not None
            self._process.stdin.write("what is held?\n")
            self._process.stdin.flush()
            found: list[str] = json.loads(self._answer())
            if not found or time.monotonic() > limit:
                return found
            time.sleep(1.0)

    def _answer(self) -> str:
        """The next line that its process says."""
        assert self._process.stdout is not None
        found, _, _ = select.select([self._process.stdout], [], [], _ANSWER_SECONDS)
        if found and (line := self._process.stdout.readline().strip()):
            return line
        self._said.seek(0)
        said = "\n".join(self._said.read().strip().splitlines()[-15:])
        raise TrialFailed(f"the Ray cluster does not answer:\n{said}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(60.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._said.close()


class Hosts:
    """The other hosts; a context manager.

    Args:
      num_hosts: with that of the launcher.
      heartbeat: a host that has vanished is found after so many seconds.
    """

    def __init__(self, num_hosts: int, heartbeat: float = 10.0):
        self._num_hosts, self._heartbeat = num_hosts, heartbeat
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
            heartbeat=self._heartbeat,
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
