"""Flags as a function of a configuration."""

import io
from dataclasses import dataclass, field

import pytest

from acmelike.errors import ConfigError
from acmelike.experiments.flags import flags_of, parse


@dataclass(frozen=True, kw_only=True)
class Agent:
    """An agent.

    Attributes:
      n_step: how far to look.
      double: whether twice.
      sizes: of layers.
    """

    n_step: int = 3
    double: bool = True
    sizes: tuple[int, ...] = (4, 5)

    def __post_init__(self):
        if self.n_step < 1:
            raise ConfigError(f"n_step must be at least 1: {self.n_step}")


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program.

    Attributes:
      num_actors: how many.
      target: to reach.
      agent: its settings.
    """

    num_actors: int = 2
    target: float | None = None
    agent: Agent = field(default_factory=Agent)

    def __post_init__(self):
        if self.num_actors == 13:
            raise ConfigError("this house has no 13")


def parsed(*args):
    return parse(Program, args, prog="python -m program", description="Says so.")


def complaint(*args):
    with pytest.raises(ConfigError) as caught:
        parsed(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "args",
    [
        ["--num-actors", "3", "--agent.n-step", "5"],
        ["--num-actors=3", "--agent.n-step=5"],
        ["--num_actors", "3", "--agent.n_step=5"],
        ["--num_actors=1", "--num-actors=3", "--agent.n_step", "5"],
    ],
)
def test_flags_are_written_as_one_likes(args):
    assert parsed(*args) == Program(num_actors=3, agent=Agent(n_step=5))


def test_nothing_means_the_defaults():
    assert parsed() == Program()


def test_other_types():
    args = ["--agent.no-double", "--agent.sizes", "7", "8", "--target", "-1.5"]
    assert parsed(*args) == Program(
        target=-1.5, agent=Agent(double=False, sizes=(7, 8))
    )
    assert parsed("--agent.double").agent.double


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--num-actor", "3"], ["unknown flag --num-actor;", "'--num-actors'"]),
        (["--agent.nstep=3"], ["unknown flag --agent.nstep;", "'--agent.n-step'"]),
        (["--qqqqqq"], ["unknown flag --qqqqqq"]),
        (["--num-actors", "two"], ["--num-actors", "'two'"]),
        (["--num-actors", "2.5"], ["--num-actors", "'2.5'"]),
        (["--num-actors"], ["--num-actors", "value"]),
        (["--agent.double", "maybe"], ["maybe"]),
        (["stray"], ["stray"]),
        (["--num-actors", "3", "4"], ["4"]),
        (["--agent.n-step", "0"], ["--agent.n-step must be at least 1: 0"]),
        (["--num-actors", "13"], ["this house has no 13"]),
    ],
)
def test_a_mistake_is_told_in_one_line(args, words):
    message = complaint(*args)
    for word in words:
        assert word in message


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_in_a_terminal_a_mistake_is_the_same_line(monkeypatch, encoding):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    plain = complaint("--num-actors", "two")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert complaint("--num-actors", "two") == plain


def test_help_comes_from_the_docstrings(capsys):
    with pytest.raises(SystemExit) as caught:
        parsed("--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for words in ("Says so.", "how far to look.", "whether twice.", "to reach."):
        assert words in text


def test_the_flags_of_a_configuration():
    assert list(flags_of(Program)) == [
        "--num-actors",
        "--target",
        "--agent.n-step",
        "--agent.double",
        "--agent.no-double",
        "--agent.sizes",
    ]
