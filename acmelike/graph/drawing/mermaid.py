"""Draws a program as Mermaid text, which Markdown viewers show as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from acmelike.graph.node import Entry


def to_mermaid(entries: Sequence[Entry], edges: Iterable[tuple[str, str]]) -> str:
    """Returns a flowchart: nodes with classes, groups as boxes, edges as arrows.

    Args:
      entries: the nodes of the program.
      edges: (label of caller, label of callee).
    """
    names = {entry.label: f"n{index}" for index, entry in enumerate(entries)}
    lines = ["flowchart LR"]
    for number, (group, members) in enumerate(groupby(entries, lambda e: e.group)):
        boxes = [_box(names[entry.label], entry) for entry in members]
        if group is None:
            lines += [f"  {box}" for box in boxes]
        else:
            lines.append(f'  subgraph g{number}["{_quoted(group)}"]')
            lines += [f"    {box}" for box in boxes]
            lines.append("  end")
    lines += [f"  {names[a]} --> {names[b]}" for a, b in edges]
    return "\n".join(lines) + "\n"


def _box(name: str, entry: Entry) -> str:
    text = f"<b>{_quoted(entry.label)}</b><br/>{_quoted(entry.node.name)}"
    if entry.process is not None:
        text += f"<br/>in process {_quoted(entry.process)}"
    return f'{name}["{text}"]'


def _quoted(text: str) -> str:
    return text.replace('"', "#quot;").replace("<", "&lt;").replace(">", "&gt;")
