"""What only `processes` does: places, environments, output, and how things die."""

from __future__ import annotations

import io
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from acmelike import (
    Node,
    Program,
    Resources,
    RestartPolicy,
    concurrent,
    launch,
    node_seed,
    sleep,
    start,
    stop_run,
)
from acmelike.errors import ConfigError, NodeFailed, RpcFailed
from acmelike.launchers.processes import launcher as launcher_module
from acmelike.launchers.processes import process as process_module
from acmelike.launchers.processes.control import FailureReport, StopReport
from acmelike.launchers.processes.launcher import ProcessNodes
from acmelike.launchers.processes.machine import LocalChild
from acmelike.launchers.processes.output import LastLine, log_files, pass_on_output
from tests.launchers.fakes import wait_until

LIMIT = 30.0


class Place:
    """Says where it lives."""

    def process(self):
        return os.getpid()

    def variable(self, name):
        return os.environ.get(name)

    def has_module(self, name):
        return name in sys.modules


class Sleeper:
    """Prints a line and waits for the end."""

    def step(self):
        print("good night", flush=True)
        sleep(None, "the end of the run")


class Broken:
    """Fails in its step."""

    def step(self):
        self._ride()

    def _ride(self):
        raise ValueError("a flat tyre")


def test_the_traceback_of_a_failure_begins_with_the_code_of_the_node():
    program = Program("broken")
    program.add_node(Node(Broken), label="broken")
    with launch(program, "processes") as run:
        with pytest.raises(NodeFailed) as caught:
            run.wait(LIMIT)
    text = str(caught.value.__cause__.__cause__)
    frames = [line for line in text.splitlines() if line.strip().startswith("File ")]
    assert [frame.split()[-1] for frame in frames] == ["step", "_ride"]
    assert text.endswith("ValueError: a flat tyre")


class Handling:
    """Installs a handler of a signal when it is made, and gets it in a step."""

    def __init__(self):
        self.got = []
        signal.signal(signal.SIGUSR1, lambda number, _: self.got.append(number))

    def step(self):
        os.kill(os.getpid(), signal.SIGUSR1)
        if self.got:
            stop_run(f"signal {self.got[0]} in {threading.current_thread().name}")


def test_a_node_that_has_its_process_for_itself_may_handle_signals():
    program = Program("signals")
    program.add_node(Node(Handling), label="handling")
    with launch(program, "processes") as run:
        assert run.wait(LIMIT) == f"signal {int(signal.SIGUSR1)} in MainThread"


def test_nodes_that_share_a_process_may_not():
    program = Program("signals")
    with program.colocate("shared"):
        program.add_node(Node(Handling), label="handling")
        program.add_node(Node(Sleeper), label="sleeper")
    with launch(program, "processes") as run:
        with pytest.raises(NodeFailed, match="signal only works in main thread"):
            run.wait(LIMIT)


def test_every_node_has_its_process_and_colocated_ones_share():
    program = Program("places")
    with program.colocate("shared"):
        one = program.add_node(Node(Place), label="one")
        two = program.add_node(Node(Place), label="two")
    three = program.add_node(Node(Place), label="three")
    with launch(program, "processes") as run:
        found = [run.client(place).process() for place in (one, two, three)]
        status = run.status()
    assert found[0] == found[1]
    assert len({os.getpid(), *found}) == 3
    assert [status[label].process for label in ("one", "two", "three")] == found
    assert all(node.memory_bytes > 1e6 for node in status.values())


@pytest.mark.parametrize("is_program", [False, True])
def test_nodes_have_variables_and_as_many_threads_as_cpus(monkeypatch, is_program):
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC", "XLA_FLAGS")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    if is_program:  # As `run_program` has it, for its own process.
        monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    program = Program("variables")
    small = program.add_node(Node(Place), label="small", variables={"COLOUR": "red"})
    large = program.add_node(
        Node(Place), label="large", resources=Resources(num_cpus=3)
    )
    with launch(program, "processes") as run:
        small, large = run.client(small), run.client(large)
        assert small.variable("COLOUR") == "red"
        assert large.variable("COLOUR") is None
        for name in names[:-1]:
            assert (small.variable(name), large.variable(name)) == ("1", "3")
        assert "multi_thread_eigen=false" in small.variable("XLA_FLAGS")
        assert "multi_thread_eigen=false" not in large.variable("XLA_FLAGS")
        # What a node does not need is not imported.
        assert not small.has_module("jax")
        assert not small.has_module("ssl")


