"""The flags of a run on several hosts: from the command line, or the scheduler's."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from acmelike.errors import ConfigError
from acmelike.experiments.command import train_command
from acmelike.experiments.hosts import make_hosts_config
from acmelike.launchers import HostsConfig
from acmelike.programs.dqn import PROGRAM

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
    for name in ("SLURM_NODEID", *of_mpi, "JOB_COMPLETION_INDEX"):
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
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(tmp_path, capsys, args, words):
    out = tmp_path / "x"
    assert train_command(PROGRAM, [*args, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error
    assert not os.path.exists(out)
