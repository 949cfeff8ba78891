"""The command `acmelike`: its commands, its mistakes, and tab completion."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from acmelike import __version__
from acmelike.__main__ import main
from acmelike.errors import ConfigError
from acmelike.experiments.completion import candidates
from acmelike.experiments.config import ExperimentConfig, TopologyName
from acmelike.experiments.program import (
    TrainingProgram,
    find_program,
    program_names,
)
from acmelike.topologies.names import TOPOLOGIES

ROOT = Path(__file__).parents[1]
OWN_PROGRAM = '''"""Mine: DQN for pictures.

With more words.
"""
from acmelike import ExperimentConfig, TrainingProgram
from acmelike.agents import dqn

PROGRAM = TrainingProgram(
    name="mine",
    description=__doc__,
    make_config=lambda: ExperimentConfig(
        environment="Catch", num_actors=3, agent=dqn.DQNConfig()
    ),
    make_builder=lambda config: dqn.DQNBuilder(config=config.agent),
)
'''


def command(*args, folder=ROOT, **settings):
    return subprocess.run(
        [sys.executable, "-m", "acmelike", *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        **settings,
    )


@pytest.fixture
def own(tmp_path):
    """A folder with programs of a user's own."""
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "my_program.py").write_text(OWN_PROGRAM)
    (package / "broken.py").write_text("import my_packag\n")
    needy = tmp_path / "needy"
    needy.mkdir()
    (needy / "__init__.py").write_text("import no_such_torch\n")
    (needy / "mine.py").write_text(OWN_PROGRAM)
    (tmp_path / "alone.py").write_text(OWN_PROGRAM)
    (tmp_path / "programs").mkdir()
    return tmp_path


# --- Help, and what there is ------------------------------------------------------


def test_it_says_its_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"acmelike {__version__}\n"


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"]])
def test_help_names_every_command(args, capsys):
    assert main(args) == 0
    said = capsys.readouterr().out
    words = ("train PROGRAM", "programs", "draw PROGRAM --out", "evaluate RUN_FOLDER")
    for word in (*words, "--version", "--print-completion"):
        assert f"\n  {word} " in said


def test_help_of_train_lists_the_programs(capsys):
    assert main(["train", "--help"]) == 0
    said = capsys.readouterr().out
    for name in program_names():
        assert f"acmelike train {name} " in said


def test_help_is_quick_as_it_imports_little():
    for args in (["--help"], ["train", "--help"], ["train", "dqn", "--help"]):
        script = (
            "import sys; from acmelike.__main__ import main; "
            f"main({args}); print(*sys.modules, file=sys.stderr)"
        )
        ended = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
        )
        assert "usage: acmelike" in ended.stdout
        assert not {"jax", "gymnasium", "matplotlib"} & {*ended.stderr.split()}


def test_a_topology_has_one_name():
    assert set(TOPOLOGIES) == set(TopologyName.__args__)


# --- Mistakes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["tran"], "unknown command 'tran'; did you mean 'train'?"),
        (["qqqq"], "unknown command 'qqqq'; there are train, programs, draw, evaluate"),
        (["train"], "train needs a program first: acmelike train PROGRAM ...;"),
        (["train", "--seed", "1"], "train needs a program first"),
        (["train", "dqm"], "unknown program 'dqm'; did you mean 'dqn'?"),
        (["train", "zzzzz"], "unknown program 'zzzzz'; there are apex_dqn, dqn, "),
        (["train", "no_such.program"], "unknown program 'no_such.program'"),
        (["train", "../dqn"], "unknown program '../dqn'; did you mean 'dqn'?"),
        (
            ["train", "./my/program.py"],
            "a module that can be imported, such as my.program, ",
        ),
        (["train", "json"], "module 'json' has no PROGRAM that is a TrainingProgram"),
        (["train", "dqn", "--sed", "1"], "unknown flag --sed; did you mean '--seed'?"),
        (["draw", "dqn"], "draw needs a file: acmelike draw PROGRAM --out FILE.svg"),
        (["draw", "dqn", "--out", "x.png"], "must end in .svg, .mmd or .md: x.png"),
        (["--print-completion", "bsh"], "for the shell 'bsh'; did you mean 'bash'?"),
        (["--print-completion"], "for the shell ''; there are bash, zsh"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(args, words, capsys):
    assert main(args) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith("error: ") and words in said.err


# --- Programs of a user's own -----------------------------------------------------


@pytest.mark.parametrize("name", ["my_package.my_program", "alone"])
def test_a_program_in_the_current_folder_is_found(own, name):
    ended = command("draw", name, "--out=graph.svg", folder=own)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "drew 7 nodes into graph.svg\n"
    assert "actor/2" in (own / "graph.svg").read_text()
    ended = command("train", name, "--help", folder=own)
    assert f"usage: acmelike train {name} " in ended.stdout
    assert "Mine: DQN for pictures." in ended.stdout


def test_a_program_that_cannot_be_imported_is_one_line(own):
    ended = command("train", "my_package.broken", folder=own)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "error: cannot import 'my_package.broken': ModuleNotFoundError: "
        "No module named 'my_packag'\n"
    )


