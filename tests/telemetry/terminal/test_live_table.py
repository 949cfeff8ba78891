"""The live table against counts taken elsewhere, and on a terminal."""

import errno
import fcntl
import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from rich.console import Console

from acmelike import Node, Program, launch, stop_run
from acmelike.experiments import watch
from acmelike.experiments.command import train_command
from acmelike.files import read_json_lines
from acmelike.programs.dqn import PROGRAM
from acmelike.telemetry.figures import return_text
from acmelike.telemetry.snapshot import RecordReader, RunSnapshot
from acmelike.telemetry.terminal import live_table
from acmelike.telemetry.terminal.live_view import live_view
from acmelike.telemetry.terminal.rows import edge_rows, node_rows
from tests.telemetry.counting_program import (
    FACTS,
    Breaks,
    Probe,
    Tickets,
    make_counting,
)

ROOT = Path(__file__).parents[3]


# --- Its numbers are those that others count --------------------------------------


def quiet_status(run):
    """The status while the worker waits for a ticket."""
    while True:
        status = run.status()
        # The call may be parked before its caller waits.
        if status["tickets"].parked and status["worker"].phase == "waiting":
            break
    # Asked again: each process reports its state of a moment of its own.
    return run.status()


@pytest.mark.parametrize("launcher", ["threads", "processes"])
def test_status_and_table_agree_with_what_the_nodes_count(launcher):
    program, tickets = make_counting()
    with launch(program, launcher) as run:
        client = run.client(tickets)
        client.allow(10)
        calls, steps = client.counts()
        # The last step that the worker tells of is the one before its last.
        assert (calls, steps) == (10 + 2, 10 - 1)
        before = quiet_status(run)
        client.allow(20)
        calls, steps = client.counts()
        now = quiet_status(run)
        assert (calls, steps) == (30 + 4, 30 - 1)

        assert now["tickets"].num_calls == calls
        assert now["worker"].num_steps == steps + 1
        # One call more was made than answered: it is parked.
        assert now["worker"].edges["tickets.take"].num_calls == 31
        (parked,) = now["tickets"].parked
        assert parked == ("worker", "take", "sold out")

        seconds = 10.0
        service, worker = node_rows(before, now, seconds, max_per_role=6)
        assert (service.num_calls, service.calls_per_second) == (34, 2.2)
        assert (worker.steps_per_second, worker.phase) == (2.0, "waiting")
        assert (worker.waits_for, worker.reason) == ("tickets.take", "sold out")
        (edge,) = edge_rows(before, now, seconds)
        assert (edge.num_calls, edge.calls_per_second) == (31, 2.0)
        assert (edge.bytes_per_second is None) == (launcher == "threads")
        two = [
            RunSnapshot(seconds=FACTS.started + at, nodes=nodes)
            for at, nodes in ((0.0, before), (seconds, now))
        ]
        text = [line.plain.split() for line in live_view(FACTS, two, 120, 39)]
        assert next(words for words in text if words[1:2] == ["tickets"])[2] == "2.2"
        assert next(words for words in text if words[1:2] == ["worker"])[2] == "2.0"
        assert next(words for words in text if words[-2:] == ["→", "tickets.take"])[
            :2
        ] == ["worker", "2.0"]
    after = run.status()
    assert (after["tickets"].num_calls, after["worker"].num_steps) == (34, 30)


def test_records_are_read_once_and_whole(tmp_path):
    path = tmp_path / "metrics.jsonl"
    records = RecordReader(path)
    assert records.read() == []
    path.write_text('{"a": 1}\n{"a": 2}\n{"a"')
    assert records.read() == [{"a": 1}, {"a": 2}]
    assert records.read() == []
    with path.open("a") as file:
        file.write(": 3}\n")
    assert records.read() == [{"a": 3}]


# --- In a run ---------------------------------------------------------------------

SMALL = [
    *("--environment", "Catch", "--max-env-steps", "120", "--num-actors", "1"),
    *("--evaluate-every", "50", "--num-eval-episodes", "2", "--launch", "threads"),
    *("--agent.replay.min-size", "50", "--agent.num-updates-per-call", "2"),
    *("--agent.batch-size", "8", "--agent.hidden-sizes", "16"),
]


def dqn(out, *args):
    return train_command(PROGRAM, [*SMALL, "--out", str(out), *args])


def terminal(file):
    return Console(file=file, force_terminal=True, width=100, height=40)


