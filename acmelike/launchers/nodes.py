"""Where the nodes of a program live, and those that live in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from acmelike.core.status import NodeStatus, resident_bytes
from acmelike.errors import ConfigError
from acmelike.graph import (
    Entry,
    Handle,
    NodeSeed,
    Program,
    derive_seed,
    replace_each,
)
from acmelike.launchers.exposed import Endpoint, ExposedNode, ExposedServers
from acmelike.launchers.node_thread import MainThread, NodeThread, RunSupervisor
from acmelike.launchers.scheduler import Scheduler
from acmelike.launchers.update_check import UpdateCheck
from acmelike.rpc import (
    Client,
    Identity,
    Interface,
    Peer,
    Peers,
    Server,
    interface_of,
)


class Nodes(Protocol):
    """The nodes of a program, placed by a launcher."""

    def start(self) -> None:
        """Starts to construct them."""

    def close(self, reason: str) -> None:
        """Ends every wait and every call; may be called again."""

    def join(self, seconds: float) -> list[str]:
        """Waits for all to end, at most `seconds`; says which have not."""

    def status(self) -> dict[str, NodeStatus]:
        """What every node is doing, by label."""

    def scale(self, labels: Sequence[str], wanted: Sequence[str]) -> None:
        """Starts and ends nodes among these, until exactly the wanted ones run."""

    def room(self, labels: Sequence[str]) -> int:
        """How many more nodes like these the hosts have cores for.

        It is below 0 if nodes share cores already.
        """

    def is_started(self, handle: Handle) -> bool:
        """Whether a node was started; some of a group with a size are not."""

    def client(self, handle: Handle) -> Client:
        """A client of a node, for any thread outside the program."""

    def endpoint(self, label: str) -> Endpoint:
        """Where other programs call an exposed node; waits until that is known."""

    def is_work_over(self) -> bool:
        """Whether there were workers, and none of them has anything left to do."""

    def has_only_services(self) -> bool:
        """Whether all nodes have started, and none has work of its own."""


class LocalNodes:
    """Nodes in the threads of this process.

    Args:
      entries: the nodes that live here.
      scheduler: how they run and wait.
      supervisor: gets reports of how they end.
      ended: set when the run ends.
      check: whether to look for a forgotten `updating` in each of them.
      peers: makes clients of nodes that live elsewhere.
      elsewhere: the nodes that live elsewhere; may also contain those that live here.
      incarnation: how often they were started before.
      main: runs the only node in the main thread; None to run each in its own thread.
    """

    def __init__(
        self,
        entries: Mapping[Handle, Entry],
        scheduler: Scheduler,
        supervisor: RunSupervisor,
        ended: threading.Event,
        *,
        check: bool = False,
        peers: Peers | None = None,
        elsewhere: Mapping[Handle, Peer] | None = None,
        incarnation: int = 0,
        main: MainThread | None = None,
    ):
        self._incarnation = incarnation
        self._peers, self._elsewhere = peers, elsewhere or {}
        self._scheduler, self._supervisor = scheduler, supervisor
        self._exposed: ExposedServers | None = None
        self._interfaces = {h: interface_of_node(e) for h, e in entries.items()}
        self._servers = {
            handle: Server(
                entry.label,
                scheduler,
                supervisor,
                is_packed=entry.compression is not None,
            )
            for handle, entry in entries.items()
        }
        self._threads = [
            NodeThread(
                self._constructor(entry),
                entry.node.is_function,
                self._servers[handle],
                entry.group,
                scheduler,
                supervisor,
                ended,
                UpdateCheck(entry.label) if check else None,
                main,
            )
            for handle, entry in entries.items()
        ]

    @property
    def servers(self) -> dict[str, Server]:
        """The servers by label."""
        return {server.label: server for server in self._servers.values()}

    def expose(
        self, nodes: Mapping[str, ExposedNode], identity: Identity | None
    ) -> None:
        """Lets other programs call nodes that live here, before `start`.

        Args:
          nodes: those that are exposed, by label.
          identity: of this process, for TLS; None if none of them needs it.

        Raises:
          ConfigError: a port is taken, or this host has no such ip.
        """
        if nodes:
            self._exposed = ExposedServers(
                nodes, self.servers, self._scheduler, identity, self._fail_exposed
            )

    def _fail_exposed(self, label: str, error: BaseException) -> None:
        self._supervisor.fail(label, "exposed port", error)

    @property
    def endpoints(self) -> dict[str, Endpoint]:
        """Where other programs call the exposed nodes that live here, by label."""
        return {} if self._exposed is None else self._exposed.endpoints

    def scale(self, labels: Sequence[str], wanted: Sequence[str]) -> None:
        raise ConfigError(
            "nodes are started and ended in a run only where they have processes: "
            "launch with 'processes', 'hosts' or 'ray'"
        )

    def room(self, labels: Sequence[str]) -> int:
        return 0

    def endpoint(self, label: str) -> Endpoint:
        return self.endpoints[label]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()
        if self._exposed is not None:
            self._exposed.start()

    def close(self, reason: str) -> None:
        for server in self._servers.values():
            server.close(reason)

    def join(self, seconds: float) -> list[str]:
        limit = time.monotonic() + seconds
        if self._exposed is not None:
            self._exposed.end()
        started = [thread for thread in self._threads if thread.ident is not None]
        for thread in started:
            thread.join(max(0.0, limit - time.monotonic()))
        left = [node for node in started if node.is_alive()]
        # Under `serial` the other nodes only wait for the turn of the working one.
        working = [node for node in left if node.metrics.is_working]
        words = [str(node.status(0)) for node in working or left]
        if self._exposed is not None:
            words += self._exposed.join(max(0.0, limit - time.monotonic()))
        return words

    def status(self) -> dict[str, NodeStatus]:
        memory_bytes = resident_bytes()
        return {thread.label: thread.status(memory_bytes) for thread in self._threads}

    def is_started(self, handle: Handle) -> bool:
        return handle in self._servers

    def client(self, handle: Handle) -> Client:
        return self._client(handle, None)

    def is_work_over(self) -> bool:
        return not self.has_work() and self.has_worker()

    def has_only_services(self) -> bool:
        return not self.has_work() and not self.has_worker()

    def has_work(self) -> bool:
        """Whether a worker here has something left to do, or is being constructed."""
        return any(thread.has_work for thread in self._threads)

    def has_worker(self) -> bool:
        """Whether a node here was found to be a worker."""
        return any(thread.is_worker for thread in self._threads)

    def has_worked(self, label: str) -> bool:
        """Whether a node here has made a step, or has no steps and is constructed.

        A failure before that is usually a mistake in the code, and would happen again.
        """
        thread = next(thread for thread in self._threads if thread.label == label)
        return thread.has_worked

    def _client(self, handle: Handle, owner: str | None) -> Client:
        server = self._servers.get(handle)
        if server is not None:
            return Client(server, self._interfaces[handle], owner)
        assert self._peers is not None
        return self._peers.client(self._elsewhere[handle], owner)

    def _constructor(self, entry: Entry) -> Callable[[], Any]:
        node = entry.node
        clients = _Clients(lambda handle: self._client(handle, entry.label))
        parts = replace_each(
            [node.constructor, node.args, node.kwargs],
            NodeSeed,
            lambda it: derive_seed(it.seed, entry.label, self._incarnation),
        )
        made = replace_each(parts, Handle, clients.__getitem__)
        constructor, args, kwargs = made
        return partial(constructor, *args, **kwargs)


class _Clients(dict[Handle, Client]):
    """Makes one client for each handle, when the handle is first looked up."""

    def __init__(self, make: Callable[[Handle], Client]):
        super().__init__()
        self._make = make

    def __missing__(self, handle: Handle) -> Client:
        self[handle] = client = self._make(handle)
        return client


def interface_of_node(entry: Entry) -> Interface | None:
    """What may be called at a node; None if that is known only when it starts."""
    node = entry.node
    if node.is_function:
        return Interface(node.name, frozenset())
    if isinstance(node.constructor, type):
        return interface_of(node.constructor)
    return None


def describe_deadlock(statuses: Iterable[NodeStatus]) -> str:
    """Says what every node waits for: the words of Deadlock and of its warning."""
    waits = [f"{s.label} {s.activity}" for s in statuses if s.waits_for]
    return "; ".join(["every node waits and nothing can wake one", *waits])


def started_entries(program: Program) -> dict[Handle, Entry]:
    """The nodes that are started with a program."""
    absent = program.absent
    return {
        handle: entry
        for handle, entry in program.entries.items()
        if entry.label not in absent
    }


def processes_of(entries: Mapping[Handle, Entry]) -> dict[str, dict[Handle, Entry]]:
    """The nodes of each process, by its name, where nodes have processes."""
    grouped: dict[str, dict[Handle, Entry]] = {}
    for handle, entry in entries.items():
        grouped.setdefault(entry.process or entry.label, {})[handle] = entry
    return grouped
