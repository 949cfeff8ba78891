"""Runs on hosts that have nothing in common but a network, with `--launch hosts`."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from tests.hosts.namespaces import (
    NUM_HOSTS,
    CommandsOnHosts,
    address,
    captured,
    cut,
    inside,
    loses_replays_host,
    make_hosts,
    mend,
    processes,
)
from tests.programs.small import SMALL

PLACE = f"{address(0)}:7000"

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", autouse=True)
def hosts():
    with make_hosts():
        yield


class RunOnHosts(CommandsOnHosts):
    """The same command on each host."""

    def __init__(self, folder, *args, program="dqn"):
        secret = folder / "secret"
        secret.write_text(os.urandom(32).hex())
        secret.chmod(0o600)
        command = [
            *(sys.executable, "-m", f"programs.{program}", *SMALL[program]),
            *("--launch", "hosts", "--hosts", str(NUM_HOSTS)),
            *("--rendezvous", PLACE, "--secret-file", str(secret)),
            *("--num-actors", "3", *args),
        ]
        commands = []
        for rank in range(NUM_HOSTS):
            own = ["--rank", str(rank), "--host-labels", f"rank=r{rank}"]
            own += ["--out", str(folder / "run")] if rank == 0 else []
            commands.append([*inside(rank), *command, *own])
        super().__init__(folder / "run", commands)

    def interrupt(self):
        self.commands[0].send_signal(signal.SIGINT)

    def end(self):
        found = super().end()
        assert not any(processes(rank) for rank in range(NUM_HOSTS))
        return found


def test_a_program_runs_on_three_hosts(tmp_path):
    with RunOnHosts(tmp_path, "--max-env-steps", "3000") as run:
        said, statuses = run.end()
    assert statuses == [0, 0, 0]
    assert all("the budget of 3000 environment steps is used" in each for each in said)
    where = run.summary()["hosts"]
    assert {where[f"actor/{i}"] for i in range(3)} == {"host 0", "host 1", "host 2"}
    others = ("learner", "replay", "coordinator", "evaluator")
    assert {where[label] for label in others} == {"host 0"}


@pytest.mark.slow
@pytest.mark.parametrize("program", sorted(SMALL.keys() - {"dqn"}))
def test_every_program_runs_on_hosts(tmp_path, program):
    with RunOnHosts(tmp_path, "--max-env-steps", "200", program=program) as run:
        said, statuses = run.end()
    assert statuses == [0, 0, 0], said
    summary = run.summary()
    assert summary["learner_steps"] > 0
    assert set(summary["hosts"].values()) == {"host 0", "host 1", "host 2"}


def test_a_short_cut_costs_nothing_and_a_long_one_a_host(tmp_path):
    with RunOnHosts(tmp_path, "--max-env-steps", "100000000") as run:
        run.wait_for("updates,")
        cut(2)
        time.sleep(4.0)
        mend(2)
        cut(1)
        run.wait_for("host 1 is lost: it was not heard")
        run.wait_for("it is restarted")
        mend(1)
        began = time.monotonic()
        run.wait_for("is back")
        assert time.monotonic() - began < 5.0
        run.wait_for("1 restart")
        run.interrupt()
        said, statuses = run.end()
    assert statuses == [130, 0, 0]
    summary = run.summary()
    assert summary["num_restarts"] == 1
    assert "host 2 is lost" not in run.log()
    assert "all processes here have ended" in said[1]


def test_the_loss_of_replays_host_ends_the_run(tmp_path):
    place = ("--place", "replay=label:rank=r1")
    with RunOnHosts(tmp_path, "--max-env-steps", "100000000", *place) as run:
        loses_replays_host(run)


def test_the_network_sees_no_names_keys_or_arrays(tmp_path):
    with captured(tmp_path) as capture:
        with RunOnHosts(tmp_path, "--max-env-steps", "2000") as run:
            _, statuses = run.end()
    seen = capture.read_bytes()
    assert statuses == [0, 0, 0] and len(seen) > 1_000_000
    secret = (tmp_path / "secret").read_bytes()
    for word in (
        *(secret, b"numpy", b"cloudpickle", b"acmelike", b"PRIVATE KEY"),
        *(b"CERTIFICATE", b"actor/", b"learner", b"replay", b"next_parameters"),
    ):
        assert word not in seen, word
