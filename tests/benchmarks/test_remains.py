"""What a run has left: processes, sockets and folders, and nothing that was there."""

import os
import signal
import socket
import subprocess
import sys
import tempfile

import pytest

from benchmarks.remains import Remains

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")

# A process that goes on when the one that has started it is gone.
ORPHAN = "sleep 60 < /dev/null > /dev/null 2>&1 & echo $!"


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """Runs of other tests have their folders elsewhere, and nothing has much time."""
    monkeypatch.setenv("ACMELIKE_BENCHMARK", "")  # It is gone after the test.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("benchmarks.remains._GRACE_SECONDS", 0.5)


def test_nothing_is_found_where_all_has_ended(tmp_path):
    (tmp_path / "acmelike-before").mkdir()
    with socket.socket():
        remains = Remains()
        subprocess.run(["true"], check=True)
        socket.socket().close()
        (tmp_path / "of-another").mkdir()
        assert remains.find() == []


def test_a_child_that_outlives_its_parent_is_found():
    remains = Remains()
    parent = subprocess.run(["sh", "-c", ORPHAN], capture_output=True, check=True)
    child = int(parent.stdout)
    try:
        (found,) = remains.find()
    finally:
        os.kill(child, signal.SIGKILL)
    assert found.strip() == f"process {child}: sleep 60"
    assert remains.find() == []


def test_a_child_of_before_is_not_found():
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            assert Remains().find() == []
        finally:
            child.kill()


def test_a_folder_of_a_run_is_found(tmp_path):
    remains = Remains()
    folder = tmp_path / "acmelike-x"
    folder.mkdir()
    assert remains.find() == [str(folder)]
    folder.rmdir()
    assert remains.find() == []


def test_an_open_socket_is_found():
    remains = Remains()
    with socket.socket() as sock:
        target = os.readlink(f"/proc/self/fd/{sock.fileno()}")
        assert remains.find() == [target]
    assert remains.find() == []
