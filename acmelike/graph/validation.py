"""The check of a program before it is launched."""

from __future__ import annotations

import functools
import io
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import cloudpickle

from acmelike.errors import ConfigError, GraphError, first_line
from acmelike.graph.handle import Handle, find_each, find_handles, walk
from acmelike.graph.node import Entry, Node
from acmelike.graph.resources import Resources, joined
from acmelike.graph.seed import NodeSeed


def validate(
    name: str, entries: Mapping[Handle, Entry], promises: Mapping[Handle, str]
) -> None:
    """Checks promises, handles and that every node can be sent to another process.

    Args:
      name: of the program.
      entries: its nodes.
      promises: handles without a node, with the names of the classes promised.

    Raises:
      GraphError: the first fault found, with the node and the argument's path.
    """
    for promised in promises.values():
        raise GraphError(
            f"program '{name}': the promise of a {promised} was never fulfilled; "
            f"add the node with fulfils="
        )
    places = {entry.label: entry.process for entry in entries.values()}
    firsts: dict[str, Entry] = {}
    shared = defaultdict[str, list[Resources]](list)
    # Of each shared process, by variable: the first node that has it.
    setters = defaultdict[str, dict[str, Entry]](dict)
    for entry in entries.values():
        other = entry.process
        if other is not None and places.get(other, other) != other:
            raise GraphError(
                f"program '{name}': process '{other}' has the name of a node that is "
                f"not in it; give the process another name"
            )
        if other is not None:
            first = firsts.setdefault(other, entry)
            if first.restart != entry.restart:
                raise GraphError(
                    f"program '{name}': nodes '{first.label}' and '{entry.label}' "
                    f"share process '{other}', which ends and starts as a whole: give "
                    f"them the same restart policy"
                )
            shared[other].append(entry.resources)
            for variable, value in entry.variables.items():
                setter = setters[other].setdefault(variable, entry)
                if setter.variables[variable] != value:
                    raise GraphError(
                        f"program '{name}': nodes '{setter.label}' and '{entry.label}' "
                        f"share process '{other}', which has one value of each "
                        f"variable: give them the same {variable}"
                    )
        arguments = _arguments(entry)
        constructor = {"of its constructor": entry.node.constructor}
        _check_arguments(entries, entry, constructor | arguments)
        _check_picklable(entry, "its constructor", entry.node.constructor)
        for argument, value in arguments.items():
            _check_picklable(entry, f"argument '{argument}'", value, argument)
    for process, resources in shared.items():
        try:
            joined(resources)
        except ConfigError as error:
            raise GraphError(
                f"program '{name}': process '{process}': {error}"
            ) from None


def _arguments(entry: Entry) -> dict[str, Any]:
    if isinstance(entry.node.unwrapped, (Handle, Node)):
        raise GraphError(
            f"node '{entry.label}': its constructor is a "
            f"{type(entry.node.unwrapped).__name__}: pass a class or a function, and "
            f"handles among its arguments"
        )
    try:
        return entry.node.arguments()
    except GraphError as error:
        raise GraphError(f"node '{entry.label}': {error}") from None


def _check_arguments(
    known: Mapping[Handle, Entry], entry: Entry, arguments: dict[str, Any]
) -> None:
    """Refuses a Node, a handle that would be called, and one of another program."""
    for name, value in arguments.items():
        for path, part in walk(value, name):
            if isinstance(part, Node):
                fault = "is a Node: pass the handle that add_node returned"
            elif isinstance(part, functools.partial) and isinstance(part.func, Handle):
                fault = f"is a partial of {part.func!r}, which cannot be called"
            elif isinstance(part, Handle) and part not in known:
                fault = f"is a handle of another program: {part!r}"
            else:
                continue
            raise GraphError(f"node '{entry.label}': argument {path} {fault}")


def _check_picklable(entry: Entry, what: str, value: Any, path: str = "") -> None:
    fault = _pickle_fault(value)
    if fault is None:
        return
    # Name the innermost part that cannot be pickled by itself.
    for inner, part in walk(value, path):
        inner_fault = _pickle_fault(part)
        if inner_fault is not None:
            what, fault = (f"argument {inner}" if path else what), inner_fault
            break
    raise GraphError(f"node '{entry.label}': {what} {fault}")


def _pickle_fault(value: Any) -> str | None:
    """Why `value` cannot be pickled; None if it can. What is replaced is allowed."""
    visible: Counter[Handle | NodeSeed] = Counter()
    visible.update(handle for _, handle in find_handles(value))
    visible.update(seed for _, seed in find_each(value, NodeSeed))
    pickler = _ArgumentPickler(visible)
    try:
        pickler.dump(value)
    except _Hidden as error:
        return (
            f"hides {error.args[0]!r} where it cannot be replaced when the node "
            f"starts: pass it in arguments, containers, dataclasses or partials"
        )
    except Exception as error:
        reason = first_line(error)
        return f"cannot be pickled: {reason}"
    return None


class _Hidden(Exception):
    """A handle or a seed inside an object, where it cannot be replaced."""


class _ArgumentPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles into a buffer, and counts the handles and seeds that it meets."""

    def __init__(self, visible: Counter[Handle | NodeSeed]):
        super().__init__(io.BytesIO())
        self._visible = visible

    def persistent_id(self, obj: Any) -> str | None:
        if not isinstance(obj, (Handle, NodeSeed)):
            return None
        self._visible[obj] -= 1
        if self._visible[obj] < 0:
            raise _Hidden(obj)
        return "replaced"
