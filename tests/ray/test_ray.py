"""The launcher `ray`, on a real Ray: one of the run's own, and a cluster of three."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from acmelike import Node, Program, RayConfig, Resources, RestartPolicy, launch
from acmelike.errors import ConfigError, NodeFailed
from tests.launchers.conftest import free_port
from tests.launchers.contract import LIMIT, Board, Noter
from tests.programs.small import SMALL
from tests.ray.starting import running_cluster

ROOT = Path(__file__).parents[2]
MINUTES = 90.0

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
ray = pytest.importorskip("ray", reason="needs Ray: make test-ray")


def make_program(num_actors=2):
    program = Program("ray")
    board = program.add_node(Node(Board), label="board")
    with program.group("actor"):
        for _ in range(num_actors):
            program.add_node(
                Node(Noter, board),
                restart=RestartPolicy(backoff=0.0),
                resources=Resources(num_cpus=0.5),
            )
    return program, board


def of_ray():
    """Processes of any Ray on this host, and what its runs keep in files."""
    found = set(Path(tempfile.gettempdir()).glob("acmelike-ray-*"))
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(b"raylet" in word or b"gcs_server" in word for word in words[:1]):
            found.add(path)
        if any(b"acmelike.launchers" in word for word in words):
            found.add(path)
    return found


def wait_until(is_so, seconds=20.0):
    limit = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < limit
        time.sleep(0.1)


@pytest.fixture(autouse=True)
def nothing_is_left(request):
    if "cluster" in request.fixturenames:
        request.getfixturevalue("cluster")  # It runs until the last test has ended.
    before = of_ray()
    yield
    wait_until(lambda: of_ray() <= before)


@pytest.fixture(scope="module")
def cluster():
    with running_cluster(num_cpus=3) as address:
        yield address


@contextmanager
def own_head(port):
    """The head of a cluster that knows the test's environment; gives its process."""
    ray = str(Path(sys.executable).with_name("ray"))
    head = [ray, "start", "--head", f"--port={port}", "--include-dashboard=false"]
    with tempfile.TemporaryDirectory(prefix="alr", dir="/tmp") as folder:
        process = subprocess.Popen(
            [*head, "--num-cpus=2", f"--temp-dir={folder}", "--block"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        with process:
            try:
                assert any("Ray runtime started" in line for line in process.stdout)
                yield process
            finally:
                os.killpg(process.pid, signal.SIGKILL)


def train(*args, program="dqn", variables=None):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "acmelike", "train", program, "--launch", "ray"),
            *(*SMALL[program], *args),
        ],
        cwd=ROOT,
        env={**os.environ, **(variables or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


ENDLESS = ("--max-env-steps", "10000000")


def hosts_of(status):
    return {label: node.host for label, node in status.items()}


def test_a_ray_of_its_own(tmp_path):
    program, board = make_program()
    with launch(program, "ray", logs=tmp_path) as run:
        notes = run.client(board).first(2)
        hosts = hosts_of(run.status())
        # An actor that is killed is restarted by the launcher, and not by Ray.
        os.kill(notes[0].process, signal.SIGKILL)
        run.client(board).first(3)
        assert sum(node.num_restarts for node in run.status().values()) == 1
        run.stop("seen")
        assert run.wait(LIMIT) == "seen"
    assert set(hosts.values()) == {"ray host 1"}
    assert (tmp_path / "actor-1.log").exists()


def test_a_program_is_trained_and_its_folder_is_whole(tmp_path):
    folder = tmp_path / "run"
    with train("--max-env-steps", "400", "--out", str(folder)) as process:
        said = process.communicate(timeout=MINUTES)[0]
    assert process.returncode == 0, said
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["status"], summary["launcher"]) == ("completed", "ray")
    assert summary["env_steps"] >= 400


def test_an_agent_that_is_killed_is_replaced(caplog):
    caplog.set_level(logging.INFO, "acmelike")
    program, board = make_program()
    program.set_resources("board", place="launcher")
    with launch(program, "ray") as run:
        notes = run.client(board).first(2)
        # It is the process that has started the actors, on the one host of Ray.
        os.kill(notes[0].parent, signal.SIGKILL)
        run.client(board).first(4)
        wait_until(lambda: caplog.text.count("ray host 1 (") == 2)
        assert notes[0].process not in [n.process for n in run.status().values()]


def test_a_group_grows_by_what_ray_reserves_for_it_and_gives_it_back(cluster):
    program = Program("elastic")
    board = program.add_node(Node(Board), label="board")
    with program.group("actor", size=1):
        for _ in range(16):
            actor, resources = Node(Noter, board), Resources(num_cpus=2)
            program.add_node(actor, resources=resources)
    config = RayConfig(address=cluster, place_seconds=5.0)
    with launch(program, "ray", ray=config) as run:
        run.client(board).first(1)
        assert run.room("actor") == 3  # Of nine cores, with three taken.
        run.scale("actor", 3)
        run.client(board).first(3)
        assert run.room("actor") == 1
        with pytest.raises(ConfigError, match="cannot place the nodes"):
            run.scale("actor", 8)
        run.scale("actor", 1)
        wait_until(lambda: run.room("actor") == 3)
        assert [n.phase for n in run.status().values()].count("waiting") == 1


def test_what_ray_cannot_place_is_said_in_one_line():
    program, _ = make_program()
    program.set_resources("actor/1", num_gpus=1)
    words = r"cannot place the nodes\. They need .*actor/1: 0\.5 cpus, 1 gpu\. It has "
    with pytest.raises(ConfigError, match=words):
        launch(program, "ray")


def test_an_address_without_ray_is_said_in_one_line(tmp_path):
    out = tmp_path / "run"
    with train("--ray-address", "127.0.0.1:1", "--out", str(out)) as process:
        said = process.communicate(timeout=MINUTES)[0]
    assert process.returncode == 2
    assert "error: no Ray answers at 127.0.0.1:1" in said.splitlines()[-1]
    assert not out.exists()


def test_ctrl_c_ends_the_run_in_order(tmp_path):
    folder = tmp_path / "run"
    with train(*ENDLESS, "--out", str(folder)) as process:
        metrics = folder / "metrics.jsonl"
        wait_until(lambda: metrics.exists() and metrics.read_text(), MINUTES)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=MINUTES)[0]
    assert process.returncode == 130, said
    assert "interrupted after" in said


