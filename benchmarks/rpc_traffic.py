"""Mixed traffic: whether anything grows at a server whose callers are killed.

python -m benchmarks.rpc_traffic --out FILE.json [--seconds 600]
"""

from __future__ import annotations

import json
import os
import pickle
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from acmelike.rpc import Address, Credentials, new_key
from benchmarks.command import run_timed_benchmark
from benchmarks.machine import describe_machine
from benchmarks.report import Report, say
from benchmarks.rpc_traffic_sides import SERVER, Task
from benchmarks.trial import ROOT, TrialFailed

SECONDS, QUICK_SECONDS = 600.0, 20.0
NUM_CLIENTS = 8
# Of arrays that are sent and of values that are stored, in bytes.
SIZES = (1_000, 10_000, 100_000, 1_000_000, 3_000_000, 10_000_000)
STORED_SIZES = (1_000_000, 5_000_000, 20_000_000)
MEMORY_BAR = 1.05
WARM_UP_SECONDS = 5.0
# How long the server may take to notice that its callers are gone.
SETTLE_SECONDS = 15.0


class Sample(NamedTuple):
    """What a process holds.

    Attributes:
      seconds: since the traffic began.
      resident: bytes of memory, those that it shares included.
      private: those that it does not share.
      descriptors: open files and sockets.
      threads: of the process.
      maps: of memory that it shares with other processes.
    """

    seconds: float
    resident: int
    private: int
    descriptors: int
    threads: int
    maps: int


def sample(process: int, since: float) -> Sample:
    """What a process holds now, as the system tells it."""
    folder = Path(f"/proc/{process}")
    _, resident, shared, *_ = map(int, (folder / "statm").read_text().split())
    page = os.sysconf("SC_PAGE_SIZE")
    return Sample(
        seconds=round(time.monotonic() - since, 1),
        resident=resident * page,
        private=(resident - shared) * page,
        descriptors=len(list((folder / "fd").iterdir())),
        threads=len(list((folder / "task").iterdir())),
        maps=(folder / "maps").read_text().count("/memfd:acmelike"),
    )


class Traffic:
    """A server and its clients, each a process.

    Args:
      num_clients: at the same time.
    """

    def __init__(self, num_clients: int):
        self._num_clients, self._num_started = num_clients, 0
        self._credentials = Credentials(new_key())
        self._clients: deque[subprocess.Popen[bytes]] = deque()
        self._address: Address | None = None
        self.server = self._start("server", SERVER)
        assert self.server.stdout is not None
        line = self.server.stdout.readline()
        if not line:
            raise TrialFailed("the server did not start")
        self._address = pickle.loads(bytes.fromhex(line.decode()))

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_all()
        with self.server:
            self.server.kill()

    def fill(self) -> None:
        """Starts the clients that are missing.

        Raises:
          TrialFailed: a process has ended by itself.
        """
        for process in (self.server, *self._clients):
            if process.poll() is not None:
                raise TrialFailed(f"a process ended with {process.returncode}")
        while len(self._clients) < self._num_clients:
            self._num_started += 1
            label = f"client/{self._num_started}"
            self._clients.append(self._start("client", label))

    def kill_oldest(self) -> None:
        """Kills the client that has been there longest."""
        with self._clients.popleft() as client:
            client.kill()

    def kill_all(self) -> None:
        """Kills all clients."""
        while self._clients:
            self.kill_oldest()

    def sample_tidy(self, began: float) -> Sample:
        """What the server holds once it has let go of what it does not need."""
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.write(b"tidy\n")
        self.server.stdin.flush()
        self.server.stdout.readline()
        return sample(self.server.pid, began)

    def end(self) -> dict[str, int]:
        """Ends the server; returns how many calls of each method it has served."""
        said, _ = self.server.communicate()
        return json.loads(said)

    @property
    def num_started(self) -> int:
        """How many clients there have been."""
        return self._num_started

    def _start(self, side: str, label: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.rpc_traffic_sides", side],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if side == "server" else None,
        )
        assert process.stdin is not None
        task = Task(self._credentials, label, self._address, SIZES, STORED_SIZES)
        with suppress(BrokenPipeError):
            process.stdin.write(pickle.dumps(task))
            process.stdin.flush()
        return process


