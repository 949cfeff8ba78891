"""The launcher `hosts`: finds the machines of a run, and places processes on them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from acmelike.errors import ConfigError
from acmelike.graph import Entry, Handle, Program
from acmelike.launchers.hosts.config import HostsConfig
from acmelike.launchers.hosts.messages import Join
from acmelike.launchers.hosts.remote import RemoteMachine
from acmelike.launchers.hosts.rendezvous import (
    Rendezvous,
    about_loopback,
    launcher_identity,
)
from acmelike.launchers.node_thread import ProgramSupervisor
from acmelike.launchers.processes.control import ControlConnection
from acmelike.launchers.processes.launcher import ProcessNodes
from acmelike.launchers.processes.machine import LocalMachine, Machine
from acmelike.launchers.processes.placement import Placer, Seat
from acmelike.rpc import Authority

logger = logging.getLogger("acmelike")

# How long the agents may take to leave when the run is over.
_LEAVE_SECONDS = 3.0
# How long an agent waits if it comes before the launcher knows which ranks to expect.
_ADMIT_SECONDS = 5.0


class Hosts:
    """The machines of a run: that of the launcher, and those that join.

    Args:
      place: host and port of the rendezvous; a port of 0 is one that is free.
      authority: signs the certificates that are shown there.
      labels: of the launcher's host.
      heartbeat: see `Machines`.

    Raises:
      ConfigError: the launcher cannot listen there.
    """

    def __init__(
        self,
        place: tuple[str, int],
        authority: Authority,
        labels: Mapping[str, str],
        heartbeat: float,
    ):
        self.heartbeat = heartbeat
        self.is_near = self.is_far = True
        host, port = place
        self._local = LocalMachine("host 0", host, labels)
        self._changed = threading.Condition()
        # The hosts that have joined; None for a host that is just joining.
        self._by_rank: dict[int, RemoteMachine | None] = {}
        # The keys of their agents, to tell an agent that is back from another agent.
        self._keys: dict[int, bytes] = {}
        self._names: Mapping[int, str] = {}
        self._placement = Placer()
        self._is_closed = False
        identity = launcher_identity(authority)
        self._rendezvous = Rendezvous(
            host, port, identity, heartbeat, self._admit, self._joined
        )

    @property
    def place(self) -> tuple[str, int]:
        """Host and port of the rendezvous."""
        return self._rendezvous.place

    def wait_for(self, names: Mapping[int, str], seconds: float) -> None:
        """Lets more hosts join, and returns when all of them have joined.

        Args:
          names: of the hosts, by rank.
          seconds: how long to wait.

        Raises:
          ConfigError: some have not joined in time.
        """
        with self._changed:
            self._names = {**self._names, **names}
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: names.keys() <= self._machines().keys(), seconds
            )
            missing = names.keys() - self._machines().keys()
        if missing:
            ranks = ", ".join(map(str, sorted(missing)))
            where = "{}:{}".format(*self.place)
            raise ConfigError(
                f"these ranks have not joined at {where} within {seconds:.0f} s: "
                f"{ranks}{self._why_missing(missing)}"
            )

    def _why_missing(self, ranks: Iterable[int]) -> str:
        """Why these ranks have not joined, as far as that is known."""
        for rank in sorted(ranks):
            if (why := self._rendezvous.refusals.get(rank)) is not None:
                return f"; rank {rank} was refused: {why}"
        return about_loopback(self.place[0])

    def choose(self, name: str, entries: Mapping[Handle, Entry]) -> Seat:
        """Chooses, among the hosts that have joined, where to start a process."""
        return self._placement.choose(name, entries, self.machines)

    def take(self, name: str, seat: Seat, group: str | None) -> None:
        """Records a seat chosen elsewhere, so that no other process gets it."""
        self._placement.take(name, seat, group)

    def release(self, name: str) -> None:
        """Frees the seat of a process that is not restarted for now."""
        self._placement.release(name)

    def room(self, entries: Mapping[Handle, Entry]) -> int:
        """How many more processes of these nodes the hosts have room for."""
        return self._placement.room(entries, self.machines)

    def forget(self, rank: int) -> None:
        """Releases a host whose processes have ended; it cannot join again."""
        with self._changed:
            self._names = {r: name for r, name in self._names.items() if r != rank}
            machine = self._by_rank.pop(rank, None)
        if machine is not None:
            machine.leave("nothing is left to do here")

    def close(self, reason: str) -> None:
        """Releases all hosts; their agents leave the run."""
        with self._changed:
            self._is_closed = True
            machines = list(self._machines().values())
        self._rendezvous.close()
        for machine in machines:
            machine.leave(reason)
        for machine in machines:
            machine.join(_LEAVE_SECONDS)
        self._local.close()

    @property
    def machines(self) -> list[Machine]:
        """The machines that have joined; the launcher's is the first."""
        with self._changed:
            return [self._local, *self._machines().values()]

    def machine(self, rank: int) -> Machine | None:
        """The machine of a rank; None if it has not joined, or is lost."""
        with self._changed:
            return self._machines().get(rank)

    # --- Under the lock

    def _machines(self) -> dict[int, RemoteMachine]:
        """The machines of the other hosts that have joined, by rank."""
        return {
            rank: machine
            for rank, machine in self._by_rank.items()
            if machine is not None and not machine.is_lost
        }

    # --- Called by the rendezvous and by machines

    def _admit(self, join: Join) -> str:
        with self._changed:
            if self._is_closed:
                return "the run is over"
            # An agent may come before the launcher knows which ranks to expect.
            self._changed.wait_for(lambda: bool(self._names), _ADMIT_SECONDS)
            if join.rank not in self._names:
                return f"there are ranks 1 to {max(self._names, default=0)}"
            is_taken = join.rank in self._by_rank
            if is_taken and join.public_key != self._keys[join.rank]:
                return f"there is another host of rank {join.rank}"
            last = self._by_rank.get(join.rank)
            if last is not None:
                last.drop("it joins again")  # The agent noticed the loss first.
            self._by_rank[join.rank] = None
            self._keys[join.rank] = join.public_key
            return ""

    def _joined(self, join: Join, line: ControlConnection) -> None:
        name = self._names.get(join.rank, f"host {join.rank}")
        machine = RemoteMachine(
            name, join.ip, join.capacity, line, self.heartbeat, self._lost
        )
        with self._changed:
            is_late = self._is_closed or join.rank not in self._names
            if not is_late and not machine.is_lost:
                self._by_rank[join.rank] = machine
            elif self._by_rank.get(join.rank) is None:
                self._by_rank.pop(join.rank, None)  # Otherwise the rank stays taken.
            self._changed.notify_all()
        if is_late:
            machine.leave("the run is over")
            return
        again = "is back" if join.is_again else "has joined"
        logger.info("%s (%s, %s) %s", name, join.name, join.ip, again)

    def _lost(self, machine: RemoteMachine, why: str) -> None:
        with self._changed:
            for rank, other in list(self._by_rank.items()):
                if other is machine:
                    del self._by_rank[rank]  # Another agent may take it.
        logger.warning("%s is lost: %s", machine.name, why)


def place_on_hosts(
    program: Program,
    supervisor: ProgramSupervisor,
    ended: threading.Event,
    logs: Path | None,
    check: bool,
    *,
    config: HostsConfig,
) -> ProcessNodes:
    """Waits until all hosts have joined, and places the nodes of a program there.

    Raises:
      ConfigError: the launcher cannot listen at the rendezvous, or a host is missing.
    """
    authority = Authority(config.secret)
    hosts = Hosts(config.place, authority, config.labels, config.heartbeat)
    try:
        began = time.monotonic()
        names = {rank: f"host {rank}" for rank in range(1, config.num_hosts)}
        if names:
            logger.info(
                "waiting for %s at %s%s",
                ", ".join(names.values()),
                config.rendezvous,
                about_loopback(config.place[0]),
            )
        hosts.wait_for(names, config.join_seconds)
        logger.info("all hosts were there after %.1f s", time.monotonic() - began)
        return ProcessNodes(program, supervisor, ended, logs, check, lambda: hosts)
    except BaseException:
        hosts.close("the run could not be started")
        raise
