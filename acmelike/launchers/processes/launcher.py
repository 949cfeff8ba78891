"""The launcher `processes`: an interpreter for every node, on this machine."""

from __future__ import annotations

import ipaddress
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from acmelike.core.runtime import seconds_left
from acmelike.core.status import NodeStatus
from acmelike.errors import ConfigError, ProcessDied, RpcClosed, RpcTimeout
from acmelike.graph import Entry, Handle, Program
from acmelike.graph.resources import count
from acmelike.launchers.exposed import Endpoint, exposed_nodes
from acmelike.launchers.node_thread import ProgramSupervisor
from acmelike.launchers.nodes import interface_of_node, processes_of
from acmelike.launchers.processes.control import (
    Assignment,
    FailureReport,
    ListenReport,
    SigningRequest,
    StatusReply,
    StopReport,
    WorkReport,
)
from acmelike.launchers.processes.machine import KILLED_SECONDS, Machine
from acmelike.launchers.processes.output import log_files
from acmelike.launchers.processes.placement import Machines, OneHost, Seat
from acmelike.launchers.processes.process import Process
from acmelike.launchers.processes.restarts import Failure
from acmelike.launchers.processes.supervised import Supervised
from acmelike.launchers.scheduler import ClockAlarm
from acmelike.rpc import (
    Address,
    AddressBook,
    Authority,
    Client,
    Credentials,
    Identity,
    Peer,
    Peers,
    from_wire,
    new_key,
    require_compression,
)

# How old a status may be if a process is too busy to answer.
_STATUS_SECONDS = 3.0
# How long a process that can be restarted may neither answer nor compute. `status`
# checks this, and above all the watch of a run calls it.
_SILENT_SECONDS = 10.0
# How much longer than the heartbeat on another host, which may be cut off.
_CUT_OFF_SECONDS = 5.0
# How long a process that is not wanted for now may take to end.
_RETIRE_SECONDS = 10.0
# How long the thread that restarts processes may take to end.
_END_SECONDS = 3.0

# The prefix of the reason that `close` gets.
_ENDED = "the run ended: "

logger = logging.getLogger("acmelike")


