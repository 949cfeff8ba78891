"""What a node has done and where its time went; its thread writes, anyone reads."""

from __future__ import annotations

import os
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class Wait(Protocol):
    """Something that a node waits for."""

    @property
    def target(self) -> str:
        """What it waits for, such as "replay.insert"."""

    @property
    def reason(self) -> str:
        """Why it has to, in the words of a guard."""

    @property
    def deadline(self) -> float | None:
        """When the wait ends of itself, or None."""


class ParkedCall(NamedTuple):
    """A call that waits at a node.

    Attributes:
      caller: the label of the node that made it, or "outside".
      method: what it called.
      reason: why it has to wait, in the words of the guard.
    """

    caller: str
    method: str
    reason: str


class EdgeStatus(NamedTuple):
    """What has gone over one edge: a node's calls of one method of another.

    Attributes:
      num_calls: made so far.
      num_bytes: sent and received for them; 0 where nothing leaves the process.
      p50_seconds: the median time of the latest calls that were waited for at once,
        their waiting included; None if there were none.
    """

    num_calls: int
    num_bytes: int
    p50_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    """One node at one moment.

    Attributes:
      label: the node's label.
      phase: "starting", "ready" (until its turn), "working", "waiting", "serving" (a
        service without work of its own), "ended" or "failed".
      waits_for: "replay.insert: the reason" while it waits, otherwise "".
      doing: what its step says of itself, such as "has played 9 steps", otherwise "".
      working_seconds: for how long it has worked at its present step since it began or
        last waited; 0 if it does not work.
      num_steps: steps that it has completed.
      num_calls: calls that it has answered.
      worked_seconds: spent in its steps, without waiting.
      waited_seconds: spent waiting, by what it waited for, the present wait included.
      parked: the calls that wait at it, in order of arrival.
      edges: what it has called, by target.
      is_timed: whether its present wait ends of itself.
      process: the id of the process that it is in.
      memory_bytes: resident, of that process; shared by the nodes in it.
    """

    label: str
    phase: str
    waits_for: str
    doing: str
    working_seconds: float
    num_steps: int
    num_calls: int
    worked_seconds: float
    waited_seconds: Mapping[str, float]
    parked: tuple[ParkedCall, ...]
    edges: Mapping[str, EdgeStatus]
    is_timed: bool
    process: int
    memory_bytes: int

    @property
    def waiting_fraction(self) -> float:
        """The share of its time, working or waiting, in which it waited."""
        waited = sum(self.waited_seconds.values())
        return waited / max(waited + self.worked_seconds, 1e-9)

    def __str__(self) -> str:
        doing = f"waits for {self.waits_for}" if self.waits_for else self.phase
        return f"{self.label}: {doing} ({self.num_steps} steps)"


@dataclass(kw_only=True)
class EdgeMetrics:
    """The counters behind an `EdgeStatus`."""

    num_calls: int = 0
    num_bytes: int = 0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=255))

    def status(self) -> EdgeStatus:
        """What the counters say now."""
        latest = sorted(self.seconds.copy())
        median = latest[len(latest) // 2] if latest else None
        return EdgeStatus(self.num_calls, self.num_bytes, median)


@dataclass(kw_only=True)
class NodeMetrics:
    """The counters behind a `NodeStatus`."""

    label: str
    phase: str = "starting"
    num_steps: int = 0
    doing: str = ""
    works_since: float = 0.0
    worked_seconds: float = 0.0
    waited_seconds: dict[str, float] = field(default_factory=dict)
    waits_for: Wait | None = None
    waits_since: float = 0.0
    total_waited: float = 0.0
    edges: defaultdict[str, EdgeMetrics] = field(
        default_factory=lambda: defaultdict(EdgeMetrics)
    )

    @contextmanager
    def stepping(self) -> Iterator[None]:
        """Around one step: counts it, and the time in it that was not spent waiting."""
        started, waited = time.perf_counter(), self.total_waited
        self.works_since, self.phase = started, "working"
        try:
            yield
            self.num_steps += 1
        finally:
            spent = time.perf_counter() - started
            self.worked_seconds += spent - (self.total_waited - waited)
            self.phase, self.doing = "ready", ""

    @contextmanager
    def waiting(self, wait: Wait) -> Iterator[None]:
        """Around one wait."""
        phase, self.phase = self.phase, "waiting"
        self.waits_since, self.waits_for = time.perf_counter(), wait
        try:
            yield
        finally:
            self.works_since = time.perf_counter()
            spent = self.works_since - self.waits_since
            self.phase, self.waits_for = phase, None
            self.total_waited += spent
            before = self.waited_seconds.get(wait.target, 0.0)
            self.waited_seconds[wait.target] = before + spent

    def status(
        self, *, num_calls: int, parked: tuple[ParkedCall, ...], memory_bytes: int
    ) -> NodeStatus:
        """What the counters say now."""
        wait, waited = self.waits_for, dict(self.waited_seconds)
        waits_for, working_seconds = "", 0.0
        if wait is not None:
            waits_for = f"{wait.target}: {wait.reason}"
            spent = time.perf_counter() - self.waits_since
            waited[wait.target] = waited.get(wait.target, 0.0) + spent
        elif self.phase == "working":
            working_seconds = time.perf_counter() - self.works_since
        return NodeStatus(
            label=self.label,
            phase=self.phase if wait is None else "waiting",
            waits_for=waits_for,
            doing=self.doing,
            working_seconds=working_seconds,
            num_steps=self.num_steps,
            num_calls=num_calls,
            worked_seconds=self.worked_seconds,
            waited_seconds=waited,
            parked=parked,
            edges={target: edge.status() for target, edge in list(self.edges.items())},
            is_timed=wait is not None and wait.deadline is not None,
            process=os.getpid(),
            memory_bytes=memory_bytes,
        )


def resident_bytes() -> int:
    """The memory that this process holds; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
