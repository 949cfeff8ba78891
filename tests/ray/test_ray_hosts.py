"""A Ray cluster of hosts that have nothing in common but a network.

The code is on the first host only: on the others, its folders are empty.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.hosts.namespaces import (
    NUM_HOSTS,
    address,
    cut,
    inside,
    make_hosts,
    mend,
    processes,
)
from tests.programs.small import SMALL

ROOT = Path(__file__).parents[2]
PORT = 6399
LIMIT = 120.0
HIDDEN = (".editable", "acmelike", "agents", "programs", "benchmarks", "tests")
RAY = str(Path(sys.executable).with_name("ray"))

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
pytest.importorskip("ray", reason="needs Ray: make test-ray")


def environment(folder):
    """A home of the test's own, and a token that all hosts know."""
    variables = {**os.environ, "HOME": str(folder), "RAY_AUTH_MODE": "token"}
    variables |= {"RAY_AUTH_TOKEN": "0123456789abcdef" * 2}
    variables.pop("PYTHONPATH", None)
    return variables


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
    folder.mkdir()
    with make_hosts():
        started = []
        try:
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


class RunOnRay:
    """A command on the first host."""

    def __init__(self, folder, cluster, *args):
        self.folder = folder / "run"
        command = [
            *(sys.executable, "-m", "acmelike", "train", "dqn", *SMALL["dqn"]),
            *("--launch", "ray", "--ray-address", f"{address(0)}:{PORT}"),
            *("--num-actors", "3", "--out", str(self.folder)),
            # Those whose loss would end the run.
            *("--place", "replay=label:rank=r0", "learner=label:rank=r0"),
            *("evaluator=label:rank=r0", *args),
        ]
        self.command = subprocess.Popen(
            [*inside(0), *command],
            cwd=ROOT,
            env=environment(cluster),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self.command:
            self.command.kill()

    def wait_for(self, words):
        """Returns when these words are in the log."""
        log = self.folder / "logs" / "run.log"

        def is_said():
            assert self.command.poll() is None, self.command.stdout.read()
            return log.exists() and words in log.read_text()

        wait_until(is_said)

    def end(self):
        said = self.command.communicate(timeout=LIMIT)[0]
        return said, json.loads((self.folder / "summary.json").read_text())


def test_the_code_is_sent_to_hosts_that_do_not_have_it(tmp_path, cluster):
    with RunOnRay(tmp_path, cluster, "--max-env-steps", "2000") as run:
        said, summary = run.end()
    assert run.command.returncode == 0, said
    assert "sending" in said
    actors = {h for label, h in summary["hosts"].items() if label.startswith("actor")}
    assert len(actors) == 3


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
        for process in processes(0):
            command = Path(f"/proc/{process}/cmdline").read_bytes()
            if b"acmelike\0train" in command:
                os.kill(int(process), signal.SIGINT)
        said, summary = run.end()
    assert run.command.returncode == 130, said
    assert summary["num_restarts"] == 1