@pytest.mark.parametrize("wants", [0, 0.5, 1])
def test_a_process_sees_the_gpus_that_it_was_given(monkeypatch, caplog, wants):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    program = Program("gpus")
    none = program.add_node(Node(Place), label="none")
    resources = Resources(num_gpus=wants)
    some = program.add_node(Node(Place), label="some", resources=resources)
    names = ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS", "XLA_PYTHON_CLIENT_MEM_FRACTION")
    with launch(program, "processes") as run:
        found = [
            [run.client(handle).variable(name) for name in names]
            for handle in (none, some)
        ]
    nothing = ["", "cpu", None]
    given = {0: nothing, 0.5: ["3", None, "0.375"], 1: ["3", None, None]}
    assert found == [nothing, given[wants]]
    warned = "none asks for one of the 2 gpus" in caplog.text
    assert warned == (wants == 0)


def test_what_no_host_has_is_said_before_anything_starts(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    program = Program("gpus")
    program.add_node(Node(Place), label="few", resources=Resources(num_gpus=1))
    words = (
        r"^no host has what node 'few' needs \(1 cpu, 1 gpu\); there are this host: "
    )
    with pytest.raises(ConfigError, match=words):
        launch(program, "processes")


def test_output_is_prefixed_and_kept(tmp_path, capfd):
    program = Program("output")
    with program.group("sleeper"):
        program.add_node(Node(Sleeper))
    with launch(program, "processes", logs=tmp_path) as run:
        while run.status()["sleeper/0"].phase != "waiting":
            pass
    assert (tmp_path / "sleeper-0.log").read_text() == "good night\n"
    assert capfd.readouterr().err == "[sleeper/0] good night\n"


class Namer:
    """Prints its name and waits for the end."""

    def __init__(self, name):
        self.name = name

    def step(self):
        print(self.name, flush=True)
        sleep(None, "the end of the run")


def test_no_two_processes_share_a_log(tmp_path):
    logs = {"a/b": "a-b.log", "a-b": "a-b-2.log", "run": "run-2.log"}
    program = Program("names")
    for label in logs:
        program.add_node(Node(Namer, label), label=label)
    (tmp_path / "run.log").write_text("of the run\n")
    with launch(program, "processes", logs=tmp_path) as run:
        wait_until(lambda: {n.phase for n in run.status().values()} == {"waiting"})
    assert (tmp_path / "run.log").read_text() == "of the run\n"
    for label, log in logs.items():
        assert (tmp_path / log).read_text() == f"{label}\n"


def test_a_log_has_its_usual_name_where_that_is_free():
    names = ["actor/0", "actor-0", "actor-0-2", "ray"]
    assert log_files(names) == {
        "actor/0": "actor-0.log",
        "actor-0": "actor-0-3.log",
        "actor-0-2": "actor-0-2.log",
        "ray": "ray-2.log",
    }


def test_output_that_cannot_be_written_ends_nobody(tmp_path, monkeypatch):
    class Closed:
        def write(self, text):
            raise BrokenPipeError

        def flush(self):
            raise BrokenPipeError

    stream = io.BytesIO(b"one\ntwo\n")
    monkeypatch.setattr(sys, "stderr", Closed())
    (tmp_path / "full.log").symlink_to("/dev/full")
    pass_on_output(stream, "full", tmp_path / "full.log")
    assert stream.closed


def test_output_without_an_end_of_the_line_is_kept_at_once(tmp_path, capfd):
    reading, writing = os.pipe()
    stream, log = os.fdopen(reading, "rb"), tmp_path / "bar.log"
    thread = threading.Thread(target=pass_on_output, args=(stream, "bar", log))
    thread.start()
    written = b""
    for percent in (10, 20, 100):
        written += f"{percent} %\r".encode()
        os.write(writing, written[len(written) - len(f"{percent} %") - 1 :])
        while not log.exists() or log.read_bytes() != written:
            pass
    os.write(writing, b"\nlast")
    os.close(writing)
    thread.join()
    assert log.read_bytes() == written + b"\nlast"
    # As a terminal would show it.
    assert capfd.readouterr().err == "[bar] 100 %\n[bar] last\n"


def test_an_endless_line_is_passed_on_in_pieces(tmp_path, capfd):
    written = b"x" * 1_000_000
    pass_on_output(io.BytesIO(written), "long", tmp_path / "long.log")
    assert (tmp_path / "long.log").read_bytes() == written
    lines = capfd.readouterr().err.splitlines()
    assert sum(len(line.removeprefix("[long] ")) for line in lines) == len(written)
    assert max(map(len, lines)) <= 2 * 2**16 + len("[long] ")


@pytest.mark.parametrize(
    ("written", "last"),
    [
        (b"", ""),
        (b"one\ntwo\n \n\n", "two"),
        (b"one\ntwo", "two"),
        (b"50 %\r100 %\r\n", "100 %"),
        (b"\x1b[31mtoo\tlarge \x00\x1b[0m\n\x1b[0m\n", "too large"),
        pytest.param(b"x" * 100_000, "x" * 200, id="long"),
    ],
)
def test_the_last_line_that_is_not_blank_is_known(written, last):
    found = LastLine()
    pass_on_output(io.BytesIO(written), "some", None, last=found)
    assert found.text == last


def assert_ends(watched):
    """Waits until the process of a descriptor has ended, and closes it."""
    poll = select.poll()
    poll.register(watched, select.POLLIN)  # Readable when the process has ended.
    has_ended = poll.poll(5000)
    os.close(watched)
    assert has_ended, "it outlived what had started it by five seconds"


def test_what_a_node_left_running_ends_with_its_process(tmp_path):
    """It holds the node's output, so the launcher would wait for it."""

    class Starter:
        def step(self):
            child = subprocess.Popen(["sleep", "1000"])
            (tmp_path / "pid").write_text(str(child.pid))
            stop_run("started")

    program = Program("starter")
    program.add_node(Node(Starter), label="starter")
    with launch(program, "processes") as run:
        assert run.wait(LIMIT) == "started"
    with suppress(ProcessLookupError):  # It is gone, and collected, already.
        assert_ends(os.pidfd_open(int((tmp_path / "pid").read_text())))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="run on Linux or macOS")
