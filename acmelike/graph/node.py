"""Nodes as data: a constructor, its arguments, and where it runs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, ParamSpec, TypeVar

from acmelike.errors import GraphError
from acmelike.graph.resources import Resources
from acmelike.graph.restart import RestartPolicy

# The names of a node's setting `compression`.
COMPRESSIONS = ("zstd",)

P = ParamSpec("P")
T = TypeVar("T")


class Node(Generic[T]):
    """A node before it runs: data, and nothing else.

    Args:
      constructor: a class, whose instance becomes the node's service; or a function,
        which runs once; or a generator function, which runs step by step. It is called
        when the node starts, with a client in the place of each handle.
      *args: data and handles for the constructor.
      **kwargs: data and handles for the constructor.
    """

    def __init__(
        self, constructor: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        self.constructor, self.args, self.kwargs = constructor, args, kwargs

    @property
    def unwrapped(self) -> Any:
        """The constructor, without the partials around it."""
        constructor: Any = self.constructor
        while isinstance(constructor, functools.partial):
            constructor = constructor.func
        return constructor

    @property
    def is_function(self) -> bool:
        """Whether the constructor is a function, and the node is one call of it.

        A function runs once; a generator function runs step by step, from one `yield`
        to the next. A class, or a class method, makes a service instead.
        """
        constructor = self.unwrapped
        if isinstance(constructor, type):
            return False
        return not isinstance(getattr(constructor, "__self__", None), type)

    @property
    def name(self) -> str:
        """The name of the constructor."""
        constructor = self.unwrapped
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
class Exposure:
    """Where programs that are not of the run may call a node.

    Attributes:
      ip: where its process listens.
      port: there; 0 for one that is free.
      tls: whether callers speak TLS 1.3.
    """

    ip: str
    port: int
    tls: bool

    def __str__(self) -> str:
        return (
            f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"
        )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A node of a program, with its label and its place.

    Attributes:
      label: the node's unique name, such as "learner" or "actor/0".
      node: the constructor and its arguments.
      group: the group it was added in, or None.
      process: the name of the process that it shares with other nodes; None for a
        process of its own.
      resources: what it needs of its host.
      variables: environment variables of its process.
      compression: of its calls and answers, where the other end is on another host;
        None for none.
      restart: when it is restarted after a failure; None for never.
    """

    label: str
    node: Node[Any]
    group: str | None
    process: str | None
    resources: Resources = field(default_factory=Resources)
    variables: Mapping[str, str] = field(default_factory=dict)
    compression: str | None = None
    restart: RestartPolicy | None = None
