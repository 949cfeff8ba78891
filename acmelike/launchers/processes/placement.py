"""Which machine each process is started on."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from acmelike.errors import ConfigError
from acmelike.graph import Entry, Handle, Resources
from acmelike.graph.resources import joined
from acmelike.launchers.processes.machine import LocalMachine, Machine
from acmelike.rpc import HEARTBEAT_SECONDS, checked_heartbeat

# Sums of parts of GPUs, such as ten times 0.1, are exact to this.
_SMALL = 1e-6


class Seat(NamedTuple):
    """Where a process is placed.

    Attributes:
      machine: starts the process.
      resources: what the process gets there.
      gpus: the GPUs that it sees, as `Capacity` names them.
    """

    machine: Machine
    resources: Resources
    gpus: tuple[str, ...]


class Machines(Protocol):
    """The machines of a run.

    Attributes:
      heartbeat: the loss of a host is noticed after so many seconds at most.
      is_near: whether processes of one host share sockets and memory.
      is_far: whether there may be other hosts, for which processes need certificates.
    """

    heartbeat: float
    is_near: bool
    is_far: bool

    @property
    def machines(self) -> Sequence[Machine]:
        """The machines that are available; the launcher's is the first."""

    def choose(self, name: str, entries: Mapping[Handle, Entry]) -> Seat:
        """Chooses where the process of some nodes is started.

        Args:
          name: of the process. It may have been started before, and have failed.
          entries: its nodes.

        Raises:
          ConfigError: no machine has what they need.
        """

    def release(self, name: str) -> None:
        """Frees the seat of a process that has ended and is not restarted for now."""

    def room(self, entries: Mapping[Handle, Entry]) -> int:
        """How many more processes of these nodes there is room for.

        It is below 0 if processes share cores already.
        """

    def close(self, reason: str) -> None:
        """Releases the machines; the run is over, and all processes have ended."""


class _Taken(NamedTuple):
    """A seat, and the group of the nodes that have it."""

    seat: Seat
    group: str | None