def test_a_process_that_leaves_a_fork_of_itself_is_noticed_when_it_dies(tmp_path):
    """The fork has the connections of the process, and would keep them open."""

    class Forker:
        def step(self):
            if (pid := os.fork()) == 0:
                signal.pause()
            (tmp_path / "pid").write_text(str(pid))
            os.kill(os.getpid(), signal.SIGKILL)

    program = Program("forker")
    program.add_node(Node(Forker), label="forker")
    try:
        with pytest.raises(NodeFailed, match=r"'forker'.*killed by SIGKILL"):
            with launch(program, "processes") as run:
                run.wait(LIMIT)
    finally:
        with suppress(ProcessLookupError):  # It is gone, and collected, already.
            assert_ends(os.pidfd_open(int((tmp_path / "pid").read_text())))


class Elsewhere:
    """What can be made in the process that pickled it only, as with a package there."""

    def __init__(self, pid):
        if os.getpid() != pid:
            raise ImportError("no package 'simulator'")
        self.pid = pid

    def __reduce__(self):
        return Elsewhere, (self.pid,)


def test_what_cannot_be_made_in_the_process_is_told_at_once_with_its_error():
    program = Program("elsewhere")
    node = Node(Caller, Elsewhere(os.getpid()))
    program.add_node(node, label="node", restart=RestartPolicy())
    with pytest.raises(NodeFailed, match=r"in its start: .*ImportError: no package 's"):
        with launch(program, "processes") as run:
            run.wait(LIMIT)


class Caller:
    """Has something, and waits."""

    def __init__(self, thing):
        self.thing = thing

    def step(self):
        sleep(None, "the end of the run")


@pytest.mark.parametrize("launcher", ["serial", "threads", "processes"])
def test_handles_and_seeds_in_a_partial_are_replaced(launcher):
    class Asker:
        def __init__(self, place, seed, name):
            self.place, self.seed, self.name = place, seed, name

        def step(self):
            found = self.place.has_module("no_such_module")
            stop_run(f"{self.name}: {found}, {type(self.seed).__name__}")

    program = Program("partial")
    place = program.add_node(Node(Place), label="place")
    asker = partial(Asker, place, seed=node_seed(3))
    program.add_node(Node(asker, name="asker"), label="asker")
    assert program.edges() == [("asker", "place")]
    with launch(program, launcher) as run:
        assert run.wait(LIMIT) == "asker: False, int"


