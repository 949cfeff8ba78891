"""A Ray cluster of hosts that have nothing in common but a network.

The code is on the first host only: on the others, its folders are empty.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.hosts.namespaces import (
    LIMIT,
    NUM_HOSTS,
    ROOT,
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

PORT = 6399
TOKEN = "0123456789abcdef" * 2
HIDDEN = (".editable", "acmelike", "agents", "programs", "benchmarks", "tests")
RAY = str(Path(sys.executable).with_name("ray"))

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
pytest.importorskip("ray", reason="needs Ray: make test-ray")


def environment(folder):
    """A home of the test's own, and a token and TLS that all hosts know."""
    variables = {**os.environ, "HOME": str(folder), "RAY_AUTH_MODE": "token"}
    variables |= {"RAY_AUTH_TOKEN": TOKEN, "RAY_USE_TLS": "1"}
    for name in ("RAY_TLS_SERVER_CERT", "RAY_TLS_CA_CERT"):
        variables[name] = str(folder / "certificate.pem")
    variables["RAY_TLS_SERVER_KEY"] = str(folder / "key.pem")
    variables.pop("PYTHONPATH", None)
    return variables


def make_certificate(folder):
    """What all of Ray's processes show each other."""
    names = ",".join(f"IP:{address(rank)}" for rank in range(NUM_HOSTS))
    names += ",IP:127.0.0.1,DNS:localhost"
    words = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=ray -days 9 -addext"
    more = [f"subjectAltName={names}", "-keyout", folder / "key.pem"]
    more += ["-out", folder / "certificate.pem"]
    subprocess.run([*words.split(), *more], check=True, capture_output=True)


def start_ray(rank, folder):
    begin = [RAY, "start", f"--node-ip-address={address(rank)}", "--num-cpus=4"]
    begin.append(f"--labels=rank=r{rank}")
    if rank == 0:
        ray = [*begin, "--head", f"--port={PORT}", "--include-dashboard=false"]
        ray.append(f"--temp-dir={folder}/r")
        return [*inside(rank), *ray, "--block"]
    ray = [*begin, f"--address={address(0)}:{PORT}", "--block"]
    hide = "; ".join(f"mount -t tmpfs none {ROOT / name}" for name in HIDDEN)
    words = f"{hide}; cd /; exec {' '.join(ray)}"
    return [*inside(rank), "unshare", "-m", "sh", "-c", words]


def wait_until(is_so, seconds=LIMIT):
    limit = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < limit
        time.sleep(0.2)


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory):
    folder = Path("/tmp") / f"alr{os.getpid()}"  # Names of sockets have to be short.
    with make_hosts():
        started = []
        folder.mkdir()
        try:
            make_certificate(folder)
            for rank in range(NUM_HOSTS):
                with (folder / f"ray{rank}.log").open("w") as log:
                    started.append(
                        subprocess.Popen(
                            start_ray(rank, folder),
                            env=environment(folder),
                            stdout=log,
                            stderr=subprocess.STDOUT,
                        )
                    )
                said = (folder / f"ray{rank}.log").read_text
                wait_until(lambda said=said: "Ray runtime started" in said())
            yield folder
        finally:
            for rank in range(NUM_HOSTS):
                for process in processes(rank):
                    subprocess.run(["kill", "-9", process])
            for process in started:
                process.wait()
            subprocess.run(["rm", "-rf", str(folder)])


class RunOnRay(CommandsOnHosts):
    """A command on the first host, where those are whose loss would end the run."""

    def __init__(self, folder, cluster, *args, replay="r0"):
        command = [
            *(sys.executable, "-m", "acmelike", "train", "dqn", *SMALL["dqn"]),
            *("--launch", "ray", "--ray-address", f"{address(0)}:{PORT}"),
            *("--num-actors", "3", "--out", str(folder / "run")),
            *("--place", f"replay=label:rank={replay}", "learner=label:rank=r0"),
            *("evaluator=label:rank=r0", *args),
        ]
        variables = environment(cluster)
        super().__init__(folder / "run", [[*inside(0), *command]], variables)

    def interrupt(self):
        for process in processes(0):
            command = Path(f"/proc/{process}/cmdline").read_bytes()
            if b"acmelike\0train" in command:
                os.kill(int(process), signal.SIGINT)


def test_the_code_is_sent_to_hosts_that_do_not_have_it(tmp_path, cluster):
    with RunOnRay(tmp_path, cluster, "--max-env-steps", "2000") as run:
        (said,), statuses = run.end()
    assert statuses == [0], said
    assert "sending" in said
    hosts = run.summary()["hosts"]
    assert (
        len({host for label, host in hosts.items() if label.startswith("actor")}) == 3
    )


def test_a_host_that_was_cut_off_is_back(tmp_path, cluster):
    with RunOnRay(tmp_path, cluster, "--max-env-steps", "100000000") as run:
        run.wait_for("updates,")
        cut(2)
        run.wait_for("it was not heard")
        run.wait_for("it is restarted")
        mend(2)
        began = time.monotonic()
        run.wait_for("is back")
        assert time.monotonic() - began < 5.0
        run.wait_for("1 restart")  # In a progress line.
        run.interrupt()
        said, statuses = run.end()
    assert statuses == [130], said
    assert run.summary()["num_restarts"] == 1


def test_the_loss_of_replays_host_ends_the_run(tmp_path, cluster):
    steps = ("--max-env-steps", "100000000")
    with RunOnRay(tmp_path, cluster, *steps, replay="r1") as run:
        loses_replays_host(run)


def test_the_network_sees_no_names_keys_or_arrays(tmp_path, cluster):
    with captured(tmp_path) as capture:
        with RunOnRay(tmp_path, cluster, "--max-env-steps", "2000") as run:
            (said,), statuses = run.end()
    seen = capture.read_bytes()
    assert statuses == [0] and len(seen) > 1_000_000, said
    for word in (
        *(TOKEN.encode(), b"numpy", b"cloudpickle", b"acmelike", b"PRIVATE KEY"),
        *(b"actor/", b"learner", b"replay", b"next_parameters"),
    ):
        assert word not in seen, word