class Placer:
    """Places the processes of a run, each on a machine that has what it needs.

    Processes share cores where there are too few. GPUs and memory are given out only
    once, and labels have to match.
    """

    def __init__(self) -> None:
        # Threads that restart processes and threads that scale a group take it.
        self._lock = threading.Lock()
        self._taken: dict[str, _Taken] = {}

    def choose(
        self, name: str, entries: Mapping[Handle, Entry], machines: Sequence[Machine]
    ) -> Seat:
        """A seat for a process: the one that it had, if its machine is still there.

        Args:
          name: of the process.
          entries: its nodes.
          machines: those that are there, that of the launcher first.

        Raises:
          ConfigError: no machine has what the nodes need.
        """
        needs = joined(entry.resources for entry in entries.values())
        first = next(iter(entries.values()))
        with self._lock:
            taken = self._taken.get(name)
            if taken is None or taken.seat.machine not in machines:
                self._taken.pop(name, None)
                seat = self._seat(first.label, needs, first.group, machines)
                taken = self._taken[name] = _Taken(seat, first.group)
            return taken.seat

    def take(self, name: str, seat: Seat, group: str | None) -> None:
        """Records a seat chosen elsewhere, so that no other process gets it."""
        with self._lock:
            self._taken[name] = _Taken(seat, group)

    def release(self, name: str) -> None:
        """Frees the seat of a process for others."""
        with self._lock:
            self._taken.pop(name, None)

    def room(self, entries: Mapping[Handle, Entry], machines: Sequence[Machine]) -> int:
        """How many more processes of these nodes there is room for.

        It is below 0 where nodes of the group share cores already.

        Args:
          entries: the nodes of one such process.
          machines: those that are there.
        """
        needs = joined(entry.resources for entry in entries.values())
        group, room = next(iter(entries.values())).group, 0
        with self._lock:
            for machine in machines:
                if needs.labels.items() <= machine.capacity.labels.items():
                    free = (1 - self._load(machine)) * machine.capacity.num_cpus
                    number = math.floor(free / needs.num_cpus + _SMALL)
                    number = min(number, self._room_besides_cores(machine, needs))
                    # Ending nodes of other groups would not help this group.
                    room += max(number, -self._num_of(machine, group))
            return room

    def _seat(
        self,
        label: str,
        needs: Resources,
        group: str | None,
        machines: Sequence[Machine],
    ) -> Seat:
        place = needs.place or (None if group is None else "spread")
        allowed = machines[:1] if place == "launcher" else machines
        if needs.num_gpus is None:
            wanted = replace(needs, num_gpus=1)
            if not any(self._has_room(machine, wanted) for machine in allowed):
                wanted = replace(needs, num_gpus=0)
            needs = wanted
        fitting = [machine for machine in allowed if self._has_room(machine, needs)]
        if not fitting:
            raise ConfigError(self._refusal(label, needs, allowed))
        if place == "spread":
            chosen = min(fitting, key=lambda m: (self._num_of(m, group), self._load(m)))
        elif place == "pack":
            free = [m for m in fitting if self._load(m, needs.num_cpus) <= 1]
            chosen = max(free, key=self._load) if free else min(fitting, key=self._load)
        else:
            chosen = fitting[0]
        return Seat(chosen, needs, self._free_gpus(chosen, needs.num_gpus or 0))

    def _on(self, machine: Machine) -> list[_Taken]:
        return [each for each in self._taken.values() if each.seat.machine is machine]

    def _num_of(self, machine: Machine, group: str | None) -> int:
        return sum(each.group == group for each in self._on(machine))

    def _load(self, machine: Machine, more: float = 0) -> float:
        """The share of a machine's cores that its processes need."""
        cpus = sum(each.seat.resources.num_cpus for each in self._on(machine))
        return (cpus + more) / machine.capacity.num_cpus

    def _has_room(self, machine: Machine, needs: Resources) -> bool:
        capacity = machine.capacity
        memory = sum(each.seat.resources.memory_bytes for each in self._on(machine))
        return (
            needs.labels.items() <= capacity.labels.items()
            and memory + needs.memory_bytes <= capacity.memory_bytes
            and (not needs.num_gpus or bool(self._free_gpus(machine, needs.num_gpus)))
        )

    def _room_besides_cores(self, machine: Machine, needs: Resources) -> int:
        """The most processes that a machine has memory and GPUs for."""
        if not self._has_room(machine, needs):
            return 0
        if needs.num_gpus:
            return 1  # The caller asks again after each start.
        if not needs.memory_bytes:
            return sys.maxsize
        taken = sum(each.seat.resources.memory_bytes for each in self._on(machine))
        return int((machine.capacity.memory_bytes - taken) // needs.memory_bytes)

    def _free_gpus(self, machine: Machine, num_gpus: float) -> tuple[str, ...]:
        """GPUs of a machine for a process; none if it has too few."""
        used = dict.fromkeys(machine.capacity.gpus, 0.0)
        for each in self._on(machine):
            for gpu in each.seat.gpus:
                used[gpu] += min(1.0, each.seat.resources.num_gpus or 0)
        share, number = min(1.0, num_gpus), max(1, round(num_gpus))
        # The fullest first, so that whole ones stay free.
        fullest = sorted(used, key=lambda gpu: -used[gpu])
        free = [gpu for gpu in fullest if used[gpu] + share <= 1 + _SMALL]
        return tuple(free[:number]) if num_gpus and len(free) >= number else ()

    def _refusal(
        self, label: str, needs: Resources, machines: Sequence[Machine]
    ) -> str:
        has = "; ".join(
            f"{machine.name or 'this host'}: {machine.capacity}"
            f"{self._words_of_taken(machine)}"
            for machine in machines
        )
        return f"no host has what node '{label}' needs ({needs}); there are {has}"

    def _words_of_taken(self, machine: Machine) -> str:
        gpus = sum(each.seat.resources.num_gpus or 0 for each in self._on(machine))
        memory = sum(each.seat.resources.memory_bytes for each in self._on(machine))
        if not gpus and not memory:
            return ""
        return f" (other nodes have {gpus:g} of the gpus and {memory / 1e9:.3g} GB)"


class OneHost:
    """The machine of the launcher alone; see `Machines`.

    Args:
      far_ip: where processes listen, as if the others were on other hosts; None for
        sockets and memory of this host.
      heartbeat: see `Machines`.

    Raises:
      ConfigError: `heartbeat` is out of range.
    """

    def __init__(self, far_ip: str | None = None, heartbeat: float = HEARTBEAT_SECONDS):
        self.machines = [LocalMachine("", far_ip)]
        self._placement = Placer()
        self.heartbeat = checked_heartbeat(heartbeat)
        self.is_far = far_ip is not None
        self.is_near = not self.is_far

    def choose(self, name: str, entries: Mapping[Handle, Entry]) -> Seat:
        return self._placement.choose(name, entries, self.machines)

    def release(self, name: str) -> None:
        self._placement.release(name)

    def room(self, entries: Mapping[Handle, Entry]) -> int:
        return self._placement.room(entries, self.machines)

    def close(self, reason: str) -> None:
        self.machines[0].close()
