"""Writes `docs/reference.md` from docstrings: `python -m tests.docs.reference`."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docstring_parser

import acmelike as al
from acmelike.experiments.program import find_program, program_names

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"

_HEAD = """\
# Reference

All public names with one line each, then every flag with its default.
`help(al.Writer)` in Python, and a click on a name in an editor, say more. This page is
made from the docstrings (`python -m tests.docs.reference`).
"""
_FLAGS = """\
They are flags of `acmelike train PROGRAM`, and arguments of `al.train`:
`--num-actors 4` is there `num_actors=4`, and `--rewards.clip 1` is
`rewards={"clip": 1.0}`.
"""
_KINDS = ("Functions", "Classes", "Errors", "Types")


def reference() -> str:
    """The page."""
    parts = [_HEAD, "## `import acmelike as al`\n", *_names()]
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
    for name, config in programs.items():
        own = [line for flag, line in _flags(config) if flag.startswith("--agent.")]
        changed = [
            line
            for flag, line in _flags(config)
            if flag in common and line != common[flag]
        ]
        parts.append(f"### `acmelike train {name}`\n")
        if changed:
            parts.append("Other defaults than above:\n")
            parts.append(_table(("Flag", "Default", "What it says"), changed))
        parts.append(_table(("Flag", "Default", "What it says"), own))
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _names() -> Iterator[str]:
    found: dict[str, list[tuple[str, ...]]] = {kind: [] for kind in _KINDS}
    for name in sorted(al.__all__, key=str.lower):
        value = getattr(al, name)
        line = _first_line(inspect.getdoc(value) or "")
        if name.startswith("__") or not line:
            continue
        found[_kind(value)].append((f"`{name}`", line))
    for kind, lines in found.items():
        if lines:
            yield f"### {kind}\n"
            yield _table(("Name", "What it is"), lines)


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