def test_nothing_is_left_of_a_launcher_that_is_killed(tmp_path):
    folder = tmp_path / "run"
    with train(*ENDLESS, "--out", str(folder)) as process:
        metrics = folder / "metrics.jsonl"
        wait_until(lambda: metrics.exists() and metrics.read_text(), MINUTES)
        process.kill()
        process.stdout.read()


def test_nodes_are_spread_over_a_cluster(cluster):
    program, board = make_program(num_actors=3)
    config = RayConfig(address=cluster)
    with launch(program, "ray", ray=config) as run:
        run.client(board).first(3)
        hosts = hosts_of(run.status())
    actors = [host for label, host in hosts.items() if label != "board"]
    assert len(set(actors)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("program", sorted(SMALL.keys() - {"dqn"}))
def test_every_program_runs_on_a_cluster(tmp_path, cluster, program):
    folder = tmp_path / "run"
    args = ("--max-env-steps", "200", "--place", "actor=cpus:0.5", "--no-ray-send")
    where = ("--ray-address", cluster, "--out", str(folder))
    with train(*args, *where, program=program) as process:
        said = process.communicate(timeout=MINUTES)[0]
    assert process.returncode == 0, said
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["learner_steps"] > 0
    actors = [h for label, h in summary["hosts"].items() if label.startswith("actor")]
    # They are spread: on two hosts at least, as the first may be full of other nodes.
    counts = [actors.count(host) for host in set(actors)]
    assert len(counts) >= min(2, len(actors)) and max(counts) - min(counts) <= 1


def test_labels_choose_the_host_in_a_cluster(cluster):
    program, board = make_program(num_actors=2)
    for label, zone in (("actor/0", "b"), ("actor/1", "b"), ("board", "c")):
        program.set_resources(label, labels={"zone": zone})
    with launch(program, "ray", ray=RayConfig(address=cluster)) as run:
        run.client(board).first(2)
        hosts = hosts_of(run.status())
    assert hosts["actor/0"] == hosts["actor/1"] != hosts["board"]


def test_a_folder_that_is_too_large_is_not_sent(cluster, tmp_path):
    program, _ = make_program()
    with (tmp_path / "large").open("wb") as file:
        file.truncate(600 * 10**6)
    config = RayConfig(address=cluster, working_dir=str(tmp_path))
    with pytest.raises(ConfigError, match=r"has more than 500 MB, .*--no-ray-send"):
        launch(program, "ray", ray=config)


@pytest.fixture
def own_token(tmp_path, monkeypatch):
    """What Ray's processes know that are started from here."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 32)


@pytest.mark.slow
@pytest.mark.usefixtures("own_token")
@pytest.mark.parametrize("token", [None, "f" * 32])
def test_another_token_is_said_in_one_line(token, monkeypatch):
    port = free_port()
    with own_head(port):
        if token is None:
            monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        else:
            monkeypatch.setenv("RAY_AUTH_TOKEN", token)
        with pytest.raises(ConfigError, match="is the token the same"):
            config = RayConfig(address=f"127.0.0.1:{port}")
            launch(make_program()[0], "ray", ray=config)


def test_another_version_is_said_in_one_line(tmp_path, cluster):
    words = "import ray\nray.__version__ = '1.0.0'\n"
    (tmp_path / "sitecustomize.py").write_text(words)
    out, variables = tmp_path / "run", {"PYTHONPATH": str(tmp_path)}
    where = ("--ray-address", cluster, "--out", str(out))
    with train(*where, variables=variables) as process:
        said = process.communicate(timeout=MINUTES)[0]
    assert process.returncode == 2
    error = said.splitlines()[-1]
    assert f"error: the Ray at {cluster} cannot be used: " in error
    assert "1.0.0" in error and ray.__version__ in error
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("own_token")
def test_nothing_is_left_of_a_run_whose_ray_has_lost_its_head(monkeypatch):
    # As long as it takes until Ray ends what it has started: a minute by default.
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "5")
    program, board = make_program()
    port = free_port()
    with own_head(port) as head:
        config = RayConfig(address=f"127.0.0.1:{port}", working_dir=None)
        with launch(program, "ray", ray=config) as run:
            run.client(board).first(2)
            (server,) = children(head.pid, b"gcs_server")
            os.kill(server, signal.SIGKILL)
            with pytest.raises(NodeFailed, match="node 'board' failed"):
                run.wait(MINUTES)


def children(parent, name):
    """The child processes of a process whose commands have a name."""
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    command = {number: Path(f"/proc/{number}/cmdline").read_bytes() for number in found}
    return [int(number) for number, words in command.items() if name in words]


def test_ctrl_c_while_ray_has_no_room(tmp_path, cluster):
    program, board = make_program(num_actors=3)
    program.set_resources("actor", num_cpus=2)
    where = ("--ray-address", cluster, "--no-ray-send", "--place", "actor=cpus:2")
    with launch(program, "ray", ray=RayConfig(address=cluster)) as run:
        run.client(board).first(3)
        with train(*where, "--num-actors", "3") as process:
            assert any("until the Ray cluster has room" in x for x in process.stdout)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=MINUTES)[0]
    assert process.returncode == 130, said


def test_what_a_cluster_has_too_little_of_is_said(cluster):
    program, _ = make_program(num_actors=2)
    program.set_resources("actor", num_cpus=6)
    words = r"needs? .*actor/0: 6 cpus.* It has 9 cpus, 0 gpus, .*--place NAME=cpus"
    with pytest.raises(ConfigError, match=words):
        launch(program, "ray", ray=RayConfig(address=cluster))
    program.set_resources("actor", num_cpus=1, labels={"zone": "x"})
    with pytest.raises(ConfigError, match="the label zone=x"):
        launch(program, "ray", ray=RayConfig(address=cluster, place_seconds=3.0))
