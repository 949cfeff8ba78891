"""The launcher `ray`: processes on the hosts of a Ray cluster."""

from __future__ import annotations

import importlib.util
import logging
import os
import queue
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from acmelike.errors import ConfigError
from acmelike.graph import Entry, Handle, Program, Resources
from acmelike.graph.resources import joined
from acmelike.launchers.hosts.launcher import Hosts
from acmelike.launchers.hosts.rendezvous import guest_certificate
from acmelike.launchers.node_thread import ProgramSupervisor
from acmelike.launchers.processes.control import ControlConnection
from acmelike.launchers.processes.launcher import ProcessNodes
from acmelike.launchers.processes.machine import LocalChild, Machine
from acmelike.launchers.processes.output import pass_on_output
from acmelike.launchers.processes.placement import Seat
from acmelike.launchers.ray.config import RayConfig
from acmelike.launchers.ray.messages import (
    AgentBack,
    AgentKey,
    Bundle,
    Connect,
    Connected,
    LetBackIn,
    LetIn,
    Refused,
    Release,
    Released,
    Reserve,
    Reserved,
)
from acmelike.rpc import Authority

logger = logging.getLogger("acmelike")

T = TypeVar("T")

# How long Ray may take to start, and to connect to a cluster.
_CONNECT_SECONDS = 120.0
# How long all agents may take to join, once Ray has started them.
_JOIN_SECONDS = 60.0
# How long Ray may take to give everything back.
_RELEASE_SECONDS = 10.0
# Beyond what Ray may take itself, for messages.
_MESSAGE_SECONDS = 90.0