def test_the_folder_of_logs_is_made(tmp_path):
    program = Program("logs")
    program.add_node(Node(Talker), label="talker")
    with launch(program, "processes", logs=str(tmp_path / "new" / "logs")) as run:
        run.wait(LIMIT)
    assert (tmp_path / "new" / "logs" / "talker.log").read_text() == "hello\n"
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"logs cannot be in .*file"):
        launch(program, "processes", logs=tmp_path / "file")


class Talker:
    def step(self):
        print("hello", flush=True)
        stop_run("said")


@pytest.mark.parametrize("launcher", ["threads", "processes"])
def test_what_close_raises_is_a_warning(launcher, caplog):
    program = Program("closing")
    program.add_node(Node(Unclosed), label="unclosed")
    with launch(program, launcher) as run:
        assert run.wait(LIMIT) == "done"
    (record,) = (r for r in caplog.records if "No space left" in r.getMessage())
    assert record.levelno == logging.WARNING and "in its close" in record.getMessage()


class Unclosed:
    def step(self):
        stop_run("done")

    def close(self):
        raise OSError("No space left on device")


def test_a_python_error_has_its_traceback_once_with_the_name(caplog, capfd):
    def explode_here():
        raise LookupError("nothing there")

    class Clumsy:
        def step(self):
            explode_here()

    program = Program("error")
    program.add_node(Node(Clumsy), label="clumsy")
    with pytest.raises(NodeFailed, match="'clumsy' failed in its step: LookupError"):
        with launch(program, "processes") as run:
            run.wait(LIMIT)
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    text = logging.Formatter().format(record)
    assert "node 'clumsy' failed in its step" in text
    assert text.count("in explode_here") == 1
    assert "explode_here" not in capfd.readouterr().err.replace(text, "")


def test_an_error_that_cannot_be_sent_is_raised_with_its_words():
    class Strange(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")
            self.lock = threading.Lock()

    class Shop:
        def buy(self):
            raise Strange(1, 2)

    program = Program("strange")
    shop = program.add_node(Node(Shop), label="shop")
    with launch(program, "processes") as run:
        with pytest.raises(RpcFailed, match="Strange: 1 and 2") as caught:
            run.client(shop).buy()
    assert "raised by shop.buy" in caught.value.__notes__


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_process_ends_the_run_with_its_name_and_the_signal(number):
    program = Program("killed")
    with program.group("sleeper"):
        for _ in range(3):
            program.add_node(Node(Sleeper))
    message = f"node 'sleeper/1' failed in its process: .*killed by {number.name}"
    with pytest.raises(NodeFailed, match=message):
        with launch(program, "processes") as run:
            while run.status().get("sleeper/1") is None:
                pass
            os.kill(run.status()["sleeper/1"].process, number)
            run.wait(LIMIT)


def test_a_process_that_exits_is_told_with_its_status():
    class Leaver:
        def step(self):
            os._exit(7)

    program = Program("exit")
    program.add_node(Node(Leaver), label="leaver")
    with pytest.raises(NodeFailed, match=r"'leaver'.*it exited with status 7"):
        with launch(program, "processes") as run:
            run.wait(LIMIT)


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ("", r"status 127$"),
        ("one\ncannot make 3 GB\n\n", r"127 \(last output: 'cannot make 3 GB'\)$"),
    ],
)
def test_the_failure_of_a_process_has_its_last_line(monkeypatch, printed, told):
    class Leaver:
        def step(self):
            print(printed, end="", flush=True)
            os._exit(127)

    monkeypatch.setattr(process_module, "_LAST_LINE_SECONDS", LIMIT)
    program = Program("exit")
    program.add_node(Node(Leaver), label="leaver")
    with pytest.raises(NodeFailed, match=told):
        with launch(program, "processes") as run:
            run.wait(LIMIT)


def test_who_waits_for_a_killed_node_is_not_blamed():
    class Customer:
        def __init__(self, place):
            self.place = place

        def step(self):
            while True:
                self.place.process()

    program = Program("blame")
    place = program.add_node(Node(Place), label="place")
    program.add_node(Node(Customer, place), label="customer")
    with pytest.raises(NodeFailed) as caught:
        with launch(program, "processes") as run:
            process = run.client(place).process()
            while run.status()["place"].num_calls < 10:  # The customer calls, too.
                pass
            os.kill(process, signal.SIGKILL)
            run.wait(LIMIT)
    assert caught.value.label == "place"


