"""From an agent's `act`, written in JAX, to the text of a NumPy function.

A small network is evaluated faster by NumPy than a compiled function is called, and an
actor that uses NumPy need not import JAX at all. So the learner, which has JAX, traces
`act` once with a symbolic number of environments. It writes the traced operations as
the source of a flat NumPy function. Actors `exec` this text; `print` shows it.

    def bind(parameters):
        x0 = parameters["Dense_0"]["kernel"]
        x1 = parameters["Dense_0"]["bias"]

        def act(state, observation, noise):
            x2 = observation.dot(x0)
            x3 = x2 + x1
            ...
            return x9, (), {"log_prob": x12}

        return act

`bind` computes what depends on the parameters only, once per version of them.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.export
import numpy as np
import optree
from jax.extend import core as jax_core

from acmelike.agent import check_output
from acmelike.policies.numpy_operations import TEXT_NAMES
from acmelike.types import Nested

MAX_CONSTANT_SIZE = 10_000  # Numbers of a constant that are written into the text.


class MissingOperation(Exception):
    """The policy uses an operation of JAX that the text cannot express."""


def numpy_text(
    act: Callable[..., Any],
    parameters: Nested,
    state: Callable[[int], Nested],
    observation: Callable[[int], Nested],
    noise: Callable[[int], Nested],
) -> str:
    """The source of `bind(parameters)`, which returns `act(state, observation, noise)`.

    The returned function takes and returns the state as the tuple of its leaves.
    Otherwise it does what `act` does.

    Args:
      act: `(parameters, state, observation, noise) -> PolicyOutput`.
      parameters: as the learner publishes them.
      state: arrays like the state of a number of environments.
      observation: arrays like their observations.
      noise: arrays like their noise.

    Raises:
      MissingOperation: there is an operation that the text cannot express.
    """
    (size,) = jax.export.symbolic_shape("k")
    inputs = [_flatten("parameters", parameters, parameters, size)]
    for name, make in (
        ("state", state),
        ("observation", observation),
        ("noise", noise),
    ):
        inputs.append(_flatten(name, make(3), make(5), size))
    inputs[1] = inputs[1]._replace(
        paths=[f"state[{i}]" for i in range(len(inputs[1].paths))]
    )
    ends = np.cumsum([len(part.leaves) for part in inputs])

    def flat_act(*leaves: Any) -> Any:
        parts = np.split(np.arange(len(leaves)), ends[:-1])
        return act(
            *(
                optree.tree_unflatten(part.nest, [leaves[i] for i in indices])
                for part, indices in zip(inputs, parts, strict=True)
            )
        )

    leaves = [leaf for part in inputs for leaf in part.leaves]
    try:
        traced, output = jax.make_jaxpr(flat_act, return_shape=True)(*leaves)
    except Exception as error:
        # Such as code that reads the number of environments.
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise MissingOperation(
            f"a trace for any number of environments: {reason}"
        ) from error
    _, state_nest = optree.tree_flatten(check_output(output).state)
    if state_nest != inputs[1].nest:
        raise ValueError(
            f"`act` must return a state like the one it gets, {inputs[1].nest}: "
            f"{state_nest}"
        )
    text = _Text()
    arguments = []
    for index, part in enumerate(inputs):
        for path, leaf in zip(part.paths, part.leaves, strict=True):
            arguments.append(text.add_input(path, leaf, is_fixed=index == 0))
    results = text.add_jaxpr(traced.jaxpr, traced.consts, arguments)
    return text.render([text.as_output(value) for value in results], output)


class _Part(NamedTuple):
    """One argument of `act`: its leaves, where they are in it, and its nest."""

    paths: list[str]
    leaves: list[Any]
    nest: Any


def _flatten(name: str, few: Nested, more: Nested, size: Any) -> _Part:
    """Finds the axis of environments: its length differs between 3 and 5 of them."""
    few_leaves, nest = optree.tree_flatten(few)
    leaves = []
    for x, y in zip(few_leaves, optree.tree_leaves(more), strict=True):
        pairs = zip(np.shape(x), np.shape(y), strict=True)
        shape = []
        for n, m in pairs:
            if n != m and (n, m) != (3, 5):
                raise MissingOperation(f"an axis of {name} that is {n} long for 3")
            shape.append(n if n == m else size)
        leaves.append(_struct(tuple(shape), x.dtype))
    paths = [accessor.codify(name) for accessor in optree.tree_accessors(few)]
    return _Part(paths, leaves, nest)


class _Value(NamedTuple):
    """An array of the text.

    The text leaves broadcasting to NumPy where it can: an array may lack leading axes
    of the traced array, or have a length of 1 where the traced array has more.

    Attributes:
      text: a variable, or a number.
      shape: that it has in NumPy.
      dtype: that it has in NumPy; wider than the traced one for some integers.
      traced: its shape and dtype in JAX.
      is_fixed: whether it depends on parameters and constants only.
      is_number: whether it is a number of Python.
    """

    text: str
    shape: tuple[Any, ...]
    dtype: Any
    traced: Any
    is_fixed: bool
    is_number: bool = False


class _Line(NamedTuple):
    """An assignment of the text.

    Attributes:
      name: of the variable.
      expression: its value.
      operands: what the expression uses.
      is_fixed: see `_Value`.
      made_by: the primitive's name, its operands and its parameters.
    """

    name: str
    expression: str
    operands: tuple[str, ...]
    is_fixed: bool
    made_by: tuple[str, list[_Value], dict[str, Any]] | None = None


class _Text:
    """The lines of a function, as they are written."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._numbers: dict[str, _Value] = {}
        self._constants: dict[str, Any] = {}  # Arrays known already, by name.
        self._size = ""  # An expression for the number of environments.

    # --- Variables --------------------------------------------------------------------

    def add_input(self, path: str, leaf: Any, *, is_fixed: bool) -> _Value:
        traced = jax.eval_shape(lambda x: x, _struct((), leaf.dtype))
        traced = _struct(leaf.shape, traced.dtype)
        for axis, length in enumerate(leaf.shape):
            if not self._size and not isinstance(length, int):
                self._size = f"{path}.shape[{axis}]"
        if leaf.dtype == traced.dtype and path.isidentifier():
            return _Value(path, tuple(leaf.shape), leaf.dtype, traced, is_fixed)
        if leaf.dtype == traced.dtype:
            expression = path
        else:  # JAX takes 64 bits as 32.
            expression = f"np.asarray({path}, {_dtype(traced.dtype)})"
        return self._assign(
            expression, [], leaf.shape, traced.dtype, traced, is_fixed=is_fixed
        )

    def _assign(
        self,
        expression: str,
        operands: Sequence[_Value],
        shape: Sequence[Any],
        dtype: Any,
        traced: Any,
        *,
        is_fixed: bool,
        made_by: Any = None,
    ) -> _Value:
        name = f"x{len(self._lines)}"
        used = tuple(value.text for value in operands)
        are_known = bool(used) and set(used) <= self._constants.keys()
        if are_known and not _mentions_size(expression):
            self._constants[name] = eval(expression, {**TEXT_NAMES, **self._constants})
        self._lines[name] = _Line(name, expression, used, is_fixed, made_by)
        return _Value(name, tuple(shape), np.dtype(dtype), traced, is_fixed)

    def _number(self, number: Any, traced: Any) -> _Value:
        dtype = np.dtype(traced.dtype)
        if dtype.kind == "f":
            # The shortest decimal that is this number in its own precision.
            text = str(dtype.type(number))
        elif dtype.kind in "iub":
            text = repr(dtype.type(number).item())
        else:
            raise MissingOperation(f"numbers of {dtype}")
        return _Value(text, (), dtype, traced, True, is_number=True)

    def _constant(self, value: Any, traced: Any) -> _Value:
        array = np.asarray(value)
        if array.ndim == 0:
            return self._number(array, traced)
        if array.size > MAX_CONSTANT_SIZE:
            raise MissingOperation(f"a constant of {array.size} numbers")
        text = f"np.array({array.tolist()}, {_dtype(array.dtype)})"
        made = self._assign(text, [], array.shape, array.dtype, traced, is_fixed=True)
        self._constants[made.text] = array
        return made

    # --- Operations -------------------------------------------------------------------

    def add_jaxpr(
        self, jaxpr: Any, consts: Sequence[Any], arguments: Sequence[_Value]
    ) -> list[_Value]:
        """Adds the lines of a traced function; returns what it returns."""
        values: dict[Any, _Value] = dict(zip(jaxpr.invars, arguments, strict=True))
        for variable, const in zip(jaxpr.constvars, consts, strict=True):
            values[variable] = self._constant(const, variable.aval)

        def read(atom: Any) -> _Value:
            if isinstance(atom, jax_core.Literal):
                return self._constant(atom.val, atom.aval)
            return values[atom]

        for equation in jaxpr.eqns:
            results = self._add_equation(
                equation, [read(atom) for atom in equation.invars]
            )
            values.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _add_equation(self, equation: Any, operands: list[_Value]) -> list[_Value]:
        name, settings = equation.primitive.name, equation.params
        outputs = [variable.aval for variable in equation.outvars]
        inner = (
            settings.get("jaxpr")
            or settings.get("call_jaxpr")
            or settings.get("fun_jaxpr")
        )
        if name in _CALLS and inner is not None:
            template = _FUNCTIONS.get(_name_of_call(inner))
            if template is not None:
                return [self._make(name, template, operands, outputs[0])]
            if isinstance(inner, jax_core.ClosedJaxpr):
                return self.add_jaxpr(inner.jaxpr, inner.consts, operands)
            return self.add_jaxpr(inner, (), operands)
        if name in _ELEMENTWISE:
            return [self._elementwise(_ELEMENTWISE[name], operands, outputs[0])]
        method = getattr(self, f"_{name}", None)
        if method is None:
            raise MissingOperation(name)
        found = method(operands, outputs, settings)
        return found if isinstance(found, list) else [found]

    def _elementwise(
        self, template: str, operands: list[_Value], traced: Any
    ) -> _Value:
        if template == _SAME:
            return operands[0]._replace(traced=traced)
        if template == _ELEMENTWISE["max"]:
            others = [x for x in operands if x.text != "-inf"]
            if len(others) == 1:
                return others[0]
        operands = [self._typed(x) if x.is_number else x for x in operands]
        shape = _broadcast([value.shape for value in operands])
        dtype = _widened(traced.dtype, operands)
        expression = template.format(*(value.text for value in operands))
        return self._assign(
            expression,
            operands,
            shape,
            dtype,
            traced,
            is_fixed=all(value.is_fixed for value in operands),
        )

    def _typed(self, number: _Value) -> _Value:
        """A number as a constant of its own dtype, with which NumPy is faster."""
        text = f"{_dtype(number.dtype)}({number.text})"
        if text not in self._numbers:
            value = self._assign(
                text, [], (), number.dtype, number.traced, is_fixed=True
            )
            self._constants[value.text] = eval(text, dict(TEXT_NAMES))
            self._numbers[text] = value
        return self._numbers[text]._replace(traced=number.traced)

    def _full(self, value: _Value) -> _Value:
        """The value with its traced shape."""
        if value.is_number:
            value = self._typed(value)
        if value.shape == tuple(value.traced.shape):
            return value
        shape = tuple(value.traced.shape)
        expression = f"np.broadcast_to({value.text}, {_shape(shape)})"
        return self._assign(
            expression,
            [value],
            shape,
            value.dtype,
            value.traced,
            is_fixed=value.is_fixed and not _is_symbolic(shape),
        )

    def _make(
        self,
        name: str,
        template: str,
        operands: list[_Value],
        traced: Any,
        settings: Any = None,
    ) -> _Value:
        """A line of operands with their traced shapes; `{0}` stands for the first."""
        operands = [self._full(value) for value in operands]
        is_fixed = all(value.is_fixed for value in operands)
        return self._assign(
            template.format(*(value.text for value in operands)),
            operands,
            traced.shape,
            _widened(traced.dtype, operands),
            traced,
            is_fixed=is_fixed and not _is_symbolic(traced.shape),
            made_by=(name, operands, settings or {}),
        )

    def as_output(self, value: _Value) -> _Value:
        """The value with its traced shape and dtype."""
        value = self._full(value)
        if value.dtype == value.traced.dtype:
            return value
        return self._assign(
            f"{value.text}.astype({_dtype(value.traced.dtype)})",
            [value],
            value.shape,
            value.traced.dtype,
            value.traced,
            is_fixed=value.is_fixed,
        )

    # Each of the following adds one primitive of JAX, by its name.

    def _convert_element_type(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        (x,), (traced,) = operands, outputs
        if x.is_number:
            return self._number(np.asarray(eval(x.text, dict(TEXT_NAMES))), traced)
        old, new = np.dtype(x.traced.dtype), np.dtype(traced.dtype)
        if old == new or (
            x.dtype.kind in "iu" and new == np.int32 and x.dtype == np.int64
        ):
            return x._replace(traced=traced)
        expression = f"{x.text}.astype({_dtype(new)})"
        return self._assign(expression, [x], x.shape, new, traced, is_fixed=x.is_fixed)

    def _select_n(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        if len(operands) != 3 or operands[0].dtype != np.bool_:
            raise MissingOperation("select_n of more than two")
        which, no, yes = operands
        return self._elementwise(
            "np.where({0}, {2}, {1})", [which, no, yes], outputs[0]
        )

    def _clamp(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        low, x, high = operands
        return self._elementwise(
            "np.minimum(np.maximum({1}, {0}), {2})", [low, x, high], outputs[0]
        )

    def _div(self, operands: list[_Value], outputs: list[Any], settings: Any) -> _Value:
        if np.dtype(outputs[0].dtype).kind in "iu":
            raise MissingOperation("division of integers")
        return self._elementwise("{0} / {1}", operands, outputs[0])

    def _pow(self, operands: list[_Value], outputs: list[Any], settings: Any) -> _Value:
        if len({np.dtype(x.traced.dtype) for x in operands}) > 1:
            raise MissingOperation("powers by another type")
        return self._elementwise("{0} ** {1}", operands, outputs[0])

    def _integer_pow(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        power = settings["y"]
        template = "np.square({0})" if power == 2 else f"{{0}} ** {power}"
        if power == -1:
            template = "1.0 / {0}"
        return self._elementwise(template, operands, outputs[0])

    def _dot_general(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        (contracted, batched), (left, right) = settings["dimension_numbers"], operands
        if np.dtype(outputs[0].dtype).kind in "iu":
            raise MissingOperation("products of integer matrices")
        (left_axes, right_axes), num_axes = contracted, len(left.traced.shape)
        is_product = (
            tuple(left_axes) == (num_axes - 1,)
            and not batched[0]
            and len(right.traced.shape) == 2
        )
        if is_product:
            matrix = "{1}" if tuple(right_axes) == (0,) else "{1}.T"
            product = f"{{0}}.dot({matrix})"
            if num_axes > 2:  # NumPy would not use BLAS.
                rows = f"{{0}}.reshape((-1, {left.traced.shape[-1]}))"
                shape = _shape(outputs[0].shape)
                product = f"{rows}.dot({matrix}).reshape({shape})"
            return self._make("dot", product, operands, outputs[0])
        letters = iter("abcdefghijklmnopqrstuvwxyz")
        names = [["" for _ in x.traced.shape] for x in operands]
        for pairs in (batched, contracted):
            for i, j in zip(*pairs, strict=True):
                names[0][i] = names[1][j] = next(letters)
        batch = [names[0][i] for i in batched[0]]
        free = []
        for side in names:
            for axis, name in enumerate(side):
                side[axis] = name or next(letters)
                if not name:
                    free.append(side[axis])
        words = f"{''.join(names[0])},{''.join(names[1])}->{''.join(batch + free)}"
        return self._make(
            "dot", f"np.einsum({words!r}, {{0}}, {{1}})", operands, outputs[0]
        )

    def _by_ufunc(
        self, ufunc: str, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        axes, dtype = settings["axes"], np.dtype(outputs[0].dtype)
        # NumPy would take a wider integer for sums and products.
        of_dtype = f", {_dtype(dtype)}" if dtype.kind in "iu" else ""
        return self._make(
            "reduce",
            f"np.{ufunc}.reduce({{0}}, {_axes(axes)}{of_dtype})",
            operands,
            outputs[0],
            {"ufunc": ufunc, "axes": tuple(axes), "of_dtype": of_dtype},
        )

    def _reduce_sum(self, *args: Any) -> _Value:
        return self._by_ufunc("add", *args)

    def _reduce_max(self, *args: Any) -> _Value:
        return self._by_ufunc("maximum", *args)

    def _reduce_min(self, *args: Any) -> _Value:
        return self._by_ufunc("minimum", *args)

    def _reduce_prod(self, *args: Any) -> _Value:
        return self._by_ufunc("multiply", *args)

    def _reduce_and(self, *args: Any) -> _Value:
        return self._by_ufunc("logical_and", *args)

    def _reduce_or(self, *args: Any) -> _Value:
        return self._by_ufunc("logical_or", *args)

    def _argmax(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        (axis,) = settings["axes"]
        found = self._make("argmax", f"{{0}}.argmax({axis})", operands, outputs[0])
        return found._replace(dtype=np.dtype(np.int64))

    def _argmin(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        (axis,) = settings["axes"]
        found = self._make("argmin", f"{{0}}.argmin({axis})", operands, outputs[0])
        return found._replace(dtype=np.dtype(np.int64))

    def _cumsum(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        if settings.get("reverse"):
            raise MissingOperation("cumsum in reverse")
        template = f"np.cumsum({{0}}, {settings['axis']}, {_dtype(outputs[0].dtype)})"
        return self._make("cumsum", template, operands, outputs[0])

    def _reshape(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        (x,), (traced,) = operands, outputs
        if settings.get("dimensions") is not None:
            raise MissingOperation("reshape with dimensions")
        if _without_leading_ones(x.traced.shape) == _without_leading_ones(traced.shape):
            if len(x.shape) <= len(traced.shape):
                return x._replace(traced=traced)
        return self._make(
            "reshape", f"{{0}}.reshape({_shape(traced.shape)})", operands, traced
        )

    def _squeeze(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        (x,), (traced,) = operands, outputs
        axes = {axis % len(x.traced.shape) for axis in settings["dimensions"]}
        line = self._lines.get(x.text)
        index: list[str] = [":"] * len(x.traced.shape)
        is_whole = x.shape == tuple(x.traced.shape)
        made_by = None if line is None or not is_whole else line.made_by
        if made_by is not None and made_by[0] == "slice":
            _, (x,), made = made_by
            index = list(made["index"])
            starts = made["starts"]
        else:
            starts = [0] * len(index)
        for axis in axes:
            index[axis] = str(starts[axis])
        return self._make("index", f"{{0}}{_index(index)}", [x], traced)

    def _expand_dims(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        return self._reshape(operands, outputs, {})

    def _broadcast_in_dim(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        (x,), (traced,) = operands[:1], outputs
        places, num_axes = settings["broadcast_dimensions"], len(traced.shape)
        num_kept = len(places)
        if tuple(places) == tuple(range(num_axes - num_kept, num_axes)):
            return x._replace(traced=traced)  # NumPy broadcasts in this way.
        line = self._lines.get(x.text)
        is_whole = x.shape == tuple(x.traced.shape)
        made_by = None if line is None or not is_whole else line.made_by
        if made_by is not None and made_by[0] == "reduce":
            _, of, made = made_by
            kept = [axis for axis in range(num_axes) if axis not in made["axes"]]
            ones = all(traced.shape[axis] == 1 for axis in made["axes"])
            if len(of[0].traced.shape) == num_axes and kept == list(places) and ones:
                rest = f"{_axes(made['axes'])}{made['of_dtype']}, keepdims=True"
                template = f"np.{made['ufunc']}.reduce({{0}}, {rest})"
                return self._make("keepdims", template, of, traced)
        x = self._full(x)
        first = places[0]
        index = [":" if axis in places else "None" for axis in range(first, num_axes)]
        shape = [
            x.shape[places.index(axis)] if axis in places else 1
            for axis in range(first, num_axes)
        ]
        return self._assign(
            f"{x.text}[{', '.join(index)}]",
            [x],
            shape,
            x.dtype,
            traced,
            is_fixed=x.is_fixed,
        )

    def _slice(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        (x,), (traced,) = operands, outputs
        strides = settings["strides"] or [1] * len(x.traced.shape)
        index = []
        for start, end, stride, length in zip(
            settings["start_indices"],
            settings["limit_indices"],
            strides,
            x.traced.shape,
            strict=True,
        ):
            before = "" if _equal(start, 0) else str(start)
            after = "" if _equal(end, length) else str(end)
            index.append(f"{before}:{after}" + ("" if stride == 1 else f":{stride}"))
        starts = settings["start_indices"]
        return self._make(
            "slice",
            f"{{0}}{_index(index)}",
            operands,
            traced,
            {"index": index, "starts": starts},
        )

    def _gather(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        """A part of an array at a known place, or rows, columns, ...; nothing else."""
        x, indices = operands
        numbers, sizes = settings["dimension_numbers"], settings["slice_sizes"]
        axes = numbers.start_index_map
        dropped, shape = numbers.collapsed_slice_dims, indices.traced.shape
        places = self._full(indices)
        if places.text in self._constants and len(shape) == 1:
            starts = dict(zip(axes, self._constants[places.text].tolist(), strict=True))
            index = []
            for axis, (size, length) in enumerate(
                zip(sizes, x.traced.shape, strict=True)
            ):
                start = starts.get(axis, 0)
                if axis in dropped:
                    index.append(str(start))
                else:
                    is_whole = _equal(size, length)
                    index.append(":" if is_whole else f"{start}:{start + size}")
            return self._make("index", f"{{0}}{_index(index)}", [x], outputs[0])
        if len(axes) != 1 or axes != dropped or numbers.operand_batching_dims:
            raise MissingOperation("gather along several axes")
        # The indices' own axes replace the axis along which it gathers.
        (axis,), num_axes = axes, len(outputs[0].shape)
        own = range(axis, axis + len(shape) - 1)
        others = tuple(place for place in range(num_axes) if place not in own)
        are_whole = map(_equal, sizes, x.traced.shape)
        if numbers.offset_dims != others or not all(
            is_whole or place == axis for place, is_whole in enumerate(are_whole)
        ):
            raise MissingOperation("gather of parts of rows")
        picked = "{1}[..., 0]"
        if settings["mode"] == jax.lax.GatherScatterMode.CLIP:
            picked = f"np.clip({picked}, 0, {x.traced.shape[axis] - 1})"
        template = "{0}[" + ":, " * axis + picked + "]"
        return self._make("rows", template, [self._full(x), places], outputs[0])

    def _split(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> list[_Value]:
        axis, start, found = settings["axis"], 0, []
        for size, traced in zip(settings["sizes"], outputs, strict=True):
            index = [":"] * axis + [f"{start}:{start + size}"]
            found.append(self._make("split", f"{{0}}{_index(index)}", operands, traced))
            start += size
        return found

    def _concatenate(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        names = ", ".join(f"{{{index}}}" for index in range(len(operands)))
        template = f"np.concatenate([{names}], {settings['dimension']})"
        return self._make("concatenate", template, operands, outputs[0])

    def _transpose(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        template = f"{{0}}.transpose({_shape(settings['permutation'])})"
        return self._make("transpose", template, operands, outputs[0])

    def _rev(self, operands: list[_Value], outputs: list[Any], settings: Any) -> _Value:
        axes = _shape(settings["dimensions"])
        return self._make("rev", f"np.flip({{0}}, {axes})", operands, outputs[0])

    def _pad(self, operands: list[_Value], outputs: list[Any], settings: Any) -> _Value:
        x, number = operands
        pairs = settings["padding_config"]
        if not number.is_number or any(
            min(before, after) < 0 or inside for before, after, inside in pairs
        ):
            raise MissingOperation("pad between or with arrays, or less than nothing")
        widths = [(before, after) for before, after, _ in pairs]
        template = f"np.pad({{0}}, {widths}, constant_values={number.text})"
        return self._make("pad", template, [x], outputs[0])

    def _iota(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        (traced,) = outputs
        axis = settings["dimension"]
        length = traced.shape[axis]
        shape = [length] + [1] * (len(traced.shape) - axis - 1)
        text = f"np.arange({length}, dtype={_dtype(traced.dtype)})"
        if len(shape) > 1:
            text += f".reshape({_shape(shape)})"
        is_fixed = not _is_symbolic(shape)
        made = self._assign(text, [], shape, traced.dtype, traced, is_fixed=is_fixed)
        if is_fixed:
            self._constants[made.text] = eval(text, dict(TEXT_NAMES))
        return made

    def _conv_general_dilated(
        self, operands: list[_Value], outputs: list[Any], settings: Any
    ) -> _Value:
        numbers, num_axes = settings["dimension_numbers"], len(operands[0].traced.shape)
        last, spatial = num_axes - 1, tuple(range(1, num_axes - 1))
        is_plain = (
            numbers.lhs_spec == numbers.out_spec == (0, last, *spatial)
            and numbers.rhs_spec == (last, last - 1, *range(num_axes - 2))
            and settings["feature_group_count"] == settings["batch_group_count"] == 1
            and {1} >= {*settings["lhs_dilation"], *settings["rhs_dilation"]}
            and all(min(pair) >= 0 for pair in settings["padding"])
        )
        if not is_plain:
            raise MissingOperation(
                "conv_general_dilated with groups, dilation or another layout"
            )
        strides, padding = (
            _plain(settings["window_strides"]),
            _plain(settings["padding"]),
        )
        template = f"convolve({{0}}, {{1}}, {strides}, {padding})"
        return self._make("convolve", template, operands, outputs[0])

    def _reduce_windows(
        self, ufunc: str, initial: str, operands: Any, outputs: Any, settings: Any
    ) -> _Value:
        if {1} != {*settings["base_dilation"], *settings["window_dilation"]}:
            raise MissingOperation("windows with dilation")
        sizes, strides = (
            _plain(settings["window_dimensions"]),
            _plain(settings["window_strides"]),
        )
        padding = _plain(settings["padding"])
        rest = f"{sizes}, {strides}, {padding}, {initial}"
        template = f"reduce_windows(np.{ufunc}, {{0}}, {rest})"
        return self._make("windows", template, operands, outputs[0])

    def _reduce_window_max(self, *args: Any) -> _Value:
        return self._reduce_windows("maximum", "-inf", *args)

    def _reduce_window_sum(self, *args: Any) -> _Value:
        return self._reduce_windows("add", "0", *args)

    # --- The function -----------------------------------------------------------------

    def render(self, results: Sequence[_Value], output: Any) -> str:
        """The source, without the lines that nothing uses."""
        used = {value.text for value in results}
        kept = []
        for line in reversed(self._lines.values()):
            if line.name in used:
                kept.append(line)
                used.update(line.operands)
        kept.reverse()
        outer = [
            f"    {line.name} = {line.expression}" for line in kept if line.is_fixed
        ]
        inner = [
            f"        {line.name} = {line.expression}"
            for line in kept
            if not line.is_fixed
        ]
        if any(_mentions_size(line.expression) for line in kept):
            inner.insert(0, f"        k = {self._size}")
        texts = [value.text for value in results]
        num_action = len(optree.tree_leaves(output.action))
        num_state = len(optree.tree_leaves(output.state))
        if num_action != 1:
            raise MissingOperation("actions that are a nest of arrays")
        state = "".join(f"{text}, " for text in texts[1 : 1 + num_state])
        names = [path[1:] for path in optree.tree_paths(output)[1 + num_state :]]
        extras = ", ".join(
            f"{name[0]!r}: {text}"
            for name, text in zip(names, texts[1 + num_state :], strict=True)
        )
        return "\n".join(
            [
                "def bind(parameters):",
                *outer,
                "",
                "    def act(state, observation, noise):",
                *inner,
                f"        return {texts[0]}, ({state.rstrip()}), {{{extras}}}",
                "",
                "    return act",
                "",
            ]
        )


_SAME = "{0}"
# Operations on each element, which NumPy broadcasts.
_ELEMENTWISE = {
    "add": "{0} + {1}",
    "add_any": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "rem": "np.fmod({0}, {1})",
    "max": "np.maximum({0}, {1})",
    "min": "np.minimum({0}, {1})",
    "atan2": "np.arctan2({0}, {1})",
    "neg": "-{0}",
    "abs": "np.abs({0})",
    "sign": "np.sign({0})",
    "exp": "np.exp({0})",
    "exp2": "np.exp2({0})",
    "expm1": "np.expm1({0})",
    "log": "np.log({0})",
    "log1p": "np.log1p({0})",
    "sqrt": "np.sqrt({0})",
    "rsqrt": "1.0 / np.sqrt({0})",
    "square": "np.square({0})",
    "tanh": "np.tanh({0})",
    "sin": "np.sin({0})",
    "cos": "np.cos({0})",
    # By the hyperbolic tangent, which never overflows.
    "logistic": "0.5 * (np.tanh(0.5 * {0}) + 1.0)",
    "floor": "np.floor({0})",
    "ceil": "np.ceil({0})",
    "is_finite": "np.isfinite({0})",
    "eq": "{0} == {1}",
    "ne": "{0} != {1}",
    "lt": "{0} < {1}",
    "le": "{0} <= {1}",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "and": "{0} & {1}",
    "or": "{0} | {1}",
    "xor": "{0} ^ {1}",
    "not": "~{0}",
    "stop_gradient": _SAME,
    "copy": _SAME,
    "copy_p": _SAME,
    "optimization_barrier": _SAME,
}
# Operations that call a traced function, whose lines are written in their place.
_CALLS = {
    *("jit", "pjit", "closed_call", "core_call", "remat", "checkpoint"),
    *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
}
# The exceptions, which NumPy computes in one call: one function of JAX, and two of
# `networks/categorical.py`.
_FUNCTIONS = {
    "logaddexp": "np.logaddexp({0}, {1})",
    "log_sum_exp_of_rows": "np.logaddexp.reduce({0}, 1)",
    "one_of_each_row": "{0}[np.arange(len({0})), {1}]",
}


# The files of these functions: a function of the user's may have the same name.
_FILES_OF_FUNCTIONS = ("/jax/_src/", "acmelike/networks/categorical.py:")


def _name_of_call(inner: Any) -> str:
    """The name of the function that is called; "" if it is in another file."""
    debug_info = getattr(getattr(inner, "jaxpr", inner), "debug_info", None)
    # "NAME at FILE:LINE"
    name, _, file = str(getattr(debug_info, "func_src_info", "")).partition(" at ")
    return name if any(known in file for known in _FILES_OF_FUNCTIONS) else ""


def _struct(shape: Sequence[Any], dtype: Any) -> Any:
    make: Any = jax.ShapeDtypeStruct
    return make(tuple(shape), dtype)


def _dtype(dtype: Any) -> str:
    name = np.dtype(dtype).name
    if not hasattr(np, name):
        raise MissingOperation(f"arrays of {name}")
    return "np.bool_" if name == "bool" else f"np.{name}"


def _widened(dtype: Any, operands: Sequence[_Value]) -> Any:
    """The dtype that NumPy gives a result; for integers it may be a wider one."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "iu":
        return dtype
    return np.result_type(*(x.dtype for x in operands if x.dtype.kind in "iu"), dtype)


def _shape(shape: Sequence[Any]) -> str:
    return "(" + "".join(f"{length}, " for length in shape).rstrip() + ")"


def _axes(axes: Sequence[int]) -> str:
    return str(axes[0]) if len(axes) == 1 else _shape(axes)


def _plain(numbers: Any) -> str:
    if isinstance(numbers, int | np.integer):
        return str(int(numbers))
    return "(" + "".join(f"{_plain(number)}, " for number in numbers).rstrip() + ")"


def _index(index: list[str]) -> str:
    while index and index[-1] == ":":
        index = index[:-1]
    return f"[{', '.join(index)}]" if index else ""


def _equal(x: Any, y: Any) -> bool:
    return bool(operator.eq(x, y))


def _is_symbolic(shape: Sequence[Any]) -> bool:
    return any(not isinstance(length, int) for length in shape)


def _without_leading_ones(shape: Sequence[Any]) -> tuple[Any, ...]:
    kept = list(shape)
    while kept and _equal(kept[0], 1):
        kept.pop(0)
    return tuple(kept)


def _broadcast(shapes: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The shape of an elementwise operation on arrays of these shapes."""
    num_axes = max(map(len, shapes))
    found = [1] * num_axes
    for shape in shapes:
        for axis, length in enumerate(shape, num_axes - len(shape)):
            if not _equal(length, 1):
                found[axis] = length
    return tuple(found)


def _mentions_size(expression: str) -> bool:
    return re.search(r"\bk\b", expression) is not None
