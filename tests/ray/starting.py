"""Starts the cluster of `cluster.py`, for tests that launch on it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from tests.launchers.contract import LIMIT

SCRIPT = Path(__file__).with_name("cluster.py")


@contextmanager
def running_cluster(num_cpus):
    """Gives its address; each of its three hosts has so many cores, in name."""
    # Names of sockets have to be short.
    with tempfile.TemporaryDirectory(
        prefix="alr", dir="/tmp", ignore_cleanup_errors=True
    ) as folder:
        variables = {**os.environ, "RAY_TMPDIR": folder}
        # Else it starts a worker for each of the cores, which are not there.
        variables["RAY_prestart_worker_first_driver"] = "0"
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(num_cpus)],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with process:
            address = process.stdout.readline().strip()
            assert address, "the Ray cluster has not started"
            yield address
            process.stdin.close()
            process.wait(LIMIT)
