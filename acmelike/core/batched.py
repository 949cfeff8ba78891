"""Methods that handle several calls at once; `batched` makes them."""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from collections.abc import Callable, Sequence
from types import MethodType
from typing import TYPE_CHECKING, Any

from acmelike.errors import ContractError

if TYPE_CHECKING:
    from acmelike.core.stacking import Nest

_BY_PLACE = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


class Batched:
    """A method that gets the arguments of several calls, stacked along axis 0.

    Args:
      body: the method.
      max_size: calls of one batch.
      timeout: seconds for which the oldest call waits for others.
      pad: whether the method always gets `max_size` rows.

    Attributes:
      body: the method.
      max_size: calls of one batch.
      timeout: seconds for which the oldest call waits for others.

    Raises:
      ValueError: `max_size` or `timeout` is too small.
    """

    def __init__(
        self, body: Callable[..., Any], max_size: int, timeout: float, pad: bool
    ):
        if not isinstance(max_size, int) or max_size < 1:
            raise ValueError(
                f"batched: max_size must be an int of at least 1: {max_size}"
            )
        if not timeout >= 0:
            raise ValueError(f"batched: timeout must be at least 0: {timeout}")
        functools.update_wrapper(self, body)
        self.body, self.max_size, self.timeout = body, max_size, timeout
        self._pad = pad
        self._signature = inspect.signature(body)
        self._self, *parameters = self._signature.parameters.values()
        self._names = [parameter.name for parameter in parameters]
        self._is_by_place = all(p.kind in _BY_PLACE for p in parameters)

    def __get__(self, service: Any, kind: type | None = None) -> Any:
        return self if service is None else MethodType(self, service)

    def __call__(self, service: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Outside a run, a batch of one."""
        answer = self.run(service, [self.read(args, kwargs)])
        return self.split(service, answer, 1)[0]

    def read(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Nest:
        """The arguments of one call, as arrays.

        Raises:
          TypeError: the method cannot be called with them.
          ContractError: one of them is no array.
        """
        # Only a service that has such a method needs NumPy and optree.
        from acmelike.core.stacking import take_apart

        if self._is_by_place and not kwargs and len(args) == len(self._names):
            return take_apart(dict(zip(self._names, args, strict=True)))
        bound = self._signature.bind(None, *args, **kwargs)
        bound.apply_defaults()
        return take_apart({name: bound.arguments[name] for name in self._names})

    def run(self, service: Any, requests: Sequence[Nest]) -> Any:
        """Calls the method once for all requests; returns its answer as it is."""
        from acmelike.core.stacking import stack

        stacked = stack(requests, self.max_size if self._pad else len(requests))
        if self._is_by_place:
            return self.body(service, *[stacked[name] for name in self._names])
        arguments = OrderedDict({self._self.name: service, **stacked})
        bound = inspect.BoundArguments(self._signature, arguments)
        return self.body(*bound.args, **bound.kwargs)

    def split(self, service: Any, answer: Any, num_requests: int) -> list[Any]:
        """The row of each request.

        Raises:
          ContractError: the answer does not have a row for each that the method got.
        """
        from acmelike.core.stacking import split

        num_rows = self.max_size if self._pad else num_requests
        try:
            return split(answer, num_rows, num_requests)
        except ContractError as error:
            raise ContractError(
                f"{type(service).__name__}.{self.body.__name__} got a batch of "
                f"{num_rows} and has to return arrays [{num_rows}, ...]: {error}"
            ) from None
