"""Nested arrays of several requests as one: stacked along axis 0, and split again."""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import optree
from numpy.typing import NDArray

from acmelike.errors import ContractError

# Where dataclasses are registered with optree, so that other code finds it as it was.
_NAMESPACE = "acmelike.batched"
_registering = threading.Lock()
_registered: set[type] = set()
_NO_DATACLASSES = frozenset({np.ndarray, int, float, bool})


class Form(NamedTuple):
    """What nests have in common that can be stacked.

    Attributes:
      structure: of the nest.
      leaves: the (shape, dtype) of each array.
    """

    structure: optree.PyTreeSpec
    leaves: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]


class Nest(NamedTuple):
    """Nested arrays, taken apart.

    Attributes:
      form: what it must have in common with others to be stacked with them.
      arrays: its leaves, in the order of `form.leaves`.
    """

    form: Form
    arrays: list[NDArray[Any]]


def take_apart(value: Any) -> Nest:
    """Takes apart dicts, lists, tuples, named tuples and dataclasses of arrays.

    A number becomes an array without axes. None has no arrays, and stays None.

    Raises:
      ContractError: a leaf is no array; names it by its path.
    """
    leaves, structure = _flatten(value)
    arrays = [np.asarray(leaf) for leaf in leaves]
    if any([array.dtype.kind in "OUS" for array in arrays]):
        for path, leaf, array in zip(_paths(structure), leaves, arrays, strict=True):
            if array.dtype.kind == "O" or not isinstance(leaf, np.ndarray | np.generic):
                kind = type(leaf).__name__
                raise ContractError(f"{path} is a {kind}, which is no array")
    leaf_forms = tuple([(array.shape, array.dtype) for array in arrays])
    return Nest(Form(structure, leaf_forms), arrays)


def stack(nests: Sequence[Nest], num_rows: int) -> Any:
    """The nest of arrays `[num_rows, ...]`, a row for each nest.

    Args:
      nests: at least one; all have the same form.
      num_rows: at least as many; the last nest is repeated for those that are left.
    """
    nests = [*nests, *[nests[-1]] * (num_rows - len(nests))]
    columns = zip(*[nest.arrays for nest in nests], strict=True)
    # Of a list of arrays with one shape and dtype, as fast as any other way.
    arrays = [np.array(column) for column in columns]
    return optree.tree_unflatten(nests[0].form.structure, arrays)


def split(value: Any, num_rows: int, num_wanted: int) -> list[Any]:
    """The nests of the first rows of a nest of arrays `[num_rows, ...]`, as views.

    Raises:
      ContractError: an array of it has another number of rows, or it holds something
        else; names it by its path.
    """
    nest = take_apart(value)
    for place, (shape, _) in enumerate(nest.form.leaves):
        if shape[:1] != (num_rows,):
            path = _paths(nest.form.structure)[place]
            raise ContractError(f"{path} has the shape {list(shape)}")
    structure = nest.form.structure
    return [
        optree.tree_unflatten(structure, [array[row] for array in nest.arrays])
        for row in range(num_wanted)
    ]


def difference(form: Form, usual: Form) -> str:
    """Says in a few words in what one form differs from another."""
    paths, usual_paths = _paths(form.structure), _paths(usual.structure)
    for path in usual_paths:
        if path not in paths:
            return f"it has no {path}"
    for path in paths:
        if path not in usual_paths:
            return f"it has {path}, which others do not have"
    for path, leaf, other in zip(paths, form.leaves, usual.leaves, strict=True):
        if leaf != other:
            mine, others = _describe(*leaf), _describe(*other)
            return f"its {path} is {mine}, and that of others {others}"
    return f"it is {form.structure}, and others are {usual.structure}"


def _flatten(value: Any) -> tuple[list[Any], optree.PyTreeSpec]:
    leaves, structure = optree.tree_flatten(value, namespace=_NAMESPACE)
    kinds = set(map(type, leaves)) - _NO_DATACLASSES
    if not kinds:
        return leaves, structure
    new = [kind for kind in kinds if dataclasses.is_dataclass(kind)]
    if not new:
        return leaves, structure
    for kind in new:
        _register(kind)
    return _flatten(value)


def _register(kind: type) -> None:
    names = tuple([field.name for field in dataclasses.fields(kind)])

    def flatten(value: Any) -> tuple[list[Any], None, tuple[str, ...]]:
        return [getattr(value, name) for name in names], None, names

    def unflatten(_: object, parts: Iterable[Any]) -> Any:
        value: Any = object.__new__(kind)  # Its `__init__` may not take every field.
        for name, part in zip(names, parts, strict=True):
            object.__setattr__(value, name, part)
        return value

    with _registering:
        if kind not in _registered:
            optree.register_pytree_node(kind, flatten, unflatten, namespace=_NAMESPACE)
            _registered.add(kind)


def _paths(structure: optree.PyTreeSpec) -> list[str]:
    """The path of each leaf, such as "observation['x']"; "it" for the whole."""
    paths = [accessor.codify("") for accessor in structure.accessors()]
    return [re.sub(r"^\['(\w+)'\]", r"\1", path) or "it" for path in paths]


def _describe(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    return f"{dtype}{list(shape)}"