def test_who_hears_of_the_end_before_the_launcher_says_it_is_not_blamed(monkeypatch):
    class Closing:
        def close_shop(self):
            stop_run("closed for today")

    class Customer:
        def __init__(self, shop):
            self.shop = shop

        def step(self):
            self.shop.close_shop()

    # The launcher hears of the stop late: after the customer's failure, if any.
    failed, handle, late = threading.Event(), ProcessNodes.handle, []

    def handle_late(self, process, message):
        if isinstance(message, StopReport) and not late:
            late.append(message)
            failed.wait(0.5)
        handle(self, process, message)
        if isinstance(message, FailureReport):
            failed.set()

    monkeypatch.setattr(ProcessNodes, "handle", handle_late)
    program = Program("evening")
    shop = program.add_node(Node(Closing), label="shop")
    program.add_node(Node(Customer, shop), label="customer")
    with launch(program, "processes") as run:
        assert run.wait(LIMIT) == "closed for today"
    assert late


def test_a_node_that_does_not_end_is_killed():
    class Stubborn:
        def step(self):
            threading.Event().wait()

    program = Program("stubborn")
    program.add_node(Node(Stubborn), label="stubborn")
    with launch(program, "processes", grace_seconds=0.5) as run:
        while run.status().get("stubborn") is None:
            pass
        pid = run.status()["stubborn"].process
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("what", "kind", "num_started"),
    [
        ("process c", OSError, 2),
        ("end of b", RuntimeError, 3),
        ("connection to b", RuntimeError, 3),
        ("end of run", RuntimeError, 3),
    ],
)
def test_a_launch_that_fails_leaves_no_process(monkeypatch, what, kind, num_started):
    """There is no memory or no thread any more, after some processes were started."""
    make_child, start_thread = LocalChild.__init__, threading.Thread.start
    pids, threads = [], set(threading.enumerate())

    def make_child_or_fail(child, name, *args, **kwargs):
        if what == f"process {name}":
            raise OSError("Cannot allocate memory")
        make_child(child, name, *args, **kwargs)
        pids.append(child._popen.pid)

    def start_thread_or_fail(thread):
        if thread.name == what:
            raise RuntimeError("can't start new thread")
        start_thread(thread)

    monkeypatch.setattr(LocalChild, "__init__", make_child_or_fail)
    monkeypatch.setattr(threading.Thread, "start", start_thread_or_fail)
    monkeypatch.setattr(process_module, "_FORK_SECONDS", 0.1)
    program = Program("failing")
    for label in "abc":
        program.add_node(Node(Place), label=label)
    with pytest.raises(kind, match=r"Cannot allocate memory|can't start new thread"):
        launch(program, "processes")
    assert len(pids) == num_started
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert set(threading.enumerate()) <= threads


LAUNCHER = """
import subprocess
from acmelike import Node, Program, launch, sleep

class Sleeper:
    def __init__(self):
        self.started = subprocess.Popen(["sleep", "1000"])

    def pid(self):
        return self.started.pid

    def step(self):
        sleep(None, "the end")

program = Program("orphans")
nodes = [program.add_node(Node(Sleeper), label=label) for label in "abc"]
with launch(program, "processes") as run:
    pids = [run.client(node).pid() for node in nodes]
    print(*pids, *[status.process for status in run.status().values()], flush=True)
    run.wait()
"""