def test_a_package_that_lacks_another_is_told_from_no_program(own):
    ended = command("train", "needy.mine", folder=own)
    assert ended.stderr == (
        "error: cannot import 'needy.mine': ModuleNotFoundError: "
        "No module named 'no_such_torch'\n"
    )


def test_a_module_with_the_name_of_a_program_is_said_to_be_unused(own):
    (own / "ppo").mkdir()  # That is no module.
    assert command("draw", "ppo", "--out=graph.svg", folder=own).stderr == ""
    (own / "dqn.py").write_text((own / "alone.py").read_text())
    ended = command("draw", "dqn", "--out=graph.svg", folder=own)
    assert ended.returncode == 0
    assert ended.stderr == (
        "note: dqn is a program of acmelike's, and that one is used; the module 'dqn' "
        "needs another name to be run\n"
    )


@pytest.mark.parametrize("function", ["make_config", "make_builder"])
def test_a_program_that_exits_is_one_line(function):
    def leave(*args):
        sys.exit("set MY_DATA first")

    functions = {"make_config": ExperimentConfig, "make_builder": None, function: leave}
    program = TrainingProgram(name="mine", description="", **functions)
    words = f"{function} of mine exits: SystemExit: set MY_DATA first"
    with pytest.raises(ConfigError, match=words):
        program.config if function == "make_config" else program.builder(None)


def test_its_defaults_and_ranges_are_those_of_its_flags():
    program = find_program("sac")
    assert program.config.environment == "Pendulum-v1"
    assert type(program.config) is ExperimentConfig
    assert program.summary == program.description.splitlines()[0]


# --- Tab completion ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([""], {"train", "programs", "draw", "evaluate", "--help", "--version"}),
        (["tr"], {"train"}),
        (["train", "apex"], {"apex_dqn"}),
        (["draw", ""], {"dqn", "ppo"}),
        (["train", "dqn", "--num-act"], {"--num-actors"}),
        (["train", "dqn", "--agent.n"], {"--agent.n-step", "--agent.no-double"}),
        (["train", "dqn", "--seed", "1", "--li"], {"--live"}),
        (["train", "ppo", "--topology", "s"], {"synchronous"}),
        (["programs", ""], {"--pictures"}),
        (["evaluate", "--"], {"--episodes", "--seed", "--video"}),
        (["--print-completion", ""], {"bash", "zsh"}),
    ],
)
def test_candidates(words, found):
    assert found <= set(candidates(words))
    assert all(word.startswith(words[-1]) for word in candidates(words))


@pytest.mark.parametrize(
    ("words", "has_flags"),
    [(["evaluate", ""], True), (["train", "nope", "--"], False), (["x", ""], False)],
)
def test_where_there_are_no_candidates_the_shell_proposes_files(words, has_flags):
    found = candidates(words)
    assert bool(found) == has_flags
    assert all(word.startswith("--") for word in found)


def test_flags_of_every_command_are_completed(capsys):
    for name in ("evaluate", "programs"):
        assert main([name, "--help"]) == 0
        # Each stands at the beginning of its line, after the frame.
        said = re.findall(r"^. (?:-h, )?(--[a-z-]+)", capsys.readouterr().out, re.M)
        assert set(candidates([name, "--"])) == set(said)


def test_bash_completes_with_the_script(tmp_path):
    script = tmp_path / "completion.bash"
    script.write_text(command("--print-completion", "bash").stdout)
    (tmp_path / "acmelike").write_text(
        f'#!/bin/sh\n{sys.executable} -m acmelike "$@"\n'
    )
    (tmp_path / "acmelike").chmod(0o755)
    ended = subprocess.run(
        [
            "bash",
            "-c",
            f"source {script}; COMP_WORDS=(acmelike train dqn --num-e); COMP_CWORD=3; "
            '_acmelike; printf "%s\\n" "${COMPREPLY[@]}"; complete -p acmelike',
        ],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    *found, how = ended.stdout.splitlines()
    assert sorted(found) == [
        "--num-envs-per-actor",
        "--num-eval-envs",
        "--num-eval-episodes",
    ]
    assert how == "complete -o default -F _acmelike acmelike"
