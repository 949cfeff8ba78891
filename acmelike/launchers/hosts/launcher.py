"""The launcher `hosts`: finds the machines of a run, and places processes on them."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from acmelike.errors import ConfigError
from acmelike.graph import Entry, Handle, Program
from acmelike.launchers.hosts.config import HostsConfig
from acmelike.launchers.hosts.messages import Join
from acmelike.launchers.hosts.remote import RemoteMachine
from acmelike.launchers.hosts.rendezvous import Rendezvous
from acmelike.launchers.node_thread import ProgramSupervisor
from acmelike.launchers.processes.control import ControlConnection
from acmelike.launchers.processes.launcher import ProcessNodes
from acmelike.launchers.processes.machine import LocalMachine, Machine

logger = logging.getLogger("acmelike")

# How long the agents may take to leave when the run is over.
_LEAVE_SECONDS = 3.0


class Hosts:
    """The machines of a run: that of the launcher, and those that join.

    Args:
      config: of the run.
    """

    def __init__(self, config: HostsConfig):
        self._config, self.heartbeat = config, config.heartbeat
        self.is_near = self.is_far = True
        host, port = config.place
        self._local = LocalMachine("host 0", host)
        self._changed = threading.Condition()
        self._by_rank: dict[int, RemoteMachine | None] = {}
        self._places: dict[str, Machine] = {}
        self._groups: dict[str, str | None] = {}
        self._is_closed = False
        self._rendezvous = Rendezvous(
            host, port, config.secret, config.heartbeat, self._admit, self._joined
        )

    def wait_for_all(self) -> None:
        """Returns when all hosts have joined.

        Raises:
          ConfigError: some have not, in time.
        """
        num_others = self._config.num_hosts - 1
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._machines()) == num_others, self._config.join_seconds
            )
            missing = set(range(1, num_others + 1)) - set(self._machines())
        if missing:
            ranks = ", ".join(map(str, sorted(missing)))
            raise ConfigError(
                f"these ranks have not joined at {self._config.rendezvous} within "
                f"{self._config.join_seconds:.0f} s: {ranks}"
            )

    def choose(self, name: str, entries: Mapping[Handle, Entry]) -> Machine:
        """The machine for a process: the one that it had, if that is there.

        Members of a group are spread; other nodes are with the launcher, whose files
        they may write.
        """
        group = next(iter(entries.values())).group
        with self._changed:
            machines: list[Machine] = [self._local]
            if group is not None:
                machines.extend(self._machines().values())
            last = self._places.get(name)
            if last not in machines:
                last = self._emptiest(machines, group)
            self._places[name], self._groups[name] = last, group
            return last

    def close(self, reason: str) -> None:
        """Lets the agents go."""
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
        """Those that are there; the launcher's is the first."""
        with self._changed:
            return [self._local, *self._machines().values()]

    # --- Under the lock

    def _machines(self) -> dict[int, RemoteMachine]:
        """Those of other hosts that are there, by rank."""
        return {
            rank: machine
            for rank, machine in self._by_rank.items()
            if machine is not None and not machine.is_lost
        }

    def _emptiest(self, machines: Sequence[Machine], group: str | None) -> Machine:
        """The machine with fewest processes of a group, and of all others."""
        alike: Counter[Machine] = Counter()
        others: Counter[Machine] = Counter()
        for name, machine in self._places.items():
            counter = alike if self._groups[name] == group else others
            counter[machine] += 1
        return min(machines, key=lambda machine: (alike[machine], others[machine]))

    # --- Called by the rendezvous and by machines

    def _admit(self, join: Join) -> str:
        with self._changed:
            if self._is_closed:
                return "the run is over"
            if not 1 <= join.rank < self._config.num_hosts:
                return f"there are ranks 1 to {self._config.num_hosts - 1}"
            if join.rank in self._by_rank and not join.is_again:
                return f"there is another host of rank {join.rank}"
            last = self._by_rank.get(join.rank)
            if last is not None:
                last.drop("it joins again")  # It has noticed the loss earlier.
            self._by_rank[join.rank] = None
            return ""

    def _joined(self, join: Join, line: ControlConnection) -> None:
        name = f"host {join.rank}"
        machine = RemoteMachine(name, join.ip, line, self._config.heartbeat, self._lost)
        with self._changed:
            self._by_rank[join.rank] = machine
            self._changed.notify_all()
        again = "is back" if join.is_again else "has joined"
        logger.info("%s (%s, %s) %s", name, join.name, join.ip, again)

    def _lost(self, machine: RemoteMachine, why: str) -> None:
        with self._changed:
            for rank, other in self._by_rank.items():
                if other is machine:
                    self._by_rank[rank] = None
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
    """The nodes of a program on several hosts, when all of them have joined.

    Raises:
      ConfigError: one cannot listen at the rendezvous, or a host does not come.
    """
    hosts = Hosts(config)
    try:
        began = time.monotonic()
        hosts.wait_for_all()
        logger.info("all hosts were there after %.1f s", time.monotonic() - began)
        return ProcessNodes(program, supervisor, ended, logs, check, lambda: hosts)
    except BaseException:
        hosts.close("the run could not be started")
        raise