def test_children_die_with_a_killed_launcher_and_so_does_what_they_have_started():
    command = [sys.executable, "-c", LAUNCHER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as launcher:
        pids = [int(pid) for pid in launcher.stdout.readline().split()]
        assert len(pids) == 6
        watched = [os.pidfd_open(pid) for pid in pids]
        launcher.kill()
    for fd in watched:
        assert_ends(fd)


FORGETFUL = """
import sys
from pathlib import Path
from acmelike import Node, Program, launch, sleep

class Closing:
    def __init__(self, path):
        self.path = path

    def is_here(self):
        return True

    def step(self):
        sleep(None, "the end")

    def close(self):
        self.path.write_text("closed")

program = Program("forgotten")
node = program.add_node(Node(Closing, Path(sys.argv[1])), label="closing")
run = launch(program, "processes")
assert run.client(node).is_here()
"""


def test_a_run_that_nobody_waits_for_ends_in_order_with_the_interpreter(tmp_path):
    command = [sys.executable, "-c", FORGETFUL, tmp_path / "closed"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "closed").read_text() == "closed"


def test_a_process_that_is_stopped_holds_nobody_who_asks_for_the_status(monkeypatch):
    monkeypatch.setattr(process_module, "_OWING_SECONDS", 0.0)
    monkeypatch.setattr(launcher_module, "_STATUS_SECONDS", 0.1)
    program = Program("stopped")
    program.add_node(Node(Sleeper), label="sleeper")
    with launch(program, "processes") as run:
        while (node := run.status().get("sleeper")) is None:
            pass
        # To wait for it each time would take five minutes.
        limit = time.monotonic() + 2 * LIMIT
        os.kill(node.process, signal.SIGSTOP)
        try:
            for _ in range(3_000):  # More than its socket has room for.
                assert run.status().keys() == {"sleeper"}
                assert time.monotonic() < limit
        finally:
            os.kill(node.process, signal.SIGCONT)


def test_large_arrays_and_futures_cross():
    class Warehouse:
        def __init__(self):
            self.held = {}

        def keep(self, name, array):
            self.held[name] = array
            return array.sum()

        def show(self, name):
            return self.held[name]

    def work(warehouse):
        arrays = [np.full((1000, 500), i, np.float32) for i in range(8)]
        strided = arrays[3][::2, ::3]
        calls = [start(warehouse.keep, i, array) for i, array in enumerate(arrays)]
        assert [call.result() for call in calls] == [a.sum() for a in arrays]
        assert warehouse.keep("strided", strided) == strided.sum()
        for name, array in (("strided", strided), (7, arrays[7])):
            shown = warehouse.show(name)
            assert (shown == array).all()
            assert not shown.flags.writeable
        stop_run("all there")

    class Worker:
        def __init__(self, warehouse):
            self.warehouse = warehouse

        def step(self):
            work(self.warehouse)

    program = Program("large")
    warehouse = program.add_node(Node(Warehouse), label="warehouse")
    program.add_node(Node(Worker, warehouse), label="worker")
    with launch(program, "processes") as run:
        assert run.wait(LIMIT) == "all there"


def test_a_concurrent_call_holds_up_no_other():
    class Gate(Place):
        def __init__(self):
            self.is_open = threading.Event()

        @concurrent
        def passed(self):
            return self.is_open.wait(LIMIT)

        def open(self):
            self.is_open.set()

    program = Program("gate")
    gate = program.add_node(Node(Gate), label="gate")
    with launch(program, "processes") as run:
        client = run.client(gate)
        client.process()  # From now on it is there.
        calls = [start(client.passed) for _ in range(3)]
        client.open()
        assert [call.result() for call in calls] == [True] * 3


def test_a_run_outlives_the_thread_that_launched_it():
    program = Program("elsewhere")
    place = program.add_node(Node(Place), label="place")
    runs = []
    thread = threading.Thread(target=lambda: runs.append(launch(program, "processes")))
    thread.start()
    thread.join()
    with runs[0] as run:
        for _ in range(3):
            assert run.client(place).process() != os.getpid()


class Mirror:
    """Gives back what it is given."""

    def show(self, array):
        return array

    def num_files(self):
        return len(os.listdir("/proc/self/fd"))

    def num_maps(self):
        return Path("/proc/self/maps").read_text().count("/memfd:acmelike")


@pytest.mark.skipif(sys.platform != "linux", reason="run on Linux")
def test_a_thousand_large_arrays_take_no_more_memory_and_files_than_a_few():
    program = Program("mirror")
    mirror = program.add_node(Node(Mirror), label="mirror")
    with launch(program, "processes") as run:
        mirror = run.client(mirror)
        taken = []
        for number in range(1000):
            array = np.full(300_000, number % 256, np.uint8)
            shown = mirror.show(array)
            assert not shown.flags.writeable and shown[0] == shown[-1] == array[0]
            if number in (10, 999):
                taken.append((mirror.num_files(), mirror.num_maps()))
        assert taken[0] == taken[1]
        assert 2 <= taken[0][1] <= 8
