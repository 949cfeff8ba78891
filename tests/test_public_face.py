"""The public names: `acmelike` and its agents list each of them in the same way."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
AGENTS = sorted(path.parent.name for path in (ROOT / "agents").glob("*/__init__.py"))
ROOMS = ["adders", "environments", "launchers", "networks"]
PACKAGES = [
    "acmelike",
    *(f"acmelike.agents.{name}" for name in AGENTS),
    *(f"acmelike.{name}" for name in ROOMS),
]


def typed_names(package):
    """name -> module, as type checkers and editors read the package."""
    tree = ast.parse(Path(package.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    return {
        alias.name: statement.module
        for statement in block.body
        for alias in statement.names
    }


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_is_what_type_checkers_see(name):
    package = importlib.import_module(name)
    typed = typed_names(package)
    assert sorted(package.__all__) == sorted(typed)
    assert package.__all__ == sorted(package.__all__, key=sort_key)
    for public, module in typed.items():
        assert getattr(package, public) is getattr(
            importlib.import_module(module), public
        )
        assert public in dir(package)


def sort_key(name):
    """Constants, classes, functions: the order that ruff gives to `__all__`."""
    return (not name.isupper(), not name[0].isupper(), name)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_name_that_does_not_exist_is_refused_and_others_proposed(name):
    package = importlib.import_module(name)
    with pytest.raises(AttributeError, match=f"'{name}' has no attribute 'lunch'"):
        package.lunch  # noqa: B018


def test_python_proposes_the_nearest_name():
    ended = subprocess.run(
        [sys.executable, "-c", "import acmelike; acmelike.lunch"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert "Did you mean: 'launch'?" in ended.stderr


def test_importing_it_imports_neither_jax_nor_numpy():
    script = (
        "import sys, acmelike\nprint(sorted(m for m in sys.modules if '.' not in m))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"jax", "numpy", "dm_env"} & set(ast.literal_eval(ended.stdout))


def test_an_agent_is_a_name_of_acmelike_agents():
    script = (
        "import sys\n"
        "from acmelike.agents import dqn\n"
        "assert dqn.DQNBuilder(config=dqn.DQNConfig(n_step=3)).name == 'dqn'\n"
        "assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
