"""The layers of acmelike: which package may import which, and no import is a circle."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# --- The layers: a package or file of acmelike, and those that it may import -------

BASE = {"errors", "types", "checks", "files", "lazy", "core"}
RUNNING = BASE | {"graph", "rpc", "launchers"}
DATA = BASE | {"environments", "replay", "adders"}
LEARNING = DATA | {
    *("networks", "agent", "policies", "learners", "actors", "evaluation")
}
PARTS = {"testing", "topologies", "telemetry", "experiments", "agents", "version"}
ALL = RUNNING | LEARNING | PARTS

LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "types": set(),
    "checks": {"errors"},
    "files": set(),
    "lazy": set(),
    "version": set(),
    "core": {"errors"},
    # Programs and how they run: nothing about reinforcement learning.
    "graph": BASE,
    "rpc": BASE,
    "launchers": BASE | {"graph", "rpc", "version"},
    # Data, and what makes and uses it: nothing about running.
    "environments": BASE,
    "replay": BASE,
    "adders": BASE | {"replay"},
    "networks": BASE,
    "agent": DATA,
    "policies": DATA | {"agent"},
    "learners": DATA | {"agent", "policies"},
    "actors": DATA | {"networks", "agent", "policies", "learners"},
    "evaluation": DATA | {"networks", "agent", "policies", "learners", "actors"},
    # What an agent's author runs.
    "testing": LEARNING,
    # The two together.
    "topologies": LEARNING | {"graph"},
    "telemetry": RUNNING | {"replay", "evaluation"},
    "experiments": ALL,
    "agents": LEARNING,
    "programs": ALL,
    "__main__": ALL | {"programs"},
    # `acmelike/__init__.py` names things of every layer and imports them when asked.
    "acmelike": ALL,
}

WITHOUT_JAX = (
    "acmelike",
    *(
        f"acmelike.agents.{name}"
        for name in ("dqn", "impala", "ppo", "r2d2", "sac", "td3")
    ),
    *("acmelike.actors", "acmelike.learners", "acmelike.evaluation"),
    "acmelike.testing",
    *("acmelike.graph", "acmelike.rpc", "acmelike.replay", "acmelike.policies"),
    # The other packages import their modules when a name of them is used.
    *("acmelike.launchers.launching", "acmelike.launchers.processes.child"),
    *("acmelike.environments.registry", "acmelike.networks.preparation"),
)


# --- The checker ------------------------------------------------------------------


def module_of(path: Path) -> str:
    """The name by which the file at `path`, relative to the root, is imported."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str:
    """What the table of layers calls a module."""
    return (*module.split("."), "acmelike")[1]


