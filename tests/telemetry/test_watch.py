"""`al.watch`: the live table, or lines, of any program."""

import io
import itertools
import re
import threading

import numpy as np
import pytest
from dm_env import specs
from rich.console import Console

import acmelike as al
from acmelike.errors import RpcClosed
from acmelike.telemetry import watch
from acmelike.telemetry.terminal import live_table


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
    monkeypatch.setattr(live_table, "REFRESH_SECONDS", 0.01)
    return file


def test_without_a_terminal_there_are_lines(monkeypatch, capsys):
    monkeypatch.setattr(watch, "find_terminal", lambda: None)
    monkeypatch.setattr(watch, "PROGRESS_SECONDS", 0.001)
    with al.launch(make_program(end=300), "threads") as run:
        assert al.watch(run) == "counted enough"
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 1 and all("counter: " in line for line in lines)
    assert all("; worker/0: " in line and ", and 2 more" in line for line in lines)
    assert all(one != other for one, other in itertools.pairwise(lines))


class Looked:
    """A run that ends after some looks, and what is seen of it."""

    def __init__(self, news):
        self.news = list(news)

    def is_over(self, within):
        return not self.news

    def wait(self):
        return "over"

    def look(self):
        news = self.news.pop(0)
        if news is None:
            raise RpcClosed("the run ended")
        return news, lambda: f"line {news}"


@pytest.mark.parametrize(
    ("quiet_seconds", "lines"), [(60.0, ["1", "2", "1"]), (0.0, ["1", "1", "2", "1"])]
)
def test_a_line_is_shown_with_news_or_after_a_quiet_time(quiet_seconds, lines):
    run, said = Looked(["1", "1", "2", "1", None]), []
    reason = watch.watch_in_lines(run, run.look, said.append, 0.0, quiet_seconds)
    assert (reason, said) == ("over", [f"line {line}" for line in lines])


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


# --- The tables of replay ---------------------------------------------------------

ITEMS = {"number": np.zeros(3, np.float32)}


class OwnReplay(al.Replay):
    """One that a user has extended."""


class Sampler:
    def __init__(self, replay):
        self.replay = replay

    def step(self):
        self.replay.sample("items", 1)


def add_replay(program, label, kind=al.Replay):
    """Adds replay that has room for 20 items, and is sampled when it is full."""
    table = al.TableConfig(
        name="items",
        signature={"number": specs.Array((), np.float32)},
        max_size=20,
        sampler=al.Uniform(),
        rate_limiter=al.MinSize(min_size=20),
    )
    return program.add_node(al.Node(kind, [table], seed=0), label=label)


def comes_to_show(run, screen, *patterns):
    """Whether the table shows all of this before the run ends; stops the run."""
    thread = threading.Thread(target=al.watch, args=[run])
    thread.start()
    found = False
    while not found and not run.is_over(within=0.01):
        text = screen.getvalue()
        found = all(re.search(pattern, text) for pattern in patterns)
    run.stop()
    thread.join()
    return found


def test_the_table_shows_what_replay_holds_and_who_waits_for_it(screen):
    program = make_program(end=20_000)  # Longer than it takes to look.
    replay = add_replay(program, "replay")
    program.add_node(al.Node(Sampler, replay), label="sampler")
    with al.launch(program, "threads") as run:
        run.client(replay).insert("items", ITEMS)
        patterns = r"  items +3 +20 ", r"  sampler waits for sample"
        assert comes_to_show(run, screen, *patterns)


def test_tables_of_several_replay_nodes_have_the_names_of_their_nodes(screen):
    program = make_program(end=20_000)
    good = add_replay(program, "good")
    add_replay(program, "bad", OwnReplay)
    with al.launch(program, "threads") as run:
        run.client(good).insert("items", ITEMS)
        patterns = r"  good\.items +3 +20 ", r"  bad\.items +0 +20 "
        assert comes_to_show(run, screen, *patterns)


def test_replay_that_is_not_started_has_no_tables(screen):
    program = make_program(end=20_000)
    with program.group("r", size=1):
        add_replay(program, "a")
        add_replay(program, "b")
    with al.launch(program, "threads") as run:
        assert comes_to_show(run, screen, r"  r/a\.items +0 +20 ")
    assert "r/b" not in screen.getvalue()
