"""The status of a node: what it has done, and where its time went.

The node's own thread writes the counters (`NodeMetrics`); any thread may read them and
gets a frozen `NodeStatus`.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

# A constructor or a step may well take a second. One that takes longer than this is
# named, because all others may be waiting for it: an environment that hangs, a long
# compilation.
SLOW_STEP_SECONDS = 10.0


class Wait(Protocol):
    """Something that a node waits for."""

    @property
    def target(self) -> str:
        """The method or event, such as "replay.insert"."""

    @property
    def reason(self) -> str:
        """Why it cannot proceed yet, as the guard says it."""

    @property
    def can_end_alone(self) -> bool:
        """Whether it can end though no node does anything, as at a deadline."""


class ParkedCall(NamedTuple):
    """A call that waits at a node until a guard lets it proceed.

    Attributes:
      caller: the label of the calling node, or "outside".
      method: the name of the called method.
      reason: why the call cannot proceed yet, as the guard says it.
    """

    caller: str
    method: str
    reason: str


class EdgeStatus(NamedTuple):
    """The traffic of one edge: a node's calls of one method of another node.

    Attributes:
      num_calls: calls so far.
      num_bytes: bytes sent and received, compressed where they are, and those in shared
        memory included; 0 for calls inside one process.
      p50_seconds: the median duration of the latest calls that blocked the caller,
        waiting included; None before the first.
      p99_seconds: which 99 of 100 of these did not exceed; None before the first.
    """

    num_calls: int
    num_bytes: int
    p50_seconds: float | None
    p99_seconds: float | None

    def after(self, before: EdgeStatus) -> EdgeStatus:
        """With what the caller's process before had counted."""
        return self._replace(
            num_calls=before.num_calls + self.num_calls,
            num_bytes=before.num_bytes + self.num_bytes,
        )