def test_the_last_table_is_how_the_run_ended(tmp_path, monkeypatch, capsys):
    screen = io.StringIO()
    monkeypatch.setattr(watch, "find_terminal", lambda: terminal(screen))
    assert dqn(tmp_path) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert "is recorded in" in first and "the budget of 120" in last

    told = json.loads((tmp_path / "summary.json").read_text())
    lines = Screen(screen.getvalue()).lines
    assert lines[0].startswith("dqn on Catch  launched by threads, seed 0")
    assert f"  {told['env_steps']:,} of 120 steps" in lines[1]
    assert lines[1].endswith("/s on average")
    (returns,) = [line for line in lines if line.startswith("returns")]
    latest, best = map(return_text, (told["final_return"], told["best_return"]))
    assert f"latest {latest}  best {best}" in returns
    records = read_json_lines(tmp_path / "metrics.jsonl")
    *_, trained = [line for line in records if "training_return" in line]
    mean, length = return_text(trained["training_return"]), trained["training_length"]
    assert f"training  return {mean}  length {length:,.1f}" in "\n".join(lines)


def test_a_closed_stderr_is_no_hindrance(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "find_terminal", lambda: terminal(io.StringIO()))
    monkeypatch.setattr(sys, "stderr", None)
    assert dqn(tmp_path) == 0


def test_without_a_live_table_there_are_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(watch, "find_terminal", lambda: pytest.fail("looked"))
    monkeypatch.setattr(watch, "PROGRESS_SECONDS", 0.001)
    assert dqn(tmp_path, "--no-live") == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said and len(said.splitlines()) > 2


# --- On a terminal ----------------------------------------------------------------


class Screen:
    """The lines that a terminal shows after it was sent some text.

    It knows what `Live` uses: going up, erasing a line, and beginning a new one.
    """

    def __init__(self, text):
        self.lines, self.shows_cursor = [""], True
        row = column = 0
        for piece in re.findall(r"\x1b\[[?\d;]*[a-zA-Z]|[\r\n]|[^\x1b\r\n]+", text):
            if piece == "\n":
                row += 1
                column = 0
                self.lines += [""] * (row + 1 - len(self.lines))
            elif piece == "\r":
                column = 0
            elif piece.startswith("\x1b"):
                if piece.endswith("A"):
                    row -= int(piece[2:-1])
                elif piece.endswith("K"):
                    self.lines[row] = ""
                elif piece in ("\x1b[?25l", "\x1b[?25h"):
                    self.shows_cursor = piece.endswith("h")
            else:
                line = self.lines[row].ljust(column)
                column += len(piece)
                self.lines[row] = line[: column - len(piece)] + piece + line[column:]


class Terminal:
    """A pseudo-terminal, with a command in it if there is one."""

    def __init__(self):
        self._ours, self.theirs = os.openpty()
        size = struct.pack("HHHH", 24, 80, 0, 0)
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, size)
        self.settings = termios.tcgetattr(self.theirs)
        self.text = ""

    def start(self, *command):
        variables = {**os.environ, "TERM": "xterm", "COLUMNS": "", "LINES": ""}
        variables.pop("NO_COLOR", None)
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=variables,
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
        )

    def type(self, words):
        os.write(self._ours, words.encode())

    def read_until(self, words):
        while words not in self.text:
            self._read()

    def read_all(self):
        """Reads to the end; no other process has it open then."""
        os.close(self.theirs)
        while self._read():
            pass
        os.close(self._ours)
        return Screen(self.text)

    def _read(self):
        try:
            read = os.read(self._ours, 65_536).decode(errors="replace")
        except OSError as error:
            assert error.errno == errno.EIO  # Its other end is closed.
            return ""
        self.text += read
        return read


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_the_terminal_as_it_was(number, tmp_path):
    terminal = Terminal()
    process = terminal.start("-m", "tests.telemetry.counting_program", tmp_path / "log")
    terminal.read_until("of concern")
    terminal.read_until(" worker")
    process.send_signal(number)
    assert process.wait() == 130
    assert termios.tcgetattr(terminal.theirs) == terminal.settings
    screen = terminal.read_all()
    assert screen.shows_cursor
    # What is said meanwhile is above the one table, and the last line below it.
    first, warning, title, *_, asked, _, last, end = screen.lines
    assert (first, warning) == ("first", "WARNING: of concern")
    assert (last, end) == ("last", "")
    assert title.startswith("counting on nothing")
    assert asked == "ending the run; once more ends it at once"
    assert sum("● worker" in line for line in screen.lines) == 1
    assert sum("counting on nothing" in line for line in screen.lines) == 1


