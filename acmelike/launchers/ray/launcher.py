"""The launcher `ray`: processes on the hosts of a Ray cluster."""

from __future__ import annotations

import logging
import os
import queue
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from acmelike.checks import is_installed
from acmelike.errors import ConfigError
from acmelike.graph import Entry, Handle, Program, Resources
from acmelike.graph.resources import joined
from acmelike.launchers.hosts.launcher import Hosts
from acmelike.launchers.hosts.rendezvous import guest_certificate
from acmelike.launchers.node_thread import ProgramSupervisor
from acmelike.launchers.nodes import processes_of, started_entries
from acmelike.launchers.processes.control import ControlConnection
from acmelike.launchers.processes.launcher import ProcessNodes
from acmelike.launchers.processes.machine import LocalChild, Machine
from acmelike.launchers.processes.output import pass_on_output
from acmelike.launchers.processes.placement import Seat
from acmelike.launchers.ray.config import RayConfig
from acmelike.launchers.ray.messages import (
    AgentBack,
    Available,
    Bundle,
    Connect,
    Connected,
    GiveBack,
    LetIn,
    Refused,
    Release,
    Released,
    Reserve,
    Reserved,
    Room,
    Withdraw,
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
# How long messages may take, in addition to Ray itself.
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
        # The number of answers that have not come yet; changed under the lock.
        self._asking, self._num_owed = threading.Lock(), 0
        self._rendezvous: tuple[tuple[str, int], float] = ("", 0), 0.0
        self._is_closed = False
        self._folder: str | None = None
        log = None if logs is None else logs / "ray.log"
        output = partial(pass_on_output, self._child.output, "ray", log)
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
        with self._asking:
            self._connection.send(message)
            return self._answer(answer, seconds)

    def _answer(self, answer: type[T], seconds: float) -> T:
        """Waits for the answer to what was sent last; under the lock."""
        limit = time.monotonic() + seconds
        self._num_owed += 1
        while self._num_owed:  # It answers in order, and may owe earlier answers.
            try:
                found = self._answers.get(timeout=max(0, limit - time.monotonic()))
            except queue.Empty:
                if answer is Reserved:  # Otherwise it stays reserved, for nobody.
                    self._connection.send(Withdraw())
                words = f"Ray did not answer within {seconds:.0f} s"
                raise ConfigError(words) from None
            if found is None:
                self._answers.put(None)  # For the next `ask`.
                how = self._child.wait()
                raise ConfigError(f"the process that speaks to Ray: {how}")
            self._num_owed -= 1
        if isinstance(found, Refused):
            raise ConfigError(found.words)
        if isinstance(found, Released) and answer is not Released:
            self._answers.put(found)  # `close` waits for it.
            raise ConfigError("the run is over")
        assert isinstance(found, answer)
        return found

    def let_in(
        self, rank: int, public_key: bytes, place: tuple[str, int], heartbeat: float
    ) -> None:
        """Lets an agent join at a rendezvous, and later the agents that replace it."""
        self._rendezvous = place, heartbeat
        certificate = guest_certificate(self._authority, public_key)
        self._connection.send(LetIn(rank, certificate, place, heartbeat))

    def give_back(self, rank: int) -> None:
        """Ends an agent that has left, and releases what was reserved with it."""
        self._connection.send(GiveBack(rank))

    def make_folder(self) -> str:
        """Makes a folder for the files of the run's own Ray; `close` removes it.

        The process that speaks to Ray cannot remove it if it has to be killed.
        """
        self._folder = tempfile.mkdtemp(prefix="acmelike-ray-")
        return self._folder

    def close(self) -> None:
        """Releases everything in Ray, and ends the process."""
        if self._is_closed:
            return
        self._is_closed = True
        # Before the lock, as its holder may wait for a place; this ends that wait.
        self._connection.send(Release())
        try:
            self._wait_until_released()
        except ConfigError as error:
            logger.warning("Ray has not released everything: %s", error)
            self._child.kill()
        self._child.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        for thread in self._threads:
            thread.join(_RELEASE_SECONDS)
        self._connection.close()

    def _wait_until_released(self) -> None:
        """Waits until a request under way has ended, and for the answer to `Release`.

        Raises:
          ConfigError: it did not come in time, or the process has ended.
        """
        if not self._asking.acquire(timeout=_RELEASE_SECONDS):
            raise ConfigError("it has not answered an earlier question")
        try:
            self._answer(Released, _RELEASE_SECONDS)
        finally:
            self._asking.release()

    def _listen(self) -> None:
        while (message := self._connection.receive()) is not None:
            if isinstance(message, AgentBack):
                self.let_in(message.rank, message.public_key, *self._rendezvous)
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
      place_seconds: see `RayConfig`.
    """

    def __init__(self, hosts: Hosts, ray: RayConnection, place_seconds: float):
        self._hosts, self._ray, self._place_seconds = hosts, ray, place_seconds
        self.heartbeat = hosts.heartbeat
        self.is_near, self.is_far = hosts.is_near, hosts.is_far
        # What was reserved for each process, and the rank of its agent.
        self._seats: dict[str, tuple[int, Resources]] = {}
        # The processes that were added to the run; each has an agent of its own.
        self._added: set[str] = set()
        self._numbers: dict[str, int] = {}  # Of Ray's hosts, for their names here.

    def reserve(self, bundles: Sequence[Bundle]) -> None:
        """Has Ray reserve what processes need; waits for the agents of their hosts.

        Raises:
          ConfigError: Ray cannot reserve it.
        """
        message = Reserve(bundles, self._place_seconds)
        seconds = self._place_seconds + _MESSAGE_SECONDS
        agents = self._ray.ask(message, Reserved, seconds).agents
        names = {}
        for agent in agents:
            number = self._numbers.setdefault(agent.host, len(self._numbers) + 1)
            names[agent.rank] = f"ray host {number}"
            place, heartbeat = self._hosts.place, self.heartbeat
            self._ray.let_in(agent.rank, agent.public_key, place, heartbeat)
            for bundle in (bundles[number] for number in agent.bundles):
                self._seats[bundle.name] = agent.rank, bundle.resources
        self._hosts.wait_for(names, _JOIN_SECONDS)

    @property
    def machines(self) -> Sequence[Machine]:
        return self._hosts.machines

    def choose(self, name: str, entries: Mapping[Handle, Entry]) -> Seat:
        """The seat that Ray has reserved; if its host is lost, another with room."""
        bundles = [] if name in self._seats else make_bundles({name: entries}, 0.0)
        if bundles:
            try:
                self.reserve(bundles)
            except BaseException:
                if name in self._seats:  # It is reserved, but its agent has not come.
                    self._give_back(name)
                raise
            self._added.add(name)
        if name in self._seats:
            rank, resources = self._seats[name]
            machine = self._hosts.machine(rank)
            if machine is not None:
                gpus = machine.capacity.gpus if resources.num_gpus else ()
                seat = Seat(machine, resources, gpus)
                self._hosts.take(name, seat, next(iter(entries.values())).group)
                return seat
        return self._hosts.choose(name, entries)

    def release(self, name: str) -> None:
        """Keeps what was reserved when the run began; releases what came later."""
        self._hosts.release(name)
        try:
            self._added.remove(name)
        except KeyError:
            return  # It was reserved when the run began, or another thread was first.
        self._give_back(name)

    def _give_back(self, name: str) -> None:
        rank, _ = self._seats.pop(name)
        self._hosts.forget(rank)
        self._ray.give_back(rank)

    def room(self, entries: Mapping[Handle, Entry]) -> int:
        resources = joined(entry.resources for entry in entries.values())
        return self._ray.ask(Available(resources), Room, _MESSAGE_SECONDS).number

    def close(self, reason: str) -> None:
        self._hosts.close(reason)
        self._ray.close()


def make_bundles(
    processes: Mapping[str, Mapping[Handle, Entry]], num_gpus: float
) -> list[Bundle]:
    """What processes need of Ray: a bundle for each of them.

    Processes that are not spread are packed on as few hosts as have room. So replay and
    the learner are on one host, and what they send each other stays in its memory. A
    process that is placed at the launcher's host gets no bundle.

    Args:
      processes: the nodes of each, by its name.
      num_gpus: that Ray has; nodes that take one only if there is one get the rest.

    Raises:
      ConfigError: nodes of one process do not fit together.
    """
    needs = {}
    for name, entries in processes.items():
        resources = joined(entry.resources for entry in entries.values())
        group = next(iter(entries.values())).group
        if resources.place is None and group is not None:
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


def place_on_ray(
    program: Program,
    supervisor: ProgramSupervisor,
    ended: threading.Event,
    logs: Path | None,
    check: bool,
    *,
    config: RayConfig,
) -> ProcessNodes:
    """Waits until Ray has reserved places, and puts the nodes of a program there.

    Raises:
      ConfigError: Ray is not installed, cannot be reached or cannot place the nodes.
    """
    if not is_installed("ray"):
        raise ConfigError(
            "the launcher 'ray' needs the package ray: pip install 'acmelike[ray]'"
        )
    authority = Authority()
    ray, hosts = RayConnection(logs, authority), None
    processes = processes_of(started_entries(program))
    try:
        needed = sum(b.resources.num_cpus for b in make_bundles(processes, 0.0))
        address = config.find_cluster()
        folder = ray.make_folder() if address is None else None
        path = tuple(map(str, sys.path))
        connect = Connect(address, folder, needed, config.working_dir, path)
        connected = ray.ask(connect, Connected, _CONNECT_SECONDS)
        logger.info("connected to %s", connected.words)
        hosts = Hosts((connected.ip, 0), authority, {}, config.heartbeat)
        machines = RayMachines(hosts, ray, config.place_seconds)
        bundles = make_bundles(processes, connected.num_gpus)
        if bundles:
            machines.reserve(bundles)
        return ProcessNodes(program, supervisor, ended, logs, check, lambda: machines)
    except BaseException:
        if hosts is not None:
            hosts.close("the run could not be started")
        ray.close()
        raise
