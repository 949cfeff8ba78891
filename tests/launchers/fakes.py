"""Machines whose processes do nothing: for tests of what the launcher does then."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager

from acmelike import Node, Program
from acmelike.launchers.processes.capacity import Capacity
from acmelike.launchers.processes.control import ControlConnection
from acmelike.launchers.processes.launcher import ProcessNodes
from acmelike.launchers.processes.placement import Placer
from acmelike.rpc import HEARTBEAT_SECONDS
from tests.launchers.contract import LIMIT, Board


class FakeChild:
    """A process that does nothing until it is killed.

    Attributes:
      theirs: its end of the control connection.
      can_be_killed: whether it ends when it is killed.
      is_killed: whether it was told to.
    """

    def __init__(self):
        self.control, theirs = socket.socketpair()
        self.theirs = ControlConnection(theirs)
        reading, writing = os.pipe()
        os.close(writing)
        self.output = os.fdopen(reading, "rb")
        self.can_be_killed, self.is_killed = True, False
        self.has_ended = threading.Event()

    def kill(self):
        self.is_killed = True
        if self.can_be_killed:
            self.end()

    def end(self):
        self.has_ended.set()
        self.theirs.close()

    def wait(self):
        self.has_ended.wait()
        return "it was killed by SIGKILL"

    def processor_seconds(self):
        return 0.0


class FakeMachine:
    """Starts such processes.

    Attributes:
      children: those that were started.
      errors: which the next starts raise.
    """

    def __init__(self, name="", ip=None):
        self.name, self.ip = name, ip
        self.capacity = Capacity(4, (), 10**9, {})
        self.children, self.errors = [], []

    def start(self, order):
        if self.errors:
            raise self.errors.pop(0)
        self.children.append(child := FakeChild())
        return child

    def close(self):
        pass


class FakeMachines:
    """The machines of a run, that of the launcher first.

    Attributes:
      errors: which the next choices raise.
      released: the names of the processes whose places were given back.
      on_choose: called whenever a place is wanted.
    """

    is_near, is_far = True, False

    def __init__(self, *machines, heartbeat=HEARTBEAT_SECONDS):
        self.machines, self.heartbeat = list(machines), heartbeat
        self.placer, self.errors, self.released = Placer(), [], []
        self.on_choose = lambda: None

    def choose(self, name, entries):
        self.on_choose()
        if self.errors:
            raise self.errors.pop(0)
        return self.placer.choose(name, entries, self.machines)

    def release(self, name):
        self.released.append(name)
        self.placer.release(name)

    def close(self, reason):
        pass


class Recorder:
    """A supervisor that notes what it is told.

    Attributes:
      failures: label, part and error of each.
      num_ends: how often a node had nothing left to do.
    """

    def __init__(self):
        self.failures, self.num_ends = [], 0

    def fail(self, label, where, error):
        self.failures.append((label, where, error))

    def work_ended(self):
        self.num_ends += 1


def make_group(num_nodes=2, size=None, restart=None):
    """A program, and the handles of its nodes: "actor/0" and so on."""
    program = Program("fakes")
    with program.group("actor", size=size):
        nodes = [
            program.add_node(Node(Board), restart=restart) for _ in range(num_nodes)
        ]
    return program, nodes


@contextmanager
def placed(program, machines):
    """The nodes of a program in such processes, and their supervisor."""
    supervisor, ended = Recorder(), threading.Event()
    nodes = ProcessNodes(program, supervisor, ended, None, False, lambda: machines)
    try:
        nodes.start()
        yield nodes, supervisor
    finally:
        ended.set()
        nodes.close("the run ended: the test is over")
        nodes.join(0.0)


def process_of(nodes, label):
    return nodes._supervised[label].process


def wait_until(is_so):
    limit = time.monotonic() + LIMIT
    while not is_so():
        assert time.monotonic() < limit
        time.sleep(0.001)  # Others need the core.
