"""A program that counts for itself what the live table shows, and a way to watch it."""

import logging
import sys
import threading
import time
from pathlib import Path

from acmelike import Node, Program, launch, stop_run, when
from acmelike.experiments.process import run_process
from acmelike.telemetry.logs import logging_to
from acmelike.telemetry.snapshot import RunSnapshot
from acmelike.telemetry.terminal.live_table import find_terminal, watch_live
from acmelike.telemetry.terminal.live_view import Facts

logger = logging.getLogger("acmelike")


class Tickets:
    """Gives out tickets as long as there are any, and counts every call itself."""

    def __init__(self):
        self._left, self._calls, self._steps_told = 0, 0, 0

    def _sold_out(self, steps):
        return None if self._left else "sold out"

    @when(_sold_out)
    def take(self, steps):
        """One ticket for a worker that has made so many steps."""
        self._calls += 1
        self._left -= 1
        self._steps_told = steps

    def allow(self, number):
        self._calls += 1
        self._left += number

    def _some_left(self):
        return f"{self._left} left" if self._left else None

    @when(_some_left)
    def counts(self):
        """The calls so far and the steps that the worker told of, when all is quiet."""
        self._calls += 1
        return self._calls, self._steps_told


class Worker:
    """Takes a ticket with every step, and counts its steps itself."""

    def __init__(self, tickets):
        self._tickets, self._steps = tickets, 0

    def step(self):
        self._tickets.take(self._steps)
        self._steps += 1


class Endless:
    """Has always work."""

    def step(self):
        time.sleep(0.01)


class Asks:
    """Asks when it has a ticket."""

    def __init__(self, tickets):
        self._tickets = tickets

    def step(self):
        self._tickets.take(0)
        print("the answer is", input("go on? "))
        stop_run("answered")


class Breaks:
    """Has two breakpoints when it has a ticket."""

    def __init__(self, tickets):
        self._tickets = tickets

    def step(self):
        self._tickets.take(0)
        breakpoint()
        breakpoint()
        stop_run("debugged")


class Probe:
    """Looks at nothing but the nodes; the second time, another thread has a warning."""

    def __init__(self, run, tickets):
        self._run, self.looks, self._tickets = run, 0, run.client(tickets)

    def take(self):
        self.looks += 1
        logger.info("look %s", self.looks)
        if self.looks == 2:
            thread = threading.Thread(target=logger.warning, args=["of concern"])
            thread.start()
            thread.join()
        if self.looks == 3:  # The table is there.
            self._tickets.allow(1)
        return RunSnapshot(seconds=time.perf_counter(), nodes=self._run.status())


FACTS = Facts(
    title="counting on nothing",
    details="launched by threads, seed 0",
    max_env_steps=1,
    target=None,
    replay="replay",
    started=time.perf_counter(),
)


def make_counting():
    program = Program("counting")
    tickets = program.add_node(Node(Tickets), label="tickets")
    program.add_node(Node(Worker, tickets), label="worker")
    return program, tickets


def main():
    """Watches an endless program, or one that asks; as a command, for a terminal."""
    program = Program("endless")
    tickets = program.add_node(Node(Tickets), label="tickets")
    node = Node(Asks, tickets) if "asks" in sys.argv else Node(Endless)
    program.add_node(node, label="worker")
    try:
        with logging_to(Path(sys.argv[1])), launch(program, "threads") as run:
            print("first", flush=True)
            watch_live(run, Probe(run, tickets), FACTS, find_terminal())
    except KeyboardInterrupt:
        print("last", flush=True)
        return 130
    return 0


if __name__ == "__main__":
    run_process(main)