class Over:
    """A run that has ended, of which nothing is left to see."""

    def is_over(self, within):
        return True

    def wait(self):
        return "over"

    def take(self):
        return RunSnapshot(seconds=FACTS.started + 1.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_waits_until_the_table_is_drawn(number):
    was_drawn = []

    class Paper(io.StringIO):
        """Gets the signal in the middle of the first table."""

        def write(self, text):
            if FACTS.title in text and not was_drawn:
                signal.raise_signal(number)
            return super().write(text)

    paper = Paper()
    before = signal.signal(
        number, lambda *_: was_drawn.append(FACTS.title in paper.getvalue())
    )
    try:
        live_table.watch_live(Over(), Over(), FACTS, terminal(paper))
    finally:
        signal.signal(number, before)
    assert was_drawn == [True]


def test_a_table_gives_way_to_who_asks_for_input(tmp_path):
    terminal, log = Terminal(), tmp_path / "log"
    command = ("-m", "tests.telemetry.counting_program", log, "asks")
    process = terminal.start(*command)
    terminal.read_until("go on? ")
    num_looks = log.read_text().count("look")
    while log.read_text().count("look") < num_looks + 2:
        pass  # It would have drawn again.
    terminal.type("yes\n")
    assert process.wait() == 0
    lines = terminal.read_all().lines
    asked = lines.index("go on? yes")
    tables = [i for i, line in enumerate(lines) if line.startswith("counting on")]
    assert len(tables) == 2 and tables[0] < asked < tables[1]
    assert "the answer is yes" in lines


class Shown:
    """A table of a program whose worker looks whether it is still drawn."""

    def __init__(self):
        self.screen, self.probe = io.StringIO(), None

    def watch(self, worker):
        """Runs a worker that gets the client of a node; returns why the run ended."""
        program = Program("shown")
        tickets = program.add_node(Node(Tickets), label="tickets")
        program.add_node(Node(worker, tickets), label="worker")
        with launch(program, "threads") as run:
            self.probe = Probe(run, tickets)
            paper = terminal(self.screen)
            return live_table.watch_live(run, self.probe, FACTS, paper)

    def is_still(self):
        """Whether nothing is drawn in a time in which it would have been."""
        text, looks = self.screen.getvalue(), self.probe.looks
        while self.probe.looks < looks + 2:
            time.sleep(0.001)
        return self.screen.getvalue() == text


@pytest.fixture
def shown(monkeypatch):
    monkeypatch.setattr(live_table, "REFRESH_SECONDS", 0.01)
    return Shown()


@pytest.mark.parametrize(
    "read",
    [
        lambda: sys.stdin.read(),
        lambda: sys.stdin.readline(),
        lambda: sys.stdin.readlines()[0],
        lambda: next(iter(sys.stdin)),
        lambda: next(sys.stdin),
    ],
    ids=["read", "readline", "readlines", "for", "next"],
)
def test_a_table_gives_way_to_who_reads_standard_input(monkeypatch, shown, read):
    keyboard, told = io.StringIO("yes\n"), []
    monkeypatch.setattr(sys, "stdin", keyboard)

    def worker(tickets):
        tickets.take(0)
        told.extend([sys.stdin.isatty(), read(), shown.is_still()])
        stop_run("read")

    assert shown.watch(worker) == "read"
    assert told == [False, "yes\n", True]
    assert sys.stdin is keyboard


def test_a_table_stops_for_good_at_a_breakpoint(monkeypatch, shown):
    """The debugger is called by the function that has the breakpoint."""
    callers, is_still = [], []

    def debugger():
        callers.append(sys._getframe(1).f_code.co_name)
        is_still.append(shown.is_still())

    monkeypatch.setattr(sys, "breakpointhook", debugger)
    assert shown.watch(Breaks) == "debugged"
    assert (callers, is_still) == (["step"] * 2, [True] * 2)
    assert sys.breakpointhook is debugger
    lines = Screen(shown.screen.getvalue()).lines
    found = [
        words
        for line in lines
        for words in ("counting on nothing", "at a breakpoint")
        if line.startswith(words)
    ]
    # The table as it was, what is said of it, and the table of the end.
    assert found == ["counting on nothing", "at a breakpoint", "counting on nothing"]


@pytest.mark.parametrize(
    ("variables", "is_able"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "unknown"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
    ],
)
def test_a_terminal_must_be_able_to_show_it(monkeypatch, variables, is_able):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    ours, theirs = os.openpty()
    with open(theirs, "w", encoding="utf-8") as file, open(ours, "rb"):
        monkeypatch.setattr(sys, "stdout", file)
        assert (live_table.find_terminal() is not None) == is_able


def test_what_is_no_terminal_gets_lines_whatever_is_forced(monkeypatch, tmp_path):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with (tmp_path / "out").open("w", encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdout", file)
        assert live_table.find_terminal() is None
