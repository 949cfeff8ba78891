"""The layers of acmelike: who may import whom, and which packages start without JAX."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ("acmelike", "agents", "programs")

# --- The layering: a part of acmelike, and the parts it may import ----------------

CORE = {"errors", "types", "metrics", "core", "leaf", "seeds", "run_folder", "ranges"}
DATA = CORE | {"environments", "replay", "adders"}
ACTING = DATA | {
    *("networks", "agent", "learners", "policy_file", "coordinator", "actors"),
}
NETWORK = CORE | {"graph", "rpc", "launchers"}
EVERYTHING = (
    ACTING
    | NETWORK
    | {"saved_policy", "topologies", "telemetry", "cli"}
    | {"experiment", "experiment_config", "evaluate"}
)

LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "types": set(),
    "metrics": {"errors"},
    "leaf": {"errors"},
    "core": {"errors", "metrics", "leaf"},
    "seeds": set(),
    "run_folder": {"errors"},
    "ranges": {"errors"},
    # Programs and how they run; nothing of learning.
    "graph": CORE,
    "rpc": CORE | {"graph"},
    "launchers": CORE | {"graph", "rpc"},
    # Data and what makes and uses it; nothing of running.
    "environments": CORE,
    "replay": CORE,
    "adders": CORE | {"replay"},
    "networks": CORE,
    "agent": DATA,
    "learners": DATA | {"agent"},
    "policy_file": DATA | {"agent"},
    "coordinator": DATA | {"learners", "policy_file"},
    "actors": DATA | {"networks", "agent", "learners", "coordinator"},
    "saved_policy": ACTING,
    # The two together.
    "topologies": ACTING | {"graph"},
    "telemetry": CORE | {"launchers", "coordinator", "replay"},
    "cli": CORE,
    "experiment_config": {"errors"},
    "experiment": EVERYTHING,
    "evaluate": ACTING | {"cli", "saved_policy"},
    "__main__": CORE | {"cli", "evaluate"},
    # `acmelike/__init__.py` names things of every layer and imports them when asked.
    "acmelike": EVERYTHING,
}
FOR_AGENTS = EVERYTHING - {"topologies", "launchers", "rpc", "graph", "experiment"}
FOR_PROGRAMS = EVERYTHING | {"acmelike", "agents", "programs"}

WITHOUT_JAX = (
    "acmelike",
    *(f"acmelike.{p}" for p in ("graph", "rpc", "launchers", "replay", "networks")),
)
LONGEST = 400


# --- The checker ------------------------------------------------------------------


def part_of(path: Path) -> str:
    """What the table calls the file at `path`, relative to the root of the tree."""
    if path.parts[0] != "acmelike":
        return path.parts[0]
    part = path.with_suffix("").parts[1]
    return "acmelike" if part == "__init__" else part


def imported_parts(path: Path, source: str) -> Iterator[tuple[int, str]]:
    """Yields each import of a part of the product, with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = path.parts[: -node.level] if node.level else ()
            module = ".".join((*package, *filter(None, [node.module])))
            modules = [module]
            if module == "acmelike":  # its modules, or names that it has from them
                names = (alias.name for alias in node.names)
                modules = [f"acmelike.{n}" if n in LAYERS else module for n in names]
        else:
            continue
        for module in modules:
            root, *rest = module.split(".")
            if root == "acmelike":
                yield node.lineno, rest[0] if rest else root
            elif root in {*PRODUCT, "tests", "benchmarks"}:
                yield node.lineno, root


def broken_layers(root: Path) -> list[str]:
    """Describes each import under `root` that the table does not allow."""
    found = []
    for path in product_files(root):
        part = part_of(path)
        if path.parts[0] == "agents":
            allowed = FOR_AGENTS | {"agents"}
        elif path.parts[0] == "programs":
            allowed = FOR_PROGRAMS
        elif part in LAYERS:
            allowed = LAYERS[part] | {part}
        else:
            found.append(f"{path}: acmelike.{part} has no place in the layers")
            continue
        source = (root / path).read_text(encoding="utf-8")
        for line, imported in imported_parts(path, source):
            if imported not in allowed:
                found.append(f"{path}:{line}: {part} may not import {imported}")
    return found


def product_files(root: Path) -> list[Path]:
    files = (path for part in PRODUCT for path in (root / part).rglob("*.py"))
    return sorted(path.relative_to(root) for path in files)


# --- The tests --------------------------------------------------------------------


def test_layers_are_kept():
    broken = broken_layers(ROOT)
    assert not broken, "\n".join(broken)


def test_layers_have_no_rings():
    below = {p: may - {p, "acmelike"} for p, may in LAYERS.items() if may != EVERYTHING}
    while below:
        free = {part for part, may in below.items() if not may & below.keys()}
        assert free, f"a ring among {sorted(below)}"
        below = {part: may for part, may in below.items() if part not in free}


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        (
            "acmelike/types.py",
            "import acmelike.errors",
            "1: types may not import errors",
        ),
        (
            "acmelike/replay/a.py",
            "from acmelike.rpc.server import f",
            "may not import rpc",
        ),
        (
            "acmelike/replay/a.py",
            "from acmelike import adders",
            "may not import adders",
        ),
        (
            "acmelike/replay/a.py",
            "from acmelike import Program",
            "may not import acmelike",
        ),
        ("acmelike/replay/a.py", "from ..rpc import f", "may not import rpc"),
        (
            "acmelike/replay/a.py",
            "from .. import launchers",
            "may not import launchers",
        ),
        (
            "acmelike/graph/a.py",
            "def f():\n    import acmelike.launchers",
            "a.py:2: graph",
        ),
        (
            "acmelike/core.py",
            "if TYPE_CHECKING:\n    import acmelike.rpc",
            "core.py:2: core may not import rpc",
        ),
        ("acmelike/experiment.py", "import agents.dqn", "may not import agents"),
        ("acmelike/new.py", "", "acmelike.new has no place"),
        ("acmelike/rpc/a.py", "import acmelike.new.b", "rpc may not import new"),
        ("agents/dqn/learner.py", "import acmelike.rpc", "agents may not import rpc"),
        ("programs/dqn.py", "import tests.helpers", "programs may not import tests"),
    ],
)
def test_checker_finds(tmp_path, path, source, complaint):
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source)
    (found,) = broken_layers(tmp_path)
    assert complaint in found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("acmelike/__init__.py", "import acmelike.experiment"),
        (
            "acmelike/rpc/client.py",
            "from acmelike.rpc import wire\nfrom . import server",
        ),
        ("acmelike/rpc/client.py", "import acmelike.graph, numpy\nimport acmelikeness"),
        (
            "agents/dqn/learner.py",
            "from agents.dqn import losses\nimport acmelike.agent",
        ),
        ("programs/dqn.py", "from acmelike import launch\nimport agents.dqn"),
    ],
)
def test_checker_allows(tmp_path, path, source):
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source)
    assert broken_layers(tmp_path) == []


def test_these_start_without_jax():
    names = [name for name in WITHOUT_JAX if (ROOT / name.replace(".", "/")).is_dir()]
    script = (
        "import importlib, sys\n"
        f"for name in {names}:\n"
        "    importlib.import_module(name)\n"
        "    assert 'jax' not in sys.modules, name + ' imports jax'\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def test_files_are_short():
    lengths = {
        str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines())
        for path in product_files(ROOT)
    }
    assert {path: n for path, n in lengths.items() if n > LONGEST} == {}


def test_nothing_is_called_utils():
    for path in product_files(ROOT):
        names = {part.strip("_") for part in path.with_suffix("").parts}
        assert not names & {"util", "utils"}, path