def run_traffic(seconds: float, num_clients: int = NUM_CLIENTS) -> dict[str, Any]:
    """Lets clients call, and kills one of them every second.

    Returns:
      `samples`, one a second; those `before` the traffic and `after` it, without
      clients; `calls` by method; and `killed`, how many clients were.
    """
    with Traffic(num_clients) as traffic:
        # Threads and buffers that the server makes once are there before it begins.
        traffic.fill()
        time.sleep(WARM_UP_SECONDS)
        traffic.kill_all()
        time.sleep(WARM_UP_SECONDS / 2)
        began = time.monotonic()
        before = traffic.sample_tidy(began)
        samples = []
        while (now := time.monotonic()) < began + seconds:
            traffic.fill()
            time.sleep(max(0.0, began + len(samples) + 1 - now))
            samples.append(sample(traffic.server.pid, began))
            traffic.kill_oldest()
        traffic.kill_all()
        limit = time.monotonic() + SETTLE_SECONDS
        after = traffic.sample_tidy(began)
        while after[3:] != before[3:] and time.monotonic() < limit:
            time.sleep(0.5)
            after = traffic.sample_tidy(began)
        num_killed = traffic.num_started
        calls = traffic.end()
    return {
        "samples": [each._asdict() for each in samples],
        "before": before._asdict(),
        "after": after._asdict(),
        "calls": calls,
        "killed": num_killed,
    }


def report_traffic(report: Report, found: dict[str, Any]) -> None:
    """Adds tables and bars."""
    quarters = _quarters(found["samples"])
    for kind, words in (("resident", "Resident"), ("private", "Private")):
        rows = {
            f"{name} quarter": [round(each[kind] / 1e6) for each in samples]
            for name, samples in zip(
                ("first", "second", "third", "last"), quarters, strict=True
            )
        }
        report.add_table(f"{words} memory of the server", "MB", rows)
    medians = [statistics.median(s["resident"] for s in part) for part in quarters]
    report.add_bar(
        "resident memory, last quarter over second",
        medians[3] / medians[1],
        "<=",
        MEMORY_BAR,
    )
    kinds = ("descriptors", "threads", "maps")
    for kind in kinds:
        rows = {"before": [found["before"][kind]], "after": [found["after"][kind]]}
        rows["with clients"] = [each[kind] for each in found["samples"]]
        report.add_table(f"{kind.capitalize()} of the server", "number", rows)
        report.add_bar(
            f"{kind} after the clients are gone",
            found["after"][kind],
            "<=",
            found["before"][kind],
        )
    calls = {name: [number] for name, number in found["calls"].items()}
    report.add_table("Calls that were served", "number", calls)
    # Or nothing was tested: each method has been called all the time.
    fewest = min(found["calls"].values())
    report.add_bar("calls of each method", fewest, ">=", len(found["samples"]))
    report.details.update(found)


def _quarters(samples: Sequence[Any]) -> list[Sequence[Any]]:
    ends = [len(samples) * part // 4 for part in range(5)]
    return [samples[ends[part] : ends[part + 1]] for part in range(4)]


def measure(seconds: float, quick: bool, command: str) -> Report:
    """Runs the traffic once."""
    if quick:
        seconds = QUICK_SECONDS
    elif seconds != SECONDS:
        command += f" --seconds {seconds:g}"
    report = Report(
        benchmark="rpc_traffic",
        title="Mixed traffic",
        command=command,
        machine=describe_machine(("numpy",)),
        notes=[
            f"{NUM_CLIENTS} processes call one server: small calls, arrays of 1 kB to "
            "10 MB in and out, calls that are cancelled or whose deadline passes, "
            "batched and concurrent methods, parameters of 4 MB that are published 4 "
            "times a second, and stored values of 1 to 20 MB that go from client to "
            "client.",
            "Every second one client is killed (SIGKILL) and replaced.",
            "Samples are of the server's process, one a second. `before` is after a "
            "short warm-up with clients that were killed, `after` when all are gone, "
            "both after a garbage collection.",
        ],
    )
    say(f"{seconds:g} s of traffic")
    found = run_traffic(seconds)
    report.notes.append(f"{found['killed']} clients were killed.")
    report_traffic(report, found)
    return report


if __name__ == "__main__":
    run_timed_benchmark("rpc_traffic", __doc__ or "", measure, SECONDS, sys.argv[1:])