def imports_of(path: Path, source: str, modules: set[str]) -> Iterator[tuple[int, str]]:
    """Yields (line, module) for each import of acmelike, wherever in the file it is."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = path.parts[: -node.level] if node.level else ()
            module = ".".join((*package, *filter(None, [node.module])))
            inner = [f"{module}.{alias.name}" for alias in node.names]
            # What is imported from a package is one of its modules, or a name that its
            # `__init__.py` has.
            names = [name if name in modules else module for name in inner]
        else:
            continue
        for name in names:
            if name.split(".")[0] in {"acmelike", "agents", "programs", "tests"}:
                yield node.lineno, name


def product_files(root: Path) -> list[Path]:
    """Every file of acmelike; `agents` and `programs` are links in it."""
    files: list[Path] = []
    folders = [root / "acmelike"]
    while folders:
        for path in sorted(folders.pop().iterdir()):
            if path.is_dir() and path.name != "__pycache__":
                folders.append(path)
            elif path.suffix == ".py":
                files.append(path.relative_to(root))
    return sorted(files)


def import_graph(root: Path) -> dict[str, dict[str, str]]:
    """module -> imported module -> where, as "file:line"."""
    files = product_files(root)
    modules = {module_of(path) for path in files}
    graph: dict[str, dict[str, str]] = {module: {} for module in modules}
    for path in files:
        source = (root / path).read_text(encoding="utf-8")
        for line, imported in imports_of(path, source, modules):
            graph[module_of(path)].setdefault(imported, f"{path}:{line}")
    return graph


def broken_layers(root: Path) -> list[str]:
    """Describes each import under `root` that the table does not allow."""
    found = []
    for module, imports in import_graph(root).items():
        part = part_of(module)
        if part not in LAYERS:
            found.append(f"acmelike.{part} has no place in the layers")
            continue
        for imported, where in imports.items():
            root_name = imported.split(".")[0]
            other = part_of(imported) if root_name == "acmelike" else f"{root_name}/"
            if other not in LAYERS[part] | {part}:
                found.append(f"{where}: {part} may not import {other}")
    return found


def circles(graph: dict[str, dict[str, str]]) -> set[str]:
    """The modules that, through others, import themselves."""
    left = {module: set(imports) & graph.keys() for module, imports in graph.items()}
    # Names of the public face are imported when they are asked for.
    left.pop("acmelike", None)
    while free := [m for m, others in left.items() if not others & left.keys()]:
        for module in free:
            del left[module]
    # What is left also has those that only lead to a circle.
    while free := [m for m in left if not any(m in others for others in left.values())]:
        for module in free:
            del left[module]
    return set(left)


# --- The tests --------------------------------------------------------------------


def test_layers_are_kept():
    broken = broken_layers(ROOT)
    assert not broken, "\n".join(broken)


def test_no_module_imports_itself_through_others():
    assert circles(import_graph(ROOT)) == set()


def test_layers_have_no_circles():
    inner = {part: dict.fromkeys(may - {part}, "") for part, may in LAYERS.items()}
    assert circles(inner) == set()


def write(root: Path, files: dict[str, str]) -> None:
    for name, source in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("types.py", "import acmelike.errors", "1: types may not import errors"),
        ("replay/a.py", "from acmelike.rpc.server import f", "may not import rpc"),
        ("replay/a.py", "from acmelike.adders import x", "may not import adders"),
        ("replay/a.py", "from acmelike import Program", "may not import acmelike"),
        ("replay/a.py", "from ..rpc import f", "may not import rpc"),
        ("graph/a.py", "def f():\n    import acmelike.launchers", "a.py:2: graph"),
        (
            "core/a.py",
            "if TYPE_CHECKING:\n    import acmelike.rpc",
            "a.py:2: core may not import rpc",
        ),
        ("new.py", "", "acmelike.new has no place"),
        ("rpc/a.py", "import acmelike.new.b", "rpc may not import new"),
        ("agents/dqn/a.py", "import acmelike.rpc", "agents may not import rpc"),
        ("agents/dqn/a.py", "import agents.ppo", "agents may not import agents/"),
        ("programs/dqn.py", "import tests.helpers", "programs may not import tests/"),
    ],
)
def test_checker_finds(tmp_path, path, source, complaint):
    write(tmp_path, {f"acmelike/{path}": source})
    (found,) = broken_layers(tmp_path)
    assert complaint in found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("__init__.py", "import acmelike.experiments"),
        ("rpc/client.py", "from acmelike.rpc import wire\nfrom . import server"),
        ("rpc/client.py", "import acmelike.core, numpy\nimport acmelikeness"),
        ("agents/dqn/learner.py", "from acmelike.agents.dqn import losses"),
        ("programs/dqn.py", "import acmelike.agents.dqn"),
    ],
)
def test_checker_allows(tmp_path, path, source):
    write(tmp_path, {f"acmelike/{path}": source})
    assert broken_layers(tmp_path) == []


@pytest.mark.parametrize(
    "source",
    [
        "from acmelike.a.y import f",
        "def f():\n    from acmelike.a import y",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import acmelike.a.y",
    ],
)
def test_circles_are_found_however_one_imports(tmp_path, source):
    files = {
        "x.py": source,
        "y.py": "import acmelike.a.x",
        "z.py": "import acmelike.a.y",
    }
    write(tmp_path, {f"acmelike/a/{name}": text for name, text in files.items()})
    assert circles(import_graph(tmp_path)) == {"acmelike.a.x", "acmelike.a.y"}


def test_these_start_without_jax():
    script = (
        "import importlib, sys\n"
        f"for name in {WITHOUT_JAX}:\n"
        "    importlib.import_module(name)\n"
        "    assert 'jax' not in sys.modules, name + ' imports jax'\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def test_nothing_is_called_utils():
    for path in product_files(ROOT):
        names = {part.strip("_") for part in path.with_suffix("").parts}
        assert not names & {"util", "utils"}, path


def test_no_two_classes_share_a_name():
    places: dict[str, list[str]] = {}
    for path in product_files(ROOT):
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(f"{path}:{node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
