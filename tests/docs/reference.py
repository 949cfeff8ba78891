"""Writes `docs/reference.md` from docstrings: `python -m tests.docs.reference`."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import docstring_parser

import acmelike as al
from acmelike.experiments.evaluate import EvaluateConfig
from acmelike.experiments.program import find_program, program_names

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"

_HEAD = """\
# Reference

All public names with one line each, then every flag with its default.
`help(al.Writer)` in Python, and a click on a name in an editor, say more. This page is
made from the docstrings (`python -m tests.docs.reference`).
"""
_AUTHORS = """\
For settings of agents, and for those who write agents, adders, selectors, networks or
environments of their own. Names that `al` has too are left out.
"""
_PACKAGES = (
    *("agents.dqn", "agents.r2d2", "agents.impala", "agents.ppo", "agents.sac"),
    *("agents.td3", "agents.parts", "environments", "adders", "replay", "networks"),
    *("policies", "learners", "testing"),
)
_EVALUATE = "They are flags of `acmelike evaluate RUN_FOLDER`.\n"
_FLAGS = """\
They are flags of `acmelike train PROGRAM`, and arguments of `al.train`:
`--num-actors 4` is there `num_actors=4`, and `--rewards.clip 1` is
`rewards={"clip": 1.0}`.
"""
_KINDS = ("Functions", "Classes", "Errors", "Types")
# Values have the docstring of their type, which says nothing of them.
_VALUES = {
    "NetworkSource": "Chooses a network: a name, a flax module, or what returns one.",
    "PADDING": "In place of the number of a step: a step of zeros.",
    "SelectorConfig": "Configuration of a sampler or remover; yours may be one too.",
}
# Of programs with one agent, that which has its name.
_FIRST = ("dqn", "impala", "ppo", "r2d2", "sac", "td3")


def reference() -> str:
    """The page."""
    parts = [_HEAD, "## `import acmelike as al`\n"]
    for kind, lines in _names(al).items():
        if lines:
            parts += [f"### {kind}\n", _table(("Name", "What it is"), lines)]
    parts += ["## Names of packages\n", _AUTHORS]
    for name in _PACKAGES:
        package = importlib.import_module(f"acmelike.{name}")
        lines = [line for found in _names(package, al).values() for line in found]
        parts += [f"### `acmelike.{name}`\n", _table(("Name", "What it is"), lines)]
    parts.append("## Flags of every program\n")
    parts.append(_FLAGS)
    programs = {name: find_program(name).config for name in program_names()}
    common = {
        flag: line
        for flag, line in _flags(programs["dqn"])
        if not flag.startswith("--agent.")
    }
    parts.append(_table(("Flag", "Default", "What it says"), common.values()))
    parts.append("## Settings of the agents\n")
    seen: dict[type, tuple[str, dict[str, tuple[str, ...]]]] = {}
    for name in sorted(programs, key=lambda name: (name not in _FIRST, name)):
        config, parent = programs[name], seen.get(type(programs[name].agent))
        known = common if parent is None else parent[1]
        changed = [x for flag, x in _flags(config) if x != known.get(flag, x)]
        parts.append(f"### `acmelike train {name}`\n")
        if changed:
            where = "above" if parent is None else f"of `{parent[0]}`"
            parts.append(f"Other defaults than those {where}:\n")
            parts.append(_table(("Flag", "Default", "What it says"), changed))
        if parent is None:
            seen[type(config.agent)] = name, dict(_flags(config))
            own = [line for flag, line in _flags(config) if flag not in common]
            parts.append(_table(("Flag", "Default", "What it says"), own))
    parts += ["## Flags of an evaluation\n", _EVALUATE]
    of_evaluate = (x for _, x in _flags(EvaluateConfig(run_folder="")))
    lines = [line for line in of_evaluate if line[0] != "`--run-folder`"]
    parts.append(_table(("Flag", "Default", "What it says"), lines))
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _names(
    package: ModuleType, others: ModuleType | None = None
) -> dict[str, list[tuple[str, str]]]:
    """By kind, the names of a package that others do not have, with a line for each."""
    found: dict[str, list[tuple[str, str]]] = {kind: [] for kind in _KINDS}
    for name in sorted(set(package.__all__), key=str.lower):
        value = getattr(package, name)
        line = _VALUES.get(name) or _first_line(inspect.getdoc(value) or "")
        if name.startswith("__") or not line:
            continue
        if others is None or name not in others.__all__:
            found[_kind(value)].append((f"`{name}`", line))
    return found


def _kind(value: Any) -> str:
    if inspect.isclass(value):
        return "Errors" if issubclass(value, BaseException) else "Classes"
    return "Functions" if inspect.isroutine(value) else "Types"


def _flags(config: Any, prefix: str = "--") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each flag of a configuration, with its line of a table."""
    texts = _texts(type(config))
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), field.name.replace("_", "-")
        if dataclasses.is_dataclass(value):
            yield from _flags(value, f"{prefix}{name}.")
        else:
            flag = f"{prefix}{name}"
            yield flag, (f"`{flag}`", f"`{_text(value)}`", texts[field.name])


def _texts(kind: type) -> dict[str, str]:
    """What the docstrings of a class and its bases say of each field."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        parsed = docstring_parser.parse(base.__dict__.get("__doc__") or "")
        for field in parsed.params:
            found[field.arg_name] = " ".join((field.description or "").split())
    return found


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_text, value)) or "none"
    return f"{value}"


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _table(head: tuple[str, ...], lines: Any) -> str:
    rows = [f"| {' | '.join(map(_cell, row))} |" for row in (head, *lines)]
    return "\n".join([rows[0], "|---" * len(head) + "|", *rows[1:]]) + "\n"


def _cell(text: str) -> str:
    return re.sub(r"\|", r"\\|", text)


if __name__ == "__main__":
    PAGE.write_text(reference())
