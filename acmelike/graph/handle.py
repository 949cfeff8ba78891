"""Handles: what stands for a node in the arguments of other nodes."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

from acmelike.errors import GraphError

K = TypeVar("K")


class Handle:
    """Stands for a node in the arguments of other nodes.

    To the type checker it is the node's class. When the node that holds it starts, it
    is replaced by a client with the same methods. It cannot be called itself.

    It has no public attributes, so that none hides a method of the service; `identity`
    tells two nodes apart.
    """

    def __init__(self, program_name: str, program_id: int, key: int):
        # With underscores, so that these names do not hide methods of a service.
        self._program_name, self._program_id, self._key = program_name, program_id, key

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(self._used_too_early(f"has no '{name}'"))

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(self._used_too_early("cannot be called"))

    def __iter__(self) -> NoReturn:
        raise TypeError(self._used_too_early("cannot be iterated over"))

    def _used_too_early(self, what: str) -> str:
        return (
            f"{self!r} {what}: it becomes a client when the node that holds it starts; "
            f"from outside use run.client(handle)"
        )

    def __repr__(self) -> str:
        return f"<handle {self._key} of program '{self._program_name}'>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and other.identity() == self.identity()

    def __hash__(self) -> int:
        return hash(self.identity())

    def identity(self) -> tuple[int, int]:
        """(program, key); equal for two handles of the same node."""
        return self._program_id, self._key

    # Without this, pickle would ask __getattr__ for it.
    def __reduce__(self) -> tuple[Any, ...]:
        return Handle, (self._program_name, self._program_id, self._key)


def replace_each(value: Any, kind: type[K], replace: Callable[[K], Any]) -> Any:
    """`value` with every object of a class in it replaced.

    They are found in tuples, named tuples, lists, dicts, dataclasses and partials,
    nested in each other. If there is none, `value` itself is returned.
    """
    if isinstance(value, kind):
        return replace(value)
    parts = list(_parts(value))
    new = [replace_each(part, kind, replace) for _, part in parts]
    if all(a is b for a, (_, b) in zip(new, parts, strict=True)):
        return value
    return _rebuild(value, new)


def find_handles(value: Any, path: str = "") -> Iterator[tuple[str, Handle]]:
    """Yields (path, handle) for every handle in `value`, in order."""
    return find_each(value, Handle, path)


def find_each(value: Any, kind: type[K], path: str = "") -> Iterator[tuple[str, K]]:
    """Yields (path, object) for every object of a class in `value`, in order."""
    if isinstance(value, kind):
        yield path, value
    for step, part in _parts(value):
        yield from find_each(part, kind, path + step)


def walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yields (path, part) for `value` and all that is nested in it, innermost first."""
    for step, part in _parts(value):
        yield from walk(part, path + step)
    yield path, value


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yields (how to get there, part) for what `value` holds directly."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        for name, part in zip(value._fields, value, strict=True):
            yield f".{name}", part
    elif isinstance(value, (tuple, list)):
        for index, part in enumerate(value):
            yield f"[{index}]", part
    elif isinstance(value, dict):
        for name, part in value.items():
            yield f"[{name!r}]", part
    elif isinstance(value, functools.partial):
        yield ".func", value.func
        for index, part in enumerate(value.args):
            yield f".args[{index}]", part
        for name, part in value.keywords.items():
            yield f".keywords[{name!r}]", part
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            if field.init:
                yield f".{field.name}", getattr(value, field.name)


def _rebuild(value: Any, parts: list[Any]) -> Any:
    """A container like `value` that holds `parts` instead."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*parts)
    if isinstance(value, (tuple, list)):
        return type(value)(parts)
    if isinstance(value, dict):
        if type(value) is dict:
            return dict(zip(value, parts, strict=True))
        new = copy.copy(value)  # A defaultdict takes another first argument, say.
        new.update(zip(value, parts, strict=True))
        return new
    if isinstance(value, functools.partial):
        num_args = len(value.args)
        keywords = dict(zip(value.keywords, parts[1 + num_args :], strict=True))
        return functools.partial(parts[0], *parts[1 : 1 + num_args], **keywords)
    names = [field.name for field in dataclasses.fields(value) if field.init]
    try:
        return dataclasses.replace(value, **dict(zip(names, parts, strict=True)))
    except Exception as error:
        raise GraphError(f"cannot put clients into {value!r}: {error}") from error