class RayConnection:
    """The process that speaks to Ray; see `broker`.

    Args:
      logs: the folder for what it prints, or None.
      authority: signs the keys of agents.
    """

    def __init__(self, logs: Path | None, authority: Authority):
        self._authority = authority
        variables = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self._child = LocalChild("ray", variables, "acmelike.launchers.ray.broker")
        self._connection = ControlConnection(self._child.control)
        self._answers: queue.Queue[Any] = queue.Queue()
        self._is_closed = False
        output = partial(pass_on_output, self._child.output, "ray", logs)
        self._threads = [
            threading.Thread(target=output, name="output of ray", daemon=True),
            threading.Thread(target=self._listen, name="Ray", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def ask(self, message: Any, answer: type[T], seconds: float) -> T:
        """Sends a message, and returns the answer.

        Raises:
          ConfigError: Ray refuses, does not answer in time, or has ended.
        """
        self._connection.send(message)
        try:
            found = self._answers.get(timeout=seconds)
        except queue.Empty:
            raise ConfigError(f"Ray did not answer within {seconds:.0f} s") from None
        if isinstance(found, answer):
            return found
        if isinstance(found, Refused):
            raise ConfigError(found.words)
        raise ConfigError(f"the process that speaks to Ray: {self._child.wait()}")

    def let_in(
        self, agents: Sequence[AgentKey], place: tuple[str, int], heartbeat: float
    ) -> None:
        """Lets agents join at a rendezvous, and those that take their places later."""
        keys = [agent.public_key for agent in agents]
        certificates = [guest_certificate(self._authority, key) for key in keys]
        self._connection.send(LetIn(place, certificates, heartbeat))

    def close(self) -> None:
        """Gives everything back to Ray, and ends the process."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self.ask(Release(), Released, _RELEASE_SECONDS)
        except ConfigError as error:
            logger.warning("Ray has not released everything: %s", error)
            self._child.kill()
        self._child.wait()
        self._child.kill_left()
        for thread in self._threads:
            thread.join(_RELEASE_SECONDS)
        self._connection.close()

    def _listen(self) -> None:
        while (message := self._connection.receive()) is not None:
            if isinstance(message, AgentBack):
                certificate = guest_certificate(self._authority, message.public_key)
                self._connection.send(LetBackIn(message.rank, certificate))
            else:
                self._answers.put(message)
        self._answers.put(None)
        if not self._is_closed:
            how = self._child.wait()
            logger.warning("Ray is lost (%s); the run goes on without it", how)


class RayMachines:
    """The machines of a run: that of the launcher, and those that Ray has reserved.

    Args:
      hosts: where the agents join.
      ray: closed with the run.
      seats: for each process that is not at the launcher's host, the rank of its agent
        and what was reserved for it.
    """

    def __init__(
        self,
        hosts: Hosts,
        ray: RayConnection,
        seats: Mapping[str, tuple[int, Resources]],
    ):
        self._hosts, self._ray, self._seats = hosts, ray, seats
        self.heartbeat = hosts.heartbeat
        self.is_near, self.is_far = hosts.is_near, hosts.is_far

    @property
    def machines(self) -> Sequence[Machine]:
        return self._hosts.machines

    def choose(self, name: str, entries: Mapping[Handle, Entry]) -> Seat:
        """Where Ray has reserved it; if that host is lost, where there is room."""
        if name in self._seats:
            rank, resources = self._seats[name]
            machine = self._hosts.machine(rank)
            if machine is not None:
                gpus = machine.capacity.gpus if resources.num_gpus else ()
                return Seat(machine, resources, gpus)
        return self._hosts.choose(name, entries)

    def close(self, reason: str) -> None:
        self._hosts.close(reason)
        self._ray.close()


def make_bundles(program: Program, num_gpus: float) -> list[Bundle]:
    """What a program needs of Ray: a bundle for each process.

    Those that are not spread are packed on as few hosts as have room. So replay and the
    learner are together, and what they send each other stays in the memory of one host.
    What is placed at the launcher's host is not reserved.

    Args:
      program: to be launched.
      num_gpus: that Ray has; the first nodes that take one if there is one get them.

    Raises:
      ConfigError: nodes of one process do not fit together.
    """
    processes: dict[str, list[Entry]] = {}
    for entry in program.entries.values():
        processes.setdefault(entry.process or entry.label, []).append(entry)
    needs = {}
    for name, entries in processes.items():
        resources = joined(entry.resources for entry in entries)
        if resources.place is None and entries[0].group is not None:
            resources = replace(resources, place="spread")
        if resources.place != "launcher":
            needs[name] = resources
    num_gpus -= sum(resources.num_gpus or 0 for resources in needs.values())
    bundles = []
    for name, resources in needs.items():
        if resources.num_gpus is None:
            resources = replace(resources, num_gpus=1 if num_gpus >= 1 else 0)
            num_gpus -= resources.num_gpus or 0
        bundles.append(Bundle(name, resources))
    return bundles


def _names(agents: Sequence[AgentKey]) -> dict[int, str]:
    """The hosts of the agents, by rank."""
    numbers: dict[str, int] = {}
    names = {}
    for rank, agent in enumerate(agents, 1):
        number = numbers.setdefault(agent.host, len(numbers) + 1)
        names[rank] = f"ray host {number}"
    return names


def place_on_ray(
    program: Program,
    supervisor: ProgramSupervisor,
    ended: threading.Event,
    logs: Path | None,
    check: bool,
    *,
    config: RayConfig,
) -> ProcessNodes:
    """The nodes of a program on the hosts of Ray, when their places are reserved.

    Raises:
      ConfigError: Ray is not installed, cannot be reached or cannot place the nodes.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(
            "the launcher 'ray' needs the package ray: pip install 'acmelike[ray]'"
        )
    authority = Authority()
    ray, hosts = RayConnection(logs, authority), None
    try:
        needed = sum(bundle.resources.num_cpus for bundle in make_bundles(program, 0))
        connect = Connect(
            config.address, needed, config.working_dir, tuple(map(str, sys.path))
        )
        connected = ray.ask(connect, Connected, _CONNECT_SECONDS)
        logger.info("connected to %s", connected.words)
        bundles = make_bundles(program, connected.num_gpus)
        reserve = Reserve(bundles, config.place_seconds)
        seconds = config.place_seconds + _MESSAGE_SECONDS
        agents = ray.ask(reserve, Reserved, seconds).agents
        hosts = Hosts((connected.ip, 0), authority, {}, config.heartbeat)
        ray.let_in(agents, hosts.place, config.heartbeat)
        hosts.wait_for(_names(agents), _JOIN_SECONDS)
        seats = {
            bundles[number].name: (rank, bundles[number].resources)
            for rank, agent in enumerate(agents, 1)
            for number in agent.bundles
        }
        machines = RayMachines(hosts, ray, seats)
        return ProcessNodes(program, supervisor, ended, logs, check, lambda: machines)
    except BaseException:
        if hosts is not None:
            hosts.close("the run could not be started")
        ray.close()
        raise
