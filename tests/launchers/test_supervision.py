"""What the launcher of processes does about them, with processes that do nothing."""

from __future__ import annotations

import socket
import threading

import pytest

from acmelike import RestartPolicy, deadline
from acmelike.errors import ConfigError, ProcessDied, RpcTimeout
from acmelike.launchers import Endpoint
from acmelike.launchers.hosts import agent as agent_module
from acmelike.launchers.hosts.agent import HostAgent
from acmelike.launchers.hosts.messages import Leave, Start
from acmelike.launchers.processes import launcher as launcher_module
from acmelike.launchers.processes import process as process_module
from acmelike.launchers.processes.control import (
    ControlConnection,
    ListenReport,
    StatusReply,
    WorkReport,
)
from acmelike.launchers.processes.launcher import ProcessNodes
from acmelike.launchers.processes.machine import LocalMachine, Order
from acmelike.launchers.processes.process import Process
from acmelike.launchers.processes.supervised import Supervised
from acmelike.rpc import Address
from tests.launchers.contract import LIMIT
from tests.launchers.fakes import (
    FakeMachine,
    FakeMachines,
    make_group,
    placed,
    process_of,
    wait_until,
)

BOTH, FIRST = ["actor/0", "actor/1"], ["actor/0"]


@pytest.fixture(autouse=True)
def is_quick(monkeypatch):
    """Nothing here answers or ends by itself."""
    monkeypatch.setattr(launcher_module, "_STATUS_SECONDS", 0.0)
    monkeypatch.setattr(launcher_module, "_RETIRE_SECONDS", 0.0)


# --- Restarts -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "of_machine, error",
    [(False, ConfigError("no host has it")), (True, OSError("no memory"))],
)
def test_a_restart_that_finds_no_place_is_one_more_failure(of_machine, error, caplog):
    program, _ = make_group(1, restart=RestartPolicy(max_restarts=2, backoff=0.0))
    machine = FakeMachine()
    machines = FakeMachines(machine)
    with placed(program, machines) as (_, supervisor):
        (machine if of_machine else machines).errors.append(error)
        machine.children[0].end()
        wait_until(lambda: len(machine.children) == 2)
    assert not supervisor.failures
    words = f"failed (process): {error}; it is restarted in 0.0 s (2 of 2 within"
    assert words in caplog.text
    # Nobody else gets its place meanwhile.
    assert machines.released == []


def test_too_many_restarts_without_a_place_end_the_run_with_the_first_failure():
    program, _ = make_group(1, restart=RestartPolicy(max_restarts=2, backoff=0.0))
    machine = FakeMachine()
    machines = FakeMachines(machine)
    with placed(program, machines) as (_, supervisor):
        machines.errors += [ConfigError("no host has it")] * 2
        machine.children[0].end()
        wait_until(lambda: supervisor.failures)
    ((label, where, error),) = supervisor.failures
    assert (label, where) == ("actor/0", "process")
    assert isinstance(error, ProcessDied)
    assert len(machine.children) == 1


def test_a_node_that_is_scaled_away_while_it_fails_is_not_started_again(monkeypatch):
    program, _ = make_group(size=2, restart=RestartPolicy(backoff=30.0))
    machine = FakeMachine()
    take_failure, take_end = Supervised.take_failure, ProcessNodes._take_end
    has_ended = threading.Event()

    def scale_first(supervised):
        nodes.scale(BOTH, FIRST)
        return take_failure(supervised)

    def take_and_tell(nodes, process):
        take_end(nodes, process)
        has_ended.set()

    monkeypatch.setattr(Supervised, "take_failure", scale_first)
    monkeypatch.setattr(ProcessNodes, "_take_end", take_and_tell)
    with placed(program, FakeMachines(machine)) as (nodes, supervisor):
        machine.children[1].end()
        assert has_ended.wait(LIMIT)
        assert nodes._supervised["actor/1"].starts_at is None
    assert not supervisor.failures


def test_a_process_that_is_no_longer_wanted_leaves_its_place():
    program, _ = make_group(size=2, restart=RestartPolicy(backoff=0.0))
    machine = FakeMachine()
    machines = FakeMachines(machine)
    with placed(program, machines) as (nodes, supervisor):
        # The group gets smaller while a place is looked for.
        machines.on_choose = lambda: nodes.scale(BOTH, FIRST)
        machine.children[1].end()
        wait_until(lambda: len(machines.released) == 2)
    assert machines.released == ["actor/1"] * 2
    assert len(machine.children) == 2 and not supervisor.failures


def test_a_node_that_cannot_be_added_leaves_its_place():
    program, _ = make_group(size=1)
    machine = FakeMachine()
    machines = FakeMachines(machine)
    with placed(program, machines) as (nodes, _):
        machine.errors.append(OSError("no memory"))
        with pytest.raises(OSError, match="no memory"):
            nodes.scale(BOTH, BOTH)
        assert machines.released == ["actor/1"]
        nodes.scale(BOTH, BOTH)
        assert len(machine.children) == 2


# --- Groups with a size ---------------------------------------------------------------


def test_a_run_is_over_when_the_last_node_that_had_work_is_ended():
    program, _ = make_group(size=2)
    with placed(program, FakeMachines(FakeMachine())) as (nodes, supervisor):
        nodes.handle(process_of(nodes, "actor/0"), WorkReport(False, True))
        assert not nodes.is_work_over()
        before = supervisor.num_ends
        nodes.scale(BOTH, FIRST)
        assert nodes.is_work_over() and supervisor.num_ends == before + 1


