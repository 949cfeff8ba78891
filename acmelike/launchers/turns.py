"""One turn token: nodes run one at a time in an order that is always the same."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from acmelike.core.runtime import current_context
from acmelike.core.status import NodeMetrics
from acmelike.launchers.scheduler import CallWait, Sleep
from acmelike.rpc import Call

Waited: TypeAlias = CallWait | Sleep

# Each turn belongs to another thread, usually on another core, whose caches hold
# nothing of the node. With 32 steps in a turn DQN makes an eighth more environment
# steps a second than with one, and IMPALA two fifths more.
_STEPS_OF_A_TURN = 32
# The time between two checks of a wait whose end is not signalled.
_LOOK_SECONDS = 0.01


@dataclass
class Turn:
    """A node's place in the order of turns.

    Attributes:
      label: the node's.
      waits_for: the wait that keeps the node from running; None if it could run.
      num_steps: that it has made since the turn came.
      gate: held until the turn comes.
    """

    label: str
    waits_for: Waited | None = None
    num_steps: int = 0
    gate: threading.Lock = field(default_factory=threading.Lock)

    def can_run(self) -> bool:
        """Whether the node could use a turn."""
        return self.waits_for is None or self.waits_for.done()

    @property
    def deadline(self) -> float | None:
        """When its wait times out; None if it has no limit, or does not wait."""
        return None if self.waits_for is None else self.waits_for.deadline


@dataclass(eq=False)
class TurnAlarm:
    """Rings when no node can run, in the thread that would pass on the turn.

    Attributes:
      ring: called when a time has come.
      at: the next time, or infinity.
    """

    ring: Callable[[], None]
    at: float = math.inf

    def set(self, at: float) -> None:
        self.at = min(self.at, at)

    def close(self) -> None:
        self.at = math.inf


class TurnScheduler:
    """Passes one token in label order, when a node has to wait or its turn is over.

    A turn is over after a number of steps, or after the step with which the wait of
    another node ended.

    Time is logical: it stands still while a node can run, and otherwise jumps to the
    earliest deadline. If there is none, that is a deadlock.

    Args:
      labels: of the nodes.
      ended: set when the run ends.
      on_deadlock: called by the thread that finds that no node can ever run again;
        afterwards every wait is over, with one exception: if a caller outside the
        program runs a method of a service, the calls parked there end when it returns.
    """

    is_serial = True

    def __init__(
        self,
        labels: Sequence[str],
        ended: threading.Event,
        on_deadlock: Callable[[], None],
    ):
        self._turns = [Turn(label) for label in sorted(labels, key=label_order)]
        self._ended, self._on_deadlock = ended, on_deadlock
        self._lock = threading.Lock()
        self._time = 0.0
        self._alarms: list[TurnAlarm] = []
        for turn in self._turns[1:]:
            turn.gate.acquire()

    def now(self) -> float:
        return self._time

    def enter(self, label: str) -> None:
        self._turn(label).gate.acquire()

    def end_step(self, label: str) -> None:
        turn = self._turn(label)
        turn.num_steps += 1
        if turn.num_steps == _STEPS_OF_A_TURN or any(
            other.waits_for is not None and other.waits_for.done()
            for other in self._turns
        ):
            self._pass_on(turn)

    def leave(self, label: str) -> None:
        turn = self._turn(label)
        with self._lock:
            place = self._turns.index(turn)
            others = self._turns[place + 1 :] + self._turns[:place]
            self._turns.remove(turn)
        if others:
            self._choose(others).gate.release()

    def wait(self, call: Call, seconds: float | None) -> None:
        wait, context = CallWait(call, self._time, seconds), current_context()
        if context is None:  # A caller outside the program takes no turn.
            wait.wait_on_clock(self._time)
            return
        with context.metrics.waiting(wait):
            self._wait_for_turn(self._turn(context.label), wait)
        wait.end()

    def alarm(self, name: str, ring: Callable[[], None]) -> TurnAlarm:
        # Nodes start in label order, so at equal times the first label comes first.
        self._alarms.append(alarm := TurnAlarm(ring))
        return alarm

    def sleep(self, node: NodeMetrics, seconds: float | None, reason: str) -> None:
        deadline = None if seconds is None else self._time + seconds
        sleep = Sleep(deadline, reason, self._ended)
        with node.waiting(sleep):
            self._wait_for_turn(self._turn(node.label), sleep)
        sleep.check()

    def _wait_for_turn(self, turn: Turn, waited: Waited) -> None:
        turn.waits_for = waited
        self._pass_on(turn)
        turn.waits_for = None

    def _pass_on(self, turn: Turn) -> None:
        """Gives the token to the next that can run, and returns when it comes back."""
        with self._lock:
            place = self._turns.index(turn)
            order = self._turns[place + 1 :] + self._turns[: place + 1]
        turn.num_steps = 0
        chosen = self._choose(order)
        if chosen is not turn:
            chosen.gate.release()
            turn.gate.acquire()

    def _choose(self, order: Sequence[Turn]) -> Turn:
        """The first of `order` that can run; time passes if it must."""
        if (ready := _first_ready(order)) is not None:
            return ready
        timed = [
            (turn.deadline, label_order(turn.label), turn)
            for turn in order
            if turn.deadline is not None
        ]
        alarm = min(self._alarms, key=lambda alarm: alarm.at, default=None)
        if alarm is not None and alarm.at < min([math.inf, *(t[0] for t in timed)]):
            self._time = max(self._time, alarm.at)
            alarm.at = math.inf
            alarm.ring()
            return self._choose(order)
        if timed:
            # Label order decides between equal deadlines.
            deadline, _, turn = min(timed, key=lambda entry: entry[:2])
            # The deadline of a future that is read late may be in the past.
            self._time = max(self._time, deadline)
            return turn
        self._on_deadlock()
        # A caller outside the program may run a method. Calls that are parked there end
        # after that method. Nothing signals this here, so this thread checks again.
        while (ready := _first_ready(order)) is None:
            time.sleep(_LOOK_SECONDS)
        return ready

    def _turn(self, label: str) -> Turn:
        return next(turn for turn in self._turns if turn.label == label)


def _first_ready(order: Sequence[Turn]) -> Turn | None:
    return next((turn for turn in order if turn.can_run()), None)


def label_order(label: str) -> list[tuple[int, str]]:
    """The key that sorts "actor/2" before "actor/10"."""
    parts = re.split(r"(\d+)", label)
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]
