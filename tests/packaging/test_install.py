"""acmelike as people install it: the wheel, and an editable checkout.

Both are installed beside openai-agents, whose top-level package is `agents` too, and
used in a folder with packages `agents` and `programs` of the user's own.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from acmelike import __version__

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("WHEEL_PYTHON", sys.executable)
OWN_PROGRAM = """
from acmelike import ExperimentConfig, TrainingProgram
from acmelike.agents import dqn
import agents

PROGRAM = TrainingProgram(
    name="mine",
    description=agents.MINE,
    make_config=lambda: ExperimentConfig(
        environment="Catch",
        max_env_steps=300,
        num_eval_episodes=2,
        agent=dqn.DQNConfig(
            replay=dqn.ReplaySettings(min_size=50),
            batch_size=8,
            num_updates_per_call=2,
            hidden_sizes=(16,),
        ),
    ),
    make_builder=lambda config: dqn.DQNBuilder(config=config.agent),
)
"""


def run(*command, **settings):
    """Runs a command without what this process's environment says of Python and XLA."""
    ours = "PYTHON", "PIP_", "XLA_"  # Its JAX may be another one.
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    ended = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, env=kept, **settings
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """A copy of the files that git keeps: without old builds, which would get in."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = run("git", "ls-files", "-z", "-c", "-o", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(ROOT / name):
            shutil.copy2(ROOT / name, target, follow_symlinks=False)
    return folder


@pytest.fixture(scope="session")
def built(checkout, tmp_path_factory):
    """The folder of the sdist, and of the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("built")
    run(PYTHON, "-m", "venv", folder / "tools")
    python = folder / "tools" / "bin" / "python"
    run(python, "-m", "pip", "install", "build")
    run(python, "-m", "build", "--outdir", folder / "dist", checkout)
    return folder / "dist"


@pytest.fixture(scope="session")
def environment(built, tmp_path_factory):
    """A new virtual environment with the wheel and openai-agents."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    run(PYTHON, "-m", "venv", folder)
    python = folder / "bin" / "python"
    code = "import sys; print('%d%d' % sys.version_info[:2])"
    pins = ROOT / "constraints" / f"py{run(python, '-c', code).strip()}.txt"
    (wheel,) = built.glob("*.whl")
    run(python, "-m", "pip", "install", "-c", pins, wheel, "openai-agents")
    return folder


@pytest.fixture(scope="session", params=["wheel", "editable"])
def python(request, environment, built, checkout):
    """The interpreter of an environment that acmelike is installed in, in two ways."""
    python = environment / "bin" / "python"
    install = [python, "-m", "pip", "install", "--no-deps", "--force-reinstall"]
    (wheel,) = built.glob("*.whl")
    run(*install, *([wheel] if request.param == "wheel" else ["-e", checkout]))
    where = run(python, "-c", "import acmelike; print(acmelike.__file__)", cwd="/")
    assert ("site-packages" in where) == (request.param == "wheel")
    return python


@pytest.fixture
def folder(tmp_path):
    """A user's folder, with an `agents` and a `programs` that are not acmelike's."""
    for package in ("agents", "programs"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("MINE = 'of my own'\n")
    (tmp_path / "programs" / "mine.py").write_text(OWN_PROGRAM)
    return tmp_path


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


# --- What is in it ----------------------------------------------------------------


def test_the_wheel_installs_acmelike_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"acmelike", f"acmelike-{__version__}.dist-info"}
    product = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "acmelike").rglob("*.py")
        if "__pycache__" not in path.parts
    }
    linked = {
        f"acmelike/{path.relative_to(ROOT)}"
        for name in ("agents", "programs")
        for path in (ROOT / name).rglob("*.py")
    }
    assert len(linked) > 20
    assert product | linked | {"acmelike/py.typed"} == {
        name for name in names if name.startswith("acmelike/")
    }


def test_the_sdist_has_what_a_build_needs(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "pyproject.toml", "LICENSE", "README.md"} <= names


# --- How it is used ---------------------------------------------------------------


def test_names_are_the_users_own_and_those_of_openai_agents(python, folder):
    code = "import agents, programs; print(agents.MINE, programs.MINE)"
    assert run(python, "-c", code, cwd=folder) == "of my own of my own\n"
    code = "import agents; print(agents.Agent.__module__, agents.Runner.__name__)"
    assert run(python, "-c", code, cwd="/") == "agents.agent Runner\n"


def test_the_command_says_the_version(python):
    assert run(python.with_name("acmelike"), "--version", cwd="/") == (
        f"acmelike {__version__}\n"
    )
    code = "import importlib.metadata as m; print(m.version('acmelike'))"
    assert run(python, "-c", code, cwd="/") == f"{__version__}\n"


def test_dqn_learns_cartpole(python, folder):
    run(
        *(python.with_name("acmelike"), "train", "dqn"),
        *("--environment", "CartPole-v1", "--stop-at-return", "475", "--out", "run"),
        cwd=folder,
    )
    told = summary(folder / "run")
    assert told["status"] == "completed"
    assert told["env_steps"] < 100_000
    said = run(python.with_name("acmelike"), "evaluate", "run", cwd=folder)
    assert float(said.split()[2].rstrip(",")) > 400


@pytest.mark.parametrize("launch", ["threads", "processes"])
def test_a_program_of_the_users_own_finds_their_packages(python, folder, launch):
    run(
        *(python.with_name("acmelike"), "train", "programs.mine"),
        *("--launch", launch, "--out", "run"),
        cwd=folder,
    )
    assert summary(folder / "run")["status"] == "completed"


def test_type_checkers_find_the_public_names(python, folder):
    (folder / "mine.py").write_text(
        "import acmelike as al\n"
        "from acmelike.agents import dqn\n"
        "reveal_type(dqn.DQNBuilder(config=dqn.DQNConfig()).batch_size)\n"
        "reveal_type(al.launch)\n"
        "dqn.DQNConfig(batch_size='many')\n"
    )
    # What other packages say of types takes half a minute to read.
    (folder / "mypy.ini").write_text(
        "[mypy-flax.*,gymnasium.*,jax.*,matplotlib.*,optax.*,optree.*,rich.*,rlax.*,"
        "tyro.*]\nfollow_imports = skip\n"
    )
    mypy = [
        sys.executable,
        "-m",
        "mypy",
        "--python-executable",
        python,
        "--no-incremental",
    ]
    ended = subprocess.run(
        [*map(str, mypy), "mine.py"], cwd=folder, capture_output=True, text=True
    )
    assert 'mine.py:3: note: Revealed type is "int"' in ended.stdout.replace(
        "builtins.", ""
    )
    assert "mine.py:4: note: Revealed type is" in ended.stdout
    assert "program: acmelike.graph.program.Program" in ended.stdout
    assert '5: error: Argument "batch_size" to "DQNConfig"' in ended.stdout
    assert "import" not in ended.stdout.replace("acmelike", "")