class MethodStatus(NamedTuple):
    """What a node did for the callers of one of its methods.

    Attributes:
      num_calls: calls that ran, so far.
      num_runs: of the method; fewer than calls where it is batched.
      num_bytes_in: bytes of the calls of other processes that were answered; counted
        as for an edge.
      num_bytes_out: bytes of these answers.
      queue_seconds: the sum of the times from the arrival of a call to the start of the
        method, parked time included.
      queue_p50_seconds: the median of the latest of these; None before the first.
      queue_p99_seconds: which 99 of 100 of these did not exceed; likewise.
      run_seconds: the sum of the times that the method ran.
      run_p50_seconds: the median of the latest of these; None before the first.
      run_p99_seconds: which 99 of 100 of these did not exceed; likewise.
    """

    num_calls: int
    num_runs: int
    num_bytes_in: int
    num_bytes_out: int
    queue_seconds: float
    queue_p50_seconds: float | None
    queue_p99_seconds: float | None
    run_seconds: float
    run_p50_seconds: float | None
    run_p99_seconds: float | None

    def after(self, before: MethodStatus) -> MethodStatus:
        """With what the node's process before had counted."""
        return self._replace(
            num_calls=before.num_calls + self.num_calls,
            num_runs=before.num_runs + self.num_runs,
            num_bytes_in=before.num_bytes_in + self.num_bytes_in,
            num_bytes_out=before.num_bytes_out + self.num_bytes_out,
            queue_seconds=before.queue_seconds + self.queue_seconds,
            run_seconds=before.run_seconds + self.run_seconds,
        )


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    """One node at one moment.

    Attributes:
      label: the node's label, such as "actor/0".
      group: the group that the node was added in, such as "actor"; None for a node
        outside any group.
      phase: "starting", "ready" (between two steps), "working", "waiting", "serving" (a
        service without a step, or after the last one), "ended", "failed", or
        "restarting" (it has failed, and its process is about to be restarted).
      waits_for: what the node waits for, such as "replay.insert"; "" if it does not.
      reason: why it has to wait; "" if it does not, or if the callee has not said.
      doing: the text of `set_status` in the constructor or the present step, such as
        "has played 9 steps"; otherwise "".
      working_seconds: how long the constructor or the present step has worked since it
        began or last waited; 0 outside of both and while waiting.
      spinning_seconds: time spent in completed steps since one waited or called another
        node, to about a second; 0 while waiting.
      num_steps: completed steps.
      num_calls: answered calls.
      worked_seconds: time spent in completed steps, without the waits in them.
      waited_seconds: time spent waiting, by target; the present wait included.
      parked: the calls that wait at this node, in order of arrival.
      edges: the traffic of its own calls, by target.
      methods: what it did for its callers, by method; those that were called.
      can_end_alone: whether the present wait can end though no node does anything: it
        has a deadline, or the node waits for the launcher to start a process.
      process: the id of the process that the node runs in.
      memory_bytes: resident memory of that process; all nodes in it share it.
      num_restarts: how often the node was restarted after a failure. All counters
        go on, but for what was counted in the last second before a failure.
      host: where the node runs, such as "host 1"; "" in a run of one host.
    """

    label: str
    group: str | None
    phase: str
    waits_for: str
    reason: str
    doing: str
    working_seconds: float
    spinning_seconds: float
    num_steps: int
    num_calls: int
    worked_seconds: float
    waited_seconds: Mapping[str, float]
    parked: tuple[ParkedCall, ...]
    edges: Mapping[str, EdgeStatus]
    methods: Mapping[str, MethodStatus]
    can_end_alone: bool
    process: int
    memory_bytes: int
    num_restarts: int = 0
    host: str = ""

    @property
    def role(self) -> str:
        """What the node is in its program: its group, or its label without one."""
        return self.group or self.label

    @property
    def waiting_fraction(self) -> float:
        """The waited share of the time spent working or waiting; 0..1."""
        waited = sum(self.waited_seconds.values())
        return waited / max(waited + self.worked_seconds, 1e-9)

    @property
    def slow_step(self) -> str:
        """Says that the constructor or a step takes long or steps spin; "" if not."""
        if self.working_seconds >= SLOW_STEP_SECONDS:
            where = " in its constructor" if self.phase == "starting" else ""
            return f"working for {self.working_seconds:,.0f} s{where}"
        if self.spinning_seconds >= SLOW_STEP_SECONDS:
            return (
                f"working without a wait or a call for {self.spinning_seconds:,.0f} s"
            )
        return ""

    @property
    def activity(self) -> str:
        """What the node does now, such as "waits for replay.sample: 8 of 50"."""
        if self.waits_for:
            reason = f": {self.reason}" if self.reason else ""
            return f"waits for {self.waits_for}{reason}"
        return self.slow_step or self.phase

    def after(self, before: NodeStatus) -> NodeStatus:
        """With what the node had counted before it was restarted."""
        waited = dict(before.waited_seconds)
        for target, seconds in self.waited_seconds.items():
            waited[target] = waited.get(target, 0.0) + seconds
        edges = dict(before.edges)
        for target, edge in self.edges.items():
            edges[target] = edge.after(edges[target]) if target in edges else edge
        methods = dict(before.methods)
        for name, method in self.methods.items():
            methods[name] = method.after(methods[name]) if name in methods else method
        return replace(
            self,
            num_steps=before.num_steps + self.num_steps,
            num_calls=before.num_calls + self.num_calls,
            worked_seconds=before.worked_seconds + self.worked_seconds,
            waited_seconds=waited,
            edges=edges,
            methods=methods,
        )

    def __str__(self) -> str:
        return f"{self.label}: {self.activity} ({self.num_steps} steps)"


def group_by_role(nodes: Iterable[NodeStatus]) -> dict[str, list[NodeStatus]]:
    """The nodes of each role, in the order in which they come."""
    roles = defaultdict[str, list[NodeStatus]](list)
    for node in nodes:
        roles[node.role].append(node)
    return dict(roles)


def _latest() -> deque[float]:
    """Durations, of which the latest are kept."""
    return deque(maxlen=255)


