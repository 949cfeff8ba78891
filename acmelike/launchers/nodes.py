"""Where the nodes of a program live, and those that live in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol

from acmelike.core.status import NodeStatus, resident_bytes
from acmelike.errors import RunError
from acmelike.graph import Entry, Handle, replace_handles
from acmelike.launchers.node_thread import NodeThread, RunSupervisor
from acmelike.launchers.scheduler import Scheduler
from acmelike.rpc import Client, Server


class NodesSupervisor(RunSupervisor, Protocol):
    """What nodes report to."""

    def break_off(self, failure: RunError) -> None:
        """Something that is no single node's fault ended the run."""


class Nodes(Protocol):
    """The nodes of a program, placed by a launcher."""

    def start(self) -> None:
        """Begins to construct them."""

    def close(self, reason: str) -> None:
        """Ends every wait and every call; may be called again."""

    def join(self, seconds: float) -> list[str]:
        """Waits for all to end, at most `seconds`; says who has not."""

    def status(self) -> dict[str, NodeStatus]:
        """What every node is doing, by label."""

    def client(self, handle: Handle) -> Client:
        """A client of a node, for a caller outside the program."""

    def is_work_over(self) -> bool:
        """Whether there were workers, and none of them has anything left to do."""


class LocalNodes:
    """Nodes in the threads of this process.

    Args:
      entries: the nodes that live here.
      scheduler: how they run and wait.
      supervisor: told how they end.
      ended: set when the run ends.
      client_elsewhere: makes clients of nodes that do not live here.
    """

    def __init__(
        self,
        entries: Mapping[Handle, Entry],
        scheduler: Scheduler,
        supervisor: RunSupervisor,
        ended: threading.Event,
        client_elsewhere: Callable[[Handle], Client] | None = None,
    ):
        self._client_elsewhere = client_elsewhere
        self._servers = {
            handle: Server(entry.label, scheduler, supervisor)
            for handle, entry in entries.items()
        }
        self._threads = [
            NodeThread(
                self._constructor(entry),
                self._servers[handle],
                entry.group,
                scheduler,
                supervisor,
                ended,
            )
            for handle, entry in entries.items()
        ]

    @property
    def servers(self) -> dict[str, Server]:
        """The servers by label."""
        return {server.label: server for server in self._servers.values()}

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self, reason: str) -> None:
        for server in self._servers.values():
            server.close(reason)

    def join(self, seconds: float) -> list[str]:
        limit = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, limit - time.monotonic()))
        left = [node for node in self._threads if node.is_alive()]
        # Under `serial` the others only wait for the turn of the one that works.
        working = [node for node in left if node.metrics.phase == "working"]
        return [str(node.status(0)) for node in working or left]

    def status(self) -> dict[str, NodeStatus]:
        memory_bytes = resident_bytes()
        return {thread.label: thread.status(memory_bytes) for thread in self._threads}

    def client(self, handle: Handle) -> Client:
        if handle in self._servers:
            return Client(self._servers[handle])
        assert self._client_elsewhere is not None
        return self._client_elsewhere(handle)

    def is_work_over(self) -> bool:
        if any(thread.has_work for thread in self._threads):
            return False
        return any(thread.is_worker for thread in self._threads)

    def has_work(self) -> bool:
        """Whether a worker here has something left to do, or is still being made."""
        return any(thread.has_work for thread in self._threads)

    def has_worker(self) -> bool:
        """Whether a node here was found to be a worker."""
        return any(thread.is_worker for thread in self._threads)

    def _constructor(self, entry: Entry) -> Callable[[], Any]:
        node, clients = entry.node, _Clients(self.client)
        args, kwargs = replace_handles([node.args, node.kwargs], clients.__getitem__)
        return partial(node.constructor, *args, **kwargs)


class _Clients(dict[Handle, Client]):
    """One client for each handle, made when it is first met."""

    def __init__(self, make: Callable[[Handle], Client]):
        super().__init__()
        self._make = make

    def __missing__(self, handle: Handle) -> Client:
        self[handle] = client = self._make(handle)
        return client


def describe_standstill(statuses: Iterable[NodeStatus]) -> str:
    """Says for every node what it waits for: the words of Deadlock and its warning."""
    waits = [f"{s.label} {s.activity}" for s in statuses if s.waits_for]
    return "; ".join(["every node waits and nothing can wake one", *waits])
