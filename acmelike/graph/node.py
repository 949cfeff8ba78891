"""Nodes as data: what is constructed, with which arguments, and where it runs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, ParamSpec, TypeVar

from acmelike.errors import GraphError

P = ParamSpec("P")
T = TypeVar("T")


class Node(Generic[T]):
    """Inert data: what constructs a service, and with which arguments.

    Args:
      constructor: called with the arguments when the node starts, each handle in them
        replaced by a client. What it returns is the service.
      *args: data and handles.
      **kwargs: data and handles.
    """

    def __init__(
        self, constructor: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        self.constructor, self.args, self.kwargs = constructor, args, kwargs

    @property
    def is_function(self) -> bool:
        """Whether the constructor is a function, so that the node is that call.

        A function runs once; a generator function runs step by step, from one `yield`
        to the next. A class, or a class method, makes a service instead.
        """
        constructor: Any = self.constructor
        while isinstance(constructor, functools.partial):
            constructor = constructor.func
        if isinstance(constructor, type):
            return False
        return not isinstance(getattr(constructor, "__self__", None), type)

    @property
    def name(self) -> str:
        """What the constructor is called."""
        constructor: Any = self.constructor
        while isinstance(constructor, functools.partial):
            constructor = constructor.func
        return getattr(constructor, "__name__", type(constructor).__name__)

    def arguments(self) -> dict[str, Any]:
        """The arguments by the names of the constructor's parameters.

        Raises:
          GraphError: they do not fit the constructor.
        """
        try:
            bound = inspect.signature(self.constructor).bind(*self.args, **self.kwargs)
        except ValueError:  # a builtin that has no signature
            numbered = {f"args[{i}]": arg for i, arg in enumerate(self.args)}
            return {**numbered, **self.kwargs}
        except TypeError as error:
            raise GraphError(f"{self.name}: {error}") from None
        return dict(bound.arguments)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A node in its place in a program.

    Attributes:
      label: unique in the program, such as "learner" or "actor/0".
      node: what will be constructed.
      group: the group it was added in, or None.
      process: the name of the process that it shares with others, or None for its own.
      num_cpus: the cores that it keeps busy; where it has a process, XLA and BLAS get
        no more threads than that.
      variables: of the environment, where it has a process.
    """

    label: str
    node: Node[Any]
    group: str | None
    process: str | None
    num_cpus: int = 1
    variables: Mapping[str, str] = field(default_factory=dict)