class ProcessNodes:
    """The nodes of a program in processes of their own.

    Nodes are sent as data to fresh interpreters. Each process reports the address at
    which it listens. When all have reported, every process gets all addresses. Over a
    control connection each process hears that the run is over. When that connection
    closes, each side knows that the other has died.

    Args:
      program: what to run.
      supervisor: gets reports of how nodes end.
      ended: set when the run ends.
      logs: the folder for what processes print, or None.
      check: not used here; `launch` refuses it.
      make_machines: makes the machines that processes are placed on.

    Raises:
      ConfigError: a package for TLS or compression is not installed, or no machine has
        what a node needs.
    """

    def __init__(
        self,
        program: Program,
        supervisor: ProgramSupervisor,
        ended: threading.Event,
        logs: Path | None,
        check: bool,
        make_machines: Callable[[], Machines] = OneHost,
    ):
        self._supervisor, self._ended = supervisor, ended
        self._machines = make_machines()
        self._exposed = exposed_nodes(program)
        has_tls = any(node.exposure.tls for node in self._exposed.values())
        is_far = self._machines.is_far
        self._authority = Authority() if is_far or has_tls else None
        for entry in program.entries.values():
            if is_far and entry.compression is not None:
                require_compression(entry.label)
        self._endpoints: dict[str, Endpoint] = {}
        self._entries = {
            handle: Peer(
                entry.label, interface_of_node(entry), entry.compression is not None
            )
            for handle, entry in program.entries.items()
        }
        self._lock = threading.Lock()
        self._answered = threading.Condition(self._lock)
        self._number = 0
        self._addresses: dict[str, Address] = {}
        self._book_version = 0
        self._credentials = Credentials(new_key(), self._new_identity())
        self._peers = Peers(self._credentials, self._machines.heartbeat)
        self._reason: str | None = None
        self._log_files: dict[str, Path] = {}
        self._alarm = ClockAlarm("restarts", self._start_due)
        grouped = processes_of(program.entries)
        if logs is not None:
            self._log_files = {
                name: logs / file for name, file in log_files(grouped).items()
            }
        self._supervised: dict[str, Supervised] = {}
        # Nodes that may be started later, each in a process of its own.
        self._absent = {label: grouped.pop(label) for label in program.absent}
        self._scaling = threading.Lock()
        called = {callee for _, callee in program.edges()}
        try:
            for name, entries in grouped.items():
                seat = self._machines.choose(name, entries)
                process = self._new_process(name, entries, 0, seat)
                is_called = any(entry.label in called for entry in entries.values())
                self._supervised[name] = Supervised(process, is_called)
        except BaseException:
            self.join(0.0)
            raise
        self._warn_of_idle_gpus()

    def start(self) -> None:
        for process in self._processes():
            process.start(self._assignment(process))

    def close(self, reason: str) -> None:
        with self._answered:
            self._reason = self._reason or reason
            self._answered.notify_all()
        self._peers.end(self._reason)
        words = self._reason.removeprefix(_ENDED)
        for process in self._processes():
            process.end(words)

    def join(self, seconds: float) -> list[str]:
        limit = time.monotonic() + seconds
        left = []
        for process in self._processes():
            if not process.is_over.wait(max(0.0, limit - time.monotonic())):
                left.append(process.name)
                process.kill()
        limit = time.monotonic() + KILLED_SECONDS
        for process in self._processes():
            process.dispose(max(0.0, limit - time.monotonic()))
        self._alarm.close()
        self._alarm.join(_END_SECONDS)
        self._machines.close((self._reason or "").removeprefix(_ENDED))
        self._peers.close()
        self._peers.dispose()
        return left

    def status(self) -> dict[str, NodeStatus]:
        with self._lock:
            self._number = number = self._number + 1
        running = [p for p in self._processes() if not p.is_over.is_set()]
        asked = [process for process in running if process.ask(number)]
        with self._answered:
            self._answered.wait_for(
                lambda: all(
                    process.answered >= number or process.is_over.is_set()
                    for process in asked
                ),
                _STATUS_SECONDS,
            )
        for process in running:
            self._end_if_silent(process)
        with self._lock:
            nodes: dict[str, NodeStatus] = {}
            for supervised in self._supervised.values():
                nodes |= supervised.status()
        return with_reasons(nodes)

    def scale(self, labels: Sequence[str], wanted: Sequence[str]) -> None:
        with self._scaling:
            with self._lock:
                running = {
                    label
                    for label in labels
                    if label in self._supervised
                    and not self._supervised[label].is_retired
                }
            surplus = [label for label in labels if label in running - set(wanted)]
            retired = [self._retire(label) for label in surplus]
            for process in retired:
                if not process.is_over.wait(_RETIRE_SECONDS):
                    process.kill()
                    process.is_over.wait(_RETIRE_SECONDS)
            for label in surplus:
                self._machines.release(label)
            for label in wanted:
                if label not in running:
                    self._add(label)
            self._announce()  # All wanted nodes may be there by now.
        if self.is_work_over():  # The last nodes with work may have been ended.
            self._supervisor.work_ended()

    def room(self, labels: Sequence[str]) -> int:
        label = labels[-1]
        if label in self._absent:
            return self._machines.room(self._absent[label])
        return self._machines.room(self._supervised[label].process.entries)

    def _retire(self, label: str) -> Process:
        """Ends the process of a node that is not wanted for now."""
        with self._lock:
            supervised = self._supervised[label]
            supervised.is_retired, supervised.starts_at = True, None
            process = supervised.process
        process.end("the group is smaller now")
        return process

    def _add(self, label: str) -> None:
        """Starts a node that was absent, or retired."""
        supervised = self._supervised.get(label)
        if supervised is not None:
            self._start_again(supervised, supervised.process, was_retired=True)
            return
        entries = self._absent[label]

        def make(seat: Seat) -> Process | None:
            if self._reason is not None:
                return None
            process = self._new_process(label, entries, 0, seat)
            self._supervised[label] = Supervised(process, is_called=False)
            return process

        self._start_placed(label, entries, make)

    def is_started(self, handle: Handle) -> bool:
        label = self._entries[handle].label
        with self._lock:
            supervised = self._supervised.get(label)
        if supervised is None:  # Or it shares a process, which has another name.
            return label not in self._absent
        return not supervised.is_retired

    def client(self, handle: Handle) -> Client:
        return self._peers.client(self._entries[handle], None)

    def endpoint(self, label: str) -> Endpoint:
        with self._answered:
            is_over = self._answered.wait_for(
                lambda: label in self._endpoints or self._reason, seconds_left()
            )
            if label in self._endpoints:
                return self._endpoints[label]
            if not is_over:
                raise RpcTimeout(f"{label}: the processes of the run are starting")
            raise RpcClosed(self._reason or "the run ended")

    def is_work_over(self) -> bool:
        return not self._has_work() and self._has_worker()

    def has_only_services(self) -> bool:
        return not self._has_work() and not self._has_worker()

    def _has_work(self) -> bool:
        return any(process.has_work for process in self._wanted())

    def _has_worker(self) -> bool:
        return any(process.has_worker for process in self._wanted())

    def _wanted(self) -> list[Process]:
        with self._lock:
            supervised = self._supervised.values()
            return [each.process for each in supervised if not each.is_retired]

    # --- Its processes

    def _processes(self) -> list[Process]:
        with self._lock:
            return [supervised.process for supervised in self._supervised.values()]

    def _new_process(
        self,
        name: str,
        entries: Mapping[Handle, Entry],
        incarnation: int,
        seat: Seat,
    ) -> Process:
        return Process(
            name,
            entries,
            incarnation=incarnation,
            seat=seat,
            on_message=self.handle,
            on_end=self._take_end,
            log=self._log_files.get(name),
        )

    def _assignment(self, process: Process) -> Assignment:
        labels = {entry.label for entry in process.entries.values()}
        return Assignment(
            entries=process.entries,
            peers=self._entries,
            key=self._credentials.key,
            is_near=self._machines.is_near,
            far_ip=process.seat.machine.ip,
            heartbeat=self._machines.heartbeat,
            incarnation=process.incarnation,
            exposed={
                label: node for label, node in self._exposed.items() if label in labels
            },
        )

    def _start_due(self) -> None:
        """Restarts the processes whose time has come; in the alarm's thread."""
        for supervised in list(self._supervised.values()):
            with self._lock:
                at, last = supervised.starts_at, supervised.process
            if at is None:
                continue
            if at > time.monotonic():
                self._alarm.set(at)
                continue
            label = supervised.labels[0]
            try:
                self._start_again(supervised, last, was_retired=False)
            except (ConfigError, OSError) as error:
                # For example, no host has room now, or no memory; that may pass.
                failure = Failure(
                    label=label, where="process", error=error, has_worked=False
                )
                self._restart(supervised, last, failure)
            except Exception as error:  # For example, no thread can start.
                self._supervisor.fail(label, "process", error)

    def _start_again(
        self, supervised: Supervised, last: Process, was_retired: bool
    ) -> None:
        """Starts a process in the place of the last; raises as `_start_placed`."""
        with supervised.starting:
            if supervised.process is not last:
                return  # Another thread has done so meanwhile.
            if not last.dispose():
                raise ConfigError(f"the last process of '{last.name}' has not ended")

            def make(seat: Seat) -> Process | None:
                if self._reason is not None or supervised.is_retired != was_retired:
                    return None  # The run has ended meanwhile, or the group is smaller.
                process = self._new_process(
                    last.name, last.entries, last.incarnation + 1, seat
                )
                supervised.replace(process)
                return process

            # The seat is kept between two tries of a restart.
            self._start_placed(
                last.name, last.entries, make, keeps_seat=not was_retired
            )

    def _start_placed(
        self,
        name: str,
        entries: Mapping[Handle, Entry],
        make: Callable[[Seat], Process | None],
        keeps_seat: bool = False,
    ) -> None:
        """Starts a process where there is room for it.

        Args:
          name: of the process.
          entries: its nodes.
          make: makes the process; called under the lock. It returns None if the process
            is not wanted any more.
          keeps_seat: whether a seat is kept if the process cannot be made.

        Raises:
          ConfigError: no machine has what the nodes need.
          OSError: the process cannot be started.
        """
        try:
            seat = self._machines.choose(name, entries)  # It may take a while.
            with self._lock:
                process = make(seat)
        except BaseException:
            if not keeps_seat:
                self._machines.release(name)
            raise
        if process is None:
            self._machines.release(name)
        else:
            process.start(self._assignment(process))

    def _warn_of_idle_gpus(self) -> None:
        num_gpus = sum(len(each.capacity.gpus) for each in self._machines.machines)
        if num_gpus and not any(process.seat.gpus for process in self._processes()):
            logger.warning(
                "all nodes use the CPU, as none asks for one of the %s: pass "
                "resources=Resources(num_gpus=1) to add_node",
                count(num_gpus, "gpu"),
            )

    # --- What processes say

    def handle(self, process: Process, message: Any) -> None:
        """Handles one message of a process, in the thread that listens to it."""
        if isinstance(message, SigningRequest):
            assert self._authority is not None
            process.send(self._authority.sign(message.public_key))
        elif isinstance(message, ListenReport):
            endpoints = self._seen_from_outside(process, message.endpoints)
            with self._answered:
                self._endpoints.update(endpoints)
                self._answered.notify_all()
            self._note_address(process, message.address)
        elif isinstance(message, StatusReply):
            with self._answered:
                process.status = dict(message.status)
                if message.number is not None:
                    process.answered = max(process.answered, message.number)
                self._answered.notify_all()
        elif isinstance(message, StopReport):
            self._supervisor.stop(message.reason)
        elif isinstance(message, FailureReport):
            failure = Failure(
                label=message.label or self._supervised[process.name].labels[0],
                where=message.where,
                error=from_wire(message.error),
                has_worked=message.has_worked,
            )
            self._take_failure(process, failure)
        elif isinstance(message, WorkReport):
            process.has_work = message.has_work
            process.has_worker = message.has_worker
            self._supervisor.work_ended()

    def _take_failure(self, process: Process, failure: Failure) -> None:
        """Ends the run, or only the node's process, because a node raised."""
        supervised = self._supervised[process.name]
        if supervised.is_retired:
            if failure.where == "close":
                words = "node '%s' failed in its close: %s"
                logger.warning(words, failure.label, failure.error)
            return
        if supervised.policy is None or self._ended.is_set():
            self._supervisor.fail(failure.label, failure.where, failure.error)
            return
        if supervised.failure is None:
            supervised.failure = failure
            process.kill()

    def _end_if_silent(self, process: Process) -> None:
        """Ends a process that is stopped or blocked, if it can be restarted."""
        if self._supervised[process.name].policy is None or process.is_over.is_set():
            return
        silent = process.silent_seconds()
        if silent >= _SILENT_SECONDS and silent >= self._max_silence(process):
            label = next(iter(process.entries.values())).label
            words = f"it has neither answered nor computed for {silent:.0f} s"
            error = ProcessDied(words)
            failure = Failure(
                label=label, where="process", error=error, has_worked=True
            )
            self._take_failure(process, failure)

    def _max_silence(self, process: Process) -> float:
        """How many seconds a process may neither answer nor compute.

        A process of another host is silent while its host is cut off. After a long cut
        the host is lost; a short cut must end nothing.
        """
        if not self._is_elsewhere(process.seat.machine):
            return _SILENT_SECONDS
        return max(_SILENT_SECONDS, self._machines.heartbeat + _CUT_OFF_SECONDS)

    def _is_elsewhere(self, machine: Machine) -> bool:
        """Whether a machine is another one than the launcher's."""
        return machine is not self._machines.machines[0]

    def _take_end(self, process: Process) -> None:
        """Handles the end of a process: with the run, or before it."""
        with self._answered:
            self._answered.notify_all()
            supervised = self._supervised[process.name]
            is_wanted = supervised.process is process and not supervised.is_retired
        if self._ended.is_set() or not is_wanted:
            return
        failure = supervised.take_failure()
        if supervised.policy is not None and supervised.is_done:
            logger.warning("%s; its work was done, and the run goes on", failure)
            return
        self._restart(supervised, process, failure)

    def _restart(self, supervised: Supervised, last: Process, failure: Failure) -> None:
        """After a failure, has the process restarted, or ends the run.

        Does neither if the run is over, or if `scale` has ended or replaced it.
        """
        restarts, now = supervised.restarts, time.monotonic()
        with self._lock:
            is_wanted = supervised.process is last and not supervised.is_retired
            if self._ended.is_set() or not is_wanted:
                return
            starts_at = restarts.next_start(failure, now)
            if starts_at is not None:
                supervised.starts_at = starts_at
                for label in supervised.labels:
                    self._addresses.pop(label, None)
                    self._endpoints.pop(label, None)
        if supervised.policy is None or starts_at is None:
            cause = restarts.cause
            if restarts.num_failures > 1:
                logger.error(
                    "%s; that is too often (%d times), and the first failure ends the "
                    "run",
                    failure,
                    restarts.num_failures,
                )
            self._supervisor.fail(cause.label, cause.where, cause.error)
            return
        logger.warning(
            "%s; it is restarted in %.1f s (%d of %d within %.0f s)",
            failure,
            starts_at - now,
            restarts.num_failures,
            supervised.policy.max_restarts,
            supervised.policy.window,
            exc_info=None if failure.where == "process" else failure.error,
        )
        self._announce()
        self._alarm.set(starts_at)

    def _seen_from_outside(
        self, process: Process, endpoints: Mapping[str, Endpoint]
    ) -> dict[str, Endpoint]:
        """The endpoints of a process, with addresses that other programs can use."""
        machine, here = process.seat.machine, self._machines.machines[0]
        found = dict(endpoints)
        for label, endpoint in endpoints.items():
            # A caller elsewhere cannot use the address of "every network".
            every = "::" if ":" in (machine.ip or "") else "0.0.0.0"
            if machine.ip is not None and endpoint.ip == every:
                found[label] = replace(endpoint, ip=machine.ip)
            is_own = ipaddress.ip_address(endpoint.ip).is_loopback
            # The same host may be another machine: a Ray of the run's own, say.
            is_there = self._is_elsewhere(machine) and machine.ip != here.ip
            if is_own and is_there:
                logger.warning(
                    "node '%s' is on %s and listens at %s, which only programs of that "
                    'machine reach: call program.expose(handle, ip="0.0.0.0")',
                    label,
                    machine.name,
                    endpoint.ip,
                )
        return found

    def _new_identity(self) -> Identity | None:
        """Makes the identity of this process, as a caller of nodes."""
        if self._authority is None or not self._machines.is_far:
            return None
        identity = Identity()
        identity.take(self._authority.sign(identity.public_key))
        return identity

    def _note_address(self, process: Process, address: Address) -> None:
        with self._lock:
            for entry in process.entries.values():
                self._addresses[entry.label] = address
        self._announce()

    def _announce(self) -> None:
        """Sends all addresses to all processes, once each has reported its own."""
        with self._lock:
            expected = {
                label
                for each in self._supervised.values()
                if not each.is_retired
                for label in each.labels
            }
            is_complete = expected <= self._addresses.keys()
            if not is_complete and self._book_version == 0:
                return
            self._book_version += 1
            book = AddressBook(self._book_version, dict(self._addresses))
        # Two threads may get here at once. A process ignores a book older than its own.
        self._peers.take_book(book)
        for process in self._processes():
            process.send(book)


def with_reasons(status: dict[str, NodeStatus]) -> dict[str, NodeStatus]:
    """Adds the reasons why callers wait, which only the callees know."""
    reasons = {
        (call.caller, f"{node.label}.{call.method}"): call.reason
        for node in status.values()
        for call in node.parked
    }
    for label, node in status.items():
        reason = reasons.get((label, node.waits_for))
        if reason is not None:
            status[label] = replace(node, reason=reason)
    return status
