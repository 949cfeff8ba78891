"""`al.watch`: the live table, or lines, of a program that has no replay."""

import io
import itertools
import threading

import pytest
from rich.console import Console

import acmelike as al
from acmelike.telemetry import watch


class Counter:
    """A service that counts to a number, and ends the run there."""

    def __init__(self, end):
        self.number, self.end = 0, end

    def count(self):
        self.number += 1
        if self.number == self.end:
            al.stop_run("counted enough")


class Worker:
    def __init__(self, counter):
        self.counter = counter

    def step(self):
        al.sleep(0.001, "its turn")
        self.counter.count()


class Fails:
    def step(self):
        raise LookupError("nothing there")


def make_program(end=30):
    program = al.Program("counting")
    counter = program.add_node(al.Node(Counter, end), label="counter")
    with program.group("worker"):
        for _ in range(3):
            program.add_node(al.Node(Worker, counter))
    return program


@pytest.fixture
def screen(monkeypatch):
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, height=40)
    monkeypatch.setattr(watch, "find_terminal", lambda: console)
    return file


def test_without_a_terminal_there_are_lines(monkeypatch, capsys):
    monkeypatch.setattr(watch, "find_terminal", lambda: None)
    monkeypatch.setattr(watch, "LINE_SECONDS", 0.001)
    with al.launch(make_program(), "threads") as run:
        assert al.watch(run) == "counted enough"
    lines = capsys.readouterr().out.splitlines()
    assert lines and all("counter: " in line for line in lines)
    assert all("; worker/0: " in line and ", and 2 more" in line for line in lines)
    assert all(one != other for one, other in itertools.pairwise(lines))


def test_a_terminal_shows_the_table_of_any_program(screen):
    with al.launch(make_program(), "threads") as run:
        assert al.watch(run) == "counted enough"
    said = screen.getvalue()
    assert "program 'counting'" in said
    for word in ("counter", "worker", "counter.count"):
        assert word in said
    assert " steps  " not in said  # There is no budget of environment steps.


def test_it_may_be_called_in_any_thread(screen):
    found = []
    with al.launch(make_program(), "threads") as run:
        thread = threading.Thread(target=lambda: found.append(al.watch(run)))
        thread.start()
        thread.join()
    assert found == ["counted enough"]


def test_a_failure_is_raised(screen):
    program = al.Program("fails")
    program.add_node(al.Node(Fails), label="fails")
    with pytest.raises(al.NodeFailed, match="nothing there"):
        al.watch(al.launch(program, "threads"))