def test_a_node_is_started_while_its_group_has_it():
    program, (first, second) = make_group(size=1)
    with placed(program, FakeMachines(FakeMachine())) as (nodes, _):
        found = [(nodes.is_started(first), nodes.is_started(second))]
        for wanted in (BOTH, FIRST):
            nodes.scale(BOTH, wanted)
            found.append((nodes.is_started(first), nodes.is_started(second)))
    assert found == [(True, False), (True, True), (True, False)]


# --- Silence, and ends that do not come -----------------------------------------------


@pytest.mark.parametrize("seconds, is_lost", [(12.0, False), (25.0, True)])
def test_a_process_of_another_host_may_be_silent_for_longer(
    monkeypatch, seconds, is_lost
):
    monkeypatch.setattr(Process, "silent_seconds", lambda self: seconds)
    program, _ = make_group(restart=RestartPolicy(backoff=30.0))
    here, there = FakeMachine(), FakeMachine("host 1", "10.0.0.2")
    with placed(program, FakeMachines(here, there, heartbeat=20.0)) as (nodes, _):
        nodes.status()
        assert here.children[0].is_killed
        assert there.children[0].is_killed == is_lost


def test_an_answer_that_is_overtaken_does_not_count_back():
    program, _ = make_group(1)
    with placed(program, FakeMachines(FakeMachine())) as (nodes, _):
        process = process_of(nodes, "actor/0")
        for number in (5, 3, None):
            nodes.handle(process, StatusReply(number, {}))
        assert process.answered == 5


def test_a_process_is_over_though_a_fork_of_it_holds_its_connection(monkeypatch):
    monkeypatch.setattr(process_module, "_FORK_SECONDS", 0.05)
    program, _ = make_group(1)
    machine = FakeMachine()
    with placed(program, FakeMachines(machine)) as (nodes, supervisor):
        child = machine.children[0]
        child.has_ended.set()
        assert process_of(nodes, "actor/0").is_over.wait(LIMIT)
        wait_until(lambda: supervisor.failures)
        child.theirs.close()


def test_a_process_that_cannot_be_killed_does_not_hold_up_the_end(monkeypatch, caplog):
    monkeypatch.setattr(launcher_module, "KILLED_SECONDS", 0.05)
    program, _ = make_group(1)
    machine = FakeMachine()
    with placed(program, FakeMachines(machine)) as (nodes, _):
        process, child = process_of(nodes, "actor/0"), machine.children[0]
        child.can_be_killed = False
    assert child.is_killed
    assert "process 'actor/0' was killed and has not ended" in caplog.text
    child.end()
    process.dispose()


def test_nor_does_it_hold_up_a_host_agent(monkeypatch, caplog):
    class Stuck(FakeMachine):
        def start(self, order):
            child = super().start(order)
            child.can_be_killed = False
            return child

    machine, (near, far) = Stuck(), socket.socketpair()
    monkeypatch.setattr(agent_module, "KILLED_SECONDS", 0.05)
    monkeypatch.setattr(agent_module, "LocalMachine", lambda name: machine)
    launcher = ControlConnection(far)
    launcher.send(Start(0, Order("actor/0", 1, {}, (), 1.0)))
    launcher.send(Leave("seen"))
    assert HostAgent(ControlConnection(near), 10.0).run() == ("seen", "")
    assert "process 'actor/0' was killed and has not ended" in caplog.text
    machine.children[0].end()
    launcher.close()


def test_a_machine_without_a_thread_can_be_closed(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    machine = LocalMachine("")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            machine.start(Order("actor/0", 1, {}, (), 1.0))
    machine.close()


# --- Nodes that are exposed to other programs -----------------------------------------


def listens(nodes, label, ip):
    """Its process says that it listens there for other programs."""
    endpoint = Endpoint(node=label, ip=ip, port=1, key="", name="", authority="")
    report = ListenReport(Address("", ""), {label: endpoint})
    nodes.handle(process_of(nodes, label), report)
    return nodes.endpoint(label).ip


def test_every_network_of_a_host_is_given_by_an_address_of_it():
    program, _ = make_group()
    machines = FakeMachines(FakeMachine(), FakeMachine("host 1", "10.0.0.2"))
    with placed(program, machines) as (nodes, _):
        assert listens(nodes, "actor/0", "0.0.0.0") == "0.0.0.0"
        assert listens(nodes, "actor/1", "0.0.0.0") == "10.0.0.2"
        # It listens at addresses of another kind only.
        assert listens(nodes, "actor/1", "::") == "::"
        assert listens(nodes, "actor/1", "10.9.9.9") == "10.9.9.9"


def test_a_node_that_only_another_host_reaches_is_named(caplog):
    program, _ = make_group()
    machines = FakeMachines(FakeMachine(), FakeMachine("host 1", "10.0.0.2"))
    with placed(program, machines) as (nodes, _):
        listens(nodes, "actor/0", "127.0.0.1")
        assert "listens at" not in caplog.text
        assert listens(nodes, "actor/1", "127.0.0.1") == "127.0.0.1"
    words = "node 'actor/1' is on host 1 and listens at 127.0.0.1, which only programs"
    assert words in caplog.text
    assert 'program.expose(handle, ip="0.0.0.0")' in caplog.text


def test_who_asks_for_an_endpoint_gets_none_of_a_process_that_has_ended():
    program, _ = make_group(1, restart=RestartPolicy(backoff=0.0))
    machine = FakeMachine()
    with placed(program, FakeMachines(machine)) as (nodes, _):
        listens(nodes, "actor/0", "127.0.0.1")
        machine.children[0].end()
        wait_until(lambda: len(machine.children) == 2)
        with pytest.raises(RpcTimeout, match="are starting"), deadline(0.0):
            nodes.endpoint("actor/0")