def _p50_and_p99(seconds: deque[float]) -> tuple[float | None, float | None]:
    latest = sorted(seconds.copy())
    if not latest:
        return None, None
    return latest[len(latest) // 2], latest[len(latest) * 99 // 100]


@dataclass(kw_only=True, slots=True)
class EdgeMetrics:
    """The counters behind an `EdgeStatus`."""

    num_calls: int = 0
    num_bytes: int = 0
    seconds: deque[float] = field(default_factory=_latest)

    def status(self) -> EdgeStatus:
        """The counters as they are now."""
        return EdgeStatus(self.num_calls, self.num_bytes, *_p50_and_p99(self.seconds))


@dataclass(kw_only=True, slots=True)
class MethodMetrics:
    """The counters behind a `MethodStatus`.

    Threads count without a lock, those of a `concurrent` method and senders of answers
    too. CPython changes threads only at calls and at the ends of loops, so nothing is
    lost where a number that is known is added to an attribute.
    """

    num_calls: int = 0
    num_runs: int = 0
    num_bytes_in: int = 0
    num_bytes_out: int = 0
    queue_seconds: float = 0.0
    latest_queue: deque[float] = field(default_factory=_latest)
    run_seconds: float = 0.0
    latest_run: deque[float] = field(default_factory=_latest)

    def count_call(self, seconds: float) -> None:
        """Counts a call that waited so long for the method to begin."""
        self.num_calls += 1
        self.queue_seconds += seconds
        self.latest_queue.append(seconds)

    def count_run(self, seconds: float) -> None:
        """Counts a run of the method that took so long."""
        self.num_runs += 1
        self.run_seconds += seconds
        self.latest_run.append(seconds)

    def count_one(self, queue_seconds: float, run_seconds: float) -> None:
        """Counts a call that was run by itself; in one, as most are."""
        self.num_calls += 1
        self.queue_seconds += queue_seconds
        self.latest_queue.append(queue_seconds)
        self.num_runs += 1
        self.run_seconds += run_seconds
        self.latest_run.append(run_seconds)

    def count_bytes(self, num_in: int, num_out: int) -> None:
        """Counts a call of another process, and its answer."""
        self.num_bytes_in += num_in
        self.num_bytes_out += num_out

    def status(self) -> MethodStatus:
        """The counters as they are now."""
        queue_p50, queue_p99 = _p50_and_p99(self.latest_queue)
        run_p50, run_p99 = _p50_and_p99(self.latest_run)
        return MethodStatus(
            num_calls=self.num_calls,
            num_runs=self.num_runs,
            num_bytes_in=self.num_bytes_in,
            num_bytes_out=self.num_bytes_out,
            queue_seconds=self.queue_seconds,
            queue_p50_seconds=queue_p50,
            queue_p99_seconds=queue_p99,
            run_seconds=self.run_seconds,
            run_p50_seconds=run_p50,
            run_p99_seconds=run_p99,
        )


@dataclass(kw_only=True)
class NodeMetrics:
    """The counters behind a `NodeStatus`."""

    label: str
    group: str | None = None
    phase: str = "starting"
    num_steps: int = 0
    doing: str = ""
    is_constructing: bool = False
    works_since: float = 0.0
    worked_seconds: float = 0.0
    waited_seconds: dict[str, float] = field(default_factory=dict)
    waits_for: Wait | None = None
    waits_since: float = 0.0
    total_waited: float = 0.0
    # A contact is a wait or a call over an edge. They are counted once a second, as
    # steps may be short.
    num_waits: int = 0
    num_contacts: int = 0
    next_check: float = 0.0
    worked_until_contact: float = 0.0
    edges: defaultdict[str, EdgeMetrics] = field(
        default_factory=lambda: defaultdict(EdgeMetrics)
    )

    @property
    def is_working(self) -> bool:
        """Whether it is in its constructor, or in a step and does not wait."""
        return self.is_constructing or self.phase == "working"

    @contextmanager
    def constructing(self) -> Iterator[None]:
        """Surrounds the constructor, whose time is not that of a step."""
        self.works_since, self.is_constructing = time.perf_counter(), True
        try:
            yield
        finally:
            self.is_constructing, self.doing = False, ""

    @contextmanager
    def stepping(self) -> Iterator[None]:
        """Surrounds one step: counts it, and the time in it that was not waited."""
        started, waited = time.perf_counter(), self.total_waited
        self.works_since, self.phase = started, "working"
        try:
            yield
            self.num_steps += 1
        finally:
            ended = time.perf_counter()
            self.worked_seconds += ended - started - (self.total_waited - waited)
            if ended >= self.next_check:
                self._check_contacts(ended)
            self.phase, self.doing = "ready", ""

    def waiting(self, wait: Wait) -> _Waiting:
        """Surrounds one wait."""
        return _Waiting(self, wait)

    def _check_contacts(self, now: float) -> None:
        """Notes whether the node has waited or called since the last check."""
        num_contacts = self.num_waits
        for edge in self.edges.values():
            num_contacts += edge.num_calls
        if num_contacts != self.num_contacts:
            self.num_contacts = num_contacts
            self.worked_until_contact = self.worked_seconds
        self.next_check = now + 1.0

    def status(
        self,
        *,
        methods: Mapping[str, MethodStatus],
        parked: tuple[ParkedCall, ...],
        memory_bytes: int,
    ) -> NodeStatus:
        """The counters as they are now."""
        wait, waited = self.waits_for, dict(self.waited_seconds)
        working_seconds, spinning_seconds = 0.0, 0.0
        if wait is not None:
            spent = time.perf_counter() - self.waits_since
            waited[wait.target] = waited.get(wait.target, 0.0) + spent
        else:
            if self.is_working:
                working_seconds = time.perf_counter() - self.works_since
            if self.phase in ("working", "ready"):
                spinning_seconds = self.worked_seconds - self.worked_until_contact
        return NodeStatus(
            label=self.label,
            group=self.group,
            phase=self.phase if wait is None else "waiting",
            waits_for="" if wait is None else wait.target,
            reason="" if wait is None else wait.reason,
            doing=self.doing,
            working_seconds=working_seconds,
            spinning_seconds=spinning_seconds,
            num_steps=self.num_steps,
            num_calls=sum(method.num_calls for method in methods.values()),
            worked_seconds=self.worked_seconds,
            waited_seconds=waited,
            parked=parked,
            edges={target: edge.status() for target, edge in list(self.edges.items())},
            methods=methods,
            can_end_alone=wait is not None and wait.can_end_alone,
            process=os.getpid(),
            memory_bytes=memory_bytes,
        )


class _Waiting:
    """Counts one wait of a node."""

    # A class, because a generator would cost a microsecond more.
    __slots__ = ("_metrics", "_phase", "_wait")

    def __init__(self, metrics: NodeMetrics, wait: Wait):
        self._metrics, self._wait = metrics, wait

    def __enter__(self) -> None:
        metrics = self._metrics
        self._phase, metrics.phase = metrics.phase, "waiting"
        metrics.waits_since, metrics.waits_for = time.perf_counter(), self._wait

    def __exit__(self, *error: object) -> None:
        metrics, target = self._metrics, self._wait.target
        metrics.works_since = time.perf_counter()
        spent = metrics.works_since - metrics.waits_since
        metrics.phase, metrics.waits_for = self._phase, None
        metrics.total_waited += spent
        metrics.num_waits += 1
        before = metrics.waited_seconds.get(target, 0.0)
        metrics.waited_seconds[target] = before + spent


def memory_limit() -> int:
    """The bytes that processes here may take: the machine's or the container's."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for folder in _control_groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            # There is no such file without a limit, and "max" is no number.
            with suppress(OSError, ValueError), open(f"{folder}/{name}") as file:
                limits.append(int(file.read()))
    return min(limits)


def num_cores() -> int:
    """The cores that processes here may use: the machine's or the container's."""
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    for folder in _control_groups("cpu"):
        for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
            words: list[str] = []
            with suppress(OSError, ValueError):
                for name in names:
                    with open(f"{folder}/{name}") as file:
                        words += file.read().split()
                quota, period = map(int, words)  # Without a limit, "max" or -1.
                if quota > 0:
                    cores = min(cores, max(1, quota // period))
    return cores


def _control_groups(controller: str) -> list[str]:
    """Folders of the control groups that limit this process, some of which may exist.

    A container sees its own at the top; Slurm and systemd make one further down.
    """
    root = "/sys/fs/cgroup"
    found = [root, f"{root}/{controller}"]
    with suppress(OSError), open("/proc/self/cgroup") as file:
        for line in file:
            # "0::/path" of version 2, "4:cpu,cpuacct:/path" of version 1.
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            top = f"{root}/{controller}" if controllers else root
            while path not in ("", "/"):
                found.append(top + path)
                path = os.path.dirname(path)
    return found


def resident_bytes() -> int:
    """The resident memory of this process; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
