"""The flags of a run on several hosts: from the command line, or the scheduler's."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from acmelike.errors import ConfigError
from acmelike.experiments.command import train_command
from acmelike.experiments.hosts import make_hosts_config
from acmelike.launchers import HostsConfig
from acmelike.launchers.hosts import rendezvous as rendezvous_module
from acmelike.launchers.hosts.launcher import Hosts
from acmelike.launchers.hosts.rendezvous import guest_certificate, join_rendezvous
from acmelike.launchers.processes.capacity import capacity_of_this_host
from acmelike.programs.dqn import PROGRAM
from acmelike.rpc import HEARTBEAT_SECONDS, Authority, Identity
from tests.launchers.conftest import free_port
from tests.launchers.contract import LIMIT

GIVEN = {
    "hosts": 3,
    "rank": 1,
    "rendezvous": "10.0.0.1:7000",
    "secret_file": None,
    "host_labels": (),
}
SECRET = "0123456789abcdef"


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    of_mpi = "OMPI_COMM_WORLD_RANK", "PMI_RANK"
    of_slurm = "SLURM_NODEID", "SLURM_STEP_NUM_NODES"
    for name in (*of_mpi, *of_slurm, "JOB_COMPLETION_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ACMELIKE_SECRET", SECRET)


def make(launch="hosts", **changes):
    return make_hosts_config(SimpleNamespace(launch=launch, **{**GIVEN, **changes}))


def test_they_make_a_config():
    assert make() == HostsConfig(
        num_hosts=3, rank=1, rendezvous="10.0.0.1:7000", secret=SECRET.encode()
    )
    assert make().place == ("10.0.0.1", 7000)
    assert make(rendezvous="[fd00::1]:7000").place == ("fd00::1", 7000)
    assert SECRET not in repr(make())


def test_a_rendezvous_that_others_cannot_reach_is_refused():
    for rendezvous in ("0.0.0.0:7000", "[::]:7000"):
        with pytest.raises(ConfigError, match=r"such as 10\.0\.0\.1:7000: "):
            make(rendezvous=rendezvous)


def test_a_short_secret_is_refused_from_python_too():
    settings = {"num_hosts": 2, "rank": 0, "rendezvous": "10.0.0.1:7000"}
    with pytest.raises(ConfigError, match="secret must have at least 16 bytes"):
        HostsConfig(**settings, secret=b"")


@pytest.mark.parametrize(
    ("size", "rank"),
    [
        ("SLURM_NNODES", "SLURM_NODEID"),
        ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
        ("PMI_SIZE", "PMI_RANK"),
    ],
)
def test_a_scheduler_numbers_the_hosts(monkeypatch, size, rank):
    monkeypatch.setenv(size, "5")
    monkeypatch.setenv(rank, "4")
    found = make(hosts=None, rank=None)
    assert (found.num_hosts, found.rank) == (5, 4)
    assert make(rank=2).rank == 2  # A flag counts more.


@pytest.mark.parametrize(
    ("size", "rank"),
    [("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"), ("PMI_SIZE", "PMI_RANK")],
)
def test_mpi_numbers_processes_of_one_node_of_slurm(monkeypatch, size, rank):
    # Two of them on each of two nodes; this is the second on the first node.
    of_slurm = {"SLURM_STEP_NUM_NODES": "2", "SLURM_NNODES": "2", "SLURM_NODEID": "0"}
    for name, value in {**of_slurm, size: "4", rank: "1"}.items():
        monkeypatch.setenv(name, value)
    found = make(hosts=None, rank=None)
    assert (found.num_hosts, found.rank) == (4, 1)


def test_a_step_of_slurm_may_have_fewer_hosts_than_its_job(monkeypatch):
    of_slurm = {"SLURM_STEP_NUM_NODES": "2", "SLURM_NNODES": "5", "SLURM_NODEID": "1"}
    for name, value in of_slurm.items():
        monkeypatch.setenv(name, value)
    found = make(hosts=None, rank=None)
    assert (found.num_hosts, found.rank) == (2, 1)


def test_kubernetes_says_the_rank_alone(monkeypatch):
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "2")
    assert make(rank=None).rank == 2
    with pytest.raises(ConfigError, match="hosts must be given"):
        make(hosts=None, rank=None)


def test_a_secret_may_be_in_a_file_that_others_cannot_read(tmp_path, monkeypatch):
    path = tmp_path / "secret"
    path.write_text("fedcba9876543210\n")
    path.chmod(0o600)
    assert make(secret_file=str(path)).secret == b"fedcba9876543210"
    path.chmod(0o640)
    with pytest.raises(ConfigError, match=r"other users can read it; chmod 600 "):
        make(secret_file=str(path))
    with pytest.raises(ConfigError, match="No such file"):
        make(secret_file=str(tmp_path / "nothing"))
    monkeypatch.setenv("ACMELIKE_SECRET", "short")
    with pytest.raises(ConfigError, match="fewer than 16 bytes"):
        make()
    monkeypatch.delenv("ACMELIKE_SECRET")
    with pytest.raises(ConfigError, match="openssl rand -hex 32"):
        make()


@pytest.mark.parametrize("name", ["hosts", "rank", "rendezvous"])
def test_what_is_missing_is_said(name):
    with pytest.raises(ConfigError, match=f"^{name} must be given with --launch hosts"):
        make(**{name: None})


def test_other_launchers_have_no_hosts():
    nothing = dict.fromkeys(GIVEN)
    assert make("threads", **nothing) is None
    with pytest.raises(ConfigError, match="rank is for --launch hosts, not threads"):
        make("threads", **{**nothing, "rank": 0})


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--launch", "hosts"], "hosts must be given with --launch hosts"),
        (["--rank", "1"], "rank is for --launch hosts, not threads"),
        (["--host-labels", "a=b"], "host_labels is for --launch hosts, not threads"),
        (["--ray-address", "x:1"], "ray_address is for --launch ray, not threads"),
        (["--place", "actor"], "--place must have the form NAME=spread, pack"),
        (
            ["--place", "actors=spread"],
            "no group or node 'actors'; did you mean 'actor'? (there are: actor, ",
        ),
        (["--place", "replay=cpus:0"], "num_cpus must be finite and above 0: 0"),
        (
            [
                *("--launch", "hosts", "--hosts", "2", "--rank", "2"),
                *("--rendezvous", "127.0.0.1:7000"),
            ],
            "rank must be from 0 to 1, as there are 2 hosts: 2",
        ),
        (
            [
                *("--launch", "hosts", "--hosts", "2", "--rank", "0"),
                *("--rendezvous", "0.0.0.0:7000"),
            ],
            "rendezvous must be an address of the launcher's host that the others ",
        ),
        (
            ["--launch", "ray", "--ray-address", "ray://x:1"],
            "ray-address ray://x:1: an address with ray:// cannot be used",
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(tmp_path, capsys, args, words):
    out = tmp_path / "x"
    assert train_command(PROGRAM, [*args, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error
    assert not os.path.exists(out)


# --- Mistakes that show when hosts meet; each function gives the place ----------------


@contextmanager
def launching():
    """The launcher of a run, where hosts may join; gives its hosts."""
    authority = Authority(SECRET.encode())
    hosts = Hosts(("127.0.0.1", 0), authority, {}, HEARTBEAT_SECONDS)
    try:
        yield hosts
    finally:
        hosts.close("the test is over")


@contextmanager
def another_secret(monkeypatch):
    with launching() as hosts:
        monkeypatch.setenv("ACMELIKE_SECRET", "not the one that is meant")
        yield hosts.place


@contextmanager
def another_version(monkeypatch):
    versions = rendezvous_module.versions

    def versions_there():
        is_launcher = threading.current_thread().name == "guest"
        return versions() if is_launcher else {**versions(), "acmelike": "0.0.1"}

    monkeypatch.setattr(rendezvous_module, "versions", versions_there)
    with launching() as hosts:
        yield hosts.place


@contextmanager
def another_host_of_that_rank(monkeypatch):
    identity = Identity()
    authority, capacity = Authority(SECRET.encode()), capacity_of_this_host()
    identity.take(guest_certificate(authority, identity.public_key))
    with launching() as hosts:
        with pytest.raises(ConfigError, match="have not joined"):
            hosts.wait_for({1: "host 1"}, 0.0)  # From now on it may come.
        line, _ = join_rendezvous(*hosts.place, identity, 1, capacity, False, LIMIT)
        try:
            hosts.wait_for({1: "host 1"}, LIMIT)
            yield hosts.place
        finally:
            line.close()


@contextmanager
def closed_ports(monkeypatch):
    def bind(ip):
        sock = socket.socket()
        sock.bind((ip, 0))
        return sock

    monkeypatch.setattr(rendezvous_module, "_listener", bind)
    with launching() as hosts:
        yield hosts.place


@contextmanager
def another_launcher(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()


@contextmanager
def an_address_of_no_host(monkeypatch):
    yield "192.0.2.1", 7000  # RFC 5737 keeps it for documents.


@contextmanager
def nobody(monkeypatch):
    yield "127.0.0.1", free_port()


JOINS = ("--hosts", "2", "--rank", "1")
LAUNCHES = ("--hosts", "2", "--rank", "0")
NEEDS_A_LABEL = (
    *("--hosts", "1", "--rank", "0"),
    *("--host-labels", "zone=a", "--place", "replay=label:zone=b"),
)


@pytest.mark.parametrize(
    ("there", "args", "words"),
    [
        (another_secret, JOINS, "its launcher has another secret"),
        (another_version, JOINS, "refuses this host: it has acmelike 0.0.1, and "),
        (another_host_of_that_rank, JOINS, "there is another host of rank 1"),
        (closed_ports, JOINS, "refuses this host: it cannot reach 127.0.0.1:"),
        (another_launcher, LAUNCHES, "cannot listen there: Address already in use"),
        (an_address_of_no_host, LAUNCHES, "there: Cannot assign requested address"),
        (nobody, NEEDS_A_LABEL, "no host has what node 'replay' needs (1 cpu, the "),
    ],
)
def test_what_hosts_refuse_is_one_line_and_leaves_no_folder(
    tmp_path, capsys, monkeypatch, there, args, words
):
    out = tmp_path / "x"
    with there(monkeypatch) as place:
        where = ("--launch", "hosts", "--rendezvous", "{}:{}".format(*place))
        usual = ("--environment", "Catch", "--out", str(out))
        assert train_command(PROGRAM, [*where, *args, *usual]) == 2
    said = capsys.readouterr().err.splitlines()
    errors = [line for line in said if line.startswith("error:")]
    assert len(errors) == 1 and words in errors[0]
    assert not out.exists()
