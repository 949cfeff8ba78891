"""What a handle becomes: an object with the methods of another node's service."""

from __future__ import annotations

from time import perf_counter
from typing import Any, NamedTuple, Protocol

from acmelike.core.contract import Guarded
from acmelike.core.future import Future, RemoteMethod
from acmelike.core.leaf import refuse_inside_leaf
from acmelike.core.runtime import current_context, seconds_left
from acmelike.core.status import EdgeMetrics
from acmelike.errors import ContractError, NoSuchMethod, nearest
from acmelike.rpc.call import Request
from acmelike.rpc.freeze import freeze

# What a launcher calls on a service itself; no node calls these over an edge.
OWN_METHODS = frozenset({"step", "run", "close"})


class Interface(NamedTuple):
    """What may be called at a node.

    Attributes:
      kind: the name of the service's class.
      methods: the names of its public methods.
      attributes: other public names of the class, such as properties.
      idempotent: the methods that may be called again when a connection is lost.
    """

    kind: str
    methods: frozenset[str]
    attributes: frozenset[str] = frozenset()
    idempotent: frozenset[str] = frozenset()


def interface_of(kind: type) -> Interface:
    """The public methods of a class: its functions with names without a leading `_`.

    Only what the class defines is served, never a callable attribute of an instance.
    """
    methods: set[str] = set()
    attributes: set[str] = set()
    idempotent: set[str] = set()
    for name in dir(kind):
        if name.startswith("_") or name in OWN_METHODS:
            continue
        value = _static(kind, name)
        is_method = isinstance(value, (Guarded, staticmethod, classmethod)) or (
            callable(value) and not isinstance(value, type)
        )
        (methods if is_method else attributes).add(name)
        function = getattr(value, "__func__", value)  # Of a static or class method.
        if any(getattr(each, "is_idempotent", False) for each in (value, function)):
            idempotent.add(name)
    return Interface(
        kind.__name__, frozenset(methods), frozenset(attributes), frozenset(idempotent)
    )


def _static(kind: type, name: str) -> Any:
    """An attribute of a class as it stands there; a property is not evaluated."""
    return next(base.__dict__[name] for base in kind.__mro__ if name in base.__dict__)


class Target(Protocol):
    """Where a client's calls go: a server in this process, or a node of another."""

    label: str

    def submit(self, request: Request, edge: EdgeMetrics | None) -> Future[Any]:
        """Makes a call, and counts its bytes in `edge`."""


class Client:
    """Calls the public methods of a node's service.

    Args:
      target: the node.
      interface: what may be called there; None if it is not known here.
      owner: the label of the node whose thread alone may use this client; None for a
        client that any thread may use.

    Raises:
      NoSuchMethod: from the look at an attribute that is no public method, with the
        nearest name.
    """

    def __init__(
        self,
        target: Target,
        interface: Interface | None = None,
        owner: str | None = None,
    ):
        self._target, self._interface, self._owner = target, interface, owner

    def __getattr__(self, name: str) -> Method:
        if name.startswith("_"):
            raise AttributeError(f"{self!r} has no public method '{name}'")
        if self._interface is not None and name not in self._interface.methods:
            raise no_such_method(self._target.label, self._interface, name)
        method = Method(self._target, name, self._owner)
        self.__dict__[name] = method
        return method

    def __repr__(self) -> str:
        return f"<client of node '{self._target.label}'>"

    def __reduce__(self) -> Any:
        raise TypeError(
            f"{self!r} cannot be pickled: pass the handle that add_node returned"
        )


def no_such_method(label: str, interface: Interface, name: str) -> NoSuchMethod:
    """The error for a name that cannot be called, with what to do instead."""
    if name in OWN_METHODS:
        why = f"'{name}' is for the launcher; give what others call another name"
        return NoSuchMethod(f"node '{label}' ({interface.kind}): {why}")
    if name in interface.attributes:
        why = f"'{name}' is not a method, and only methods can be called over an edge"
        return NoSuchMethod(f"node '{label}' ({interface.kind}): {why}")
    return NoSuchMethod(
        f"node '{label}' ({interface.kind}) has no method '{name}'"
        f"{nearest(name, interface.methods)}"
    )


class Method(RemoteMethod[Any, Any]):
    """One method of a client."""

    def __init__(self, target: Target, name: str, owner: str | None = None):
        self._target, self._name, self._owner = target, name, owner
        self._full_name = f"{target.label}.{name}"

    def submit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        return self._submit(args, kwargs)[0]

    def _submit(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Future[Any], EdgeMetrics | None]:
        refuse_inside_leaf(self._full_name)
        context = current_context()
        caller, edge = "outside", None
        if context is not None:
            caller = context.label
        if self._owner is not None and caller != self._owner:
            raise ContractError(
                f"{self._full_name} was called by a thread that is not the thread of "
                f"node '{self._owner}': only a node's step or run may use its edges"
            )
        if context is not None:
            edge = context.metrics.edges[self._full_name]
            edge.num_calls += 1
        if kwargs:
            kwargs = freeze(kwargs)
        request = Request(self._name, freeze(args), kwargs, seconds_left(), caller)
        return self._target.submit(request, edge), edge

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        started = perf_counter()
        call, edge = self._submit(args, kwargs)
        value = call.result()
        if edge is not None:
            edge.seconds.append(perf_counter() - started)
        return value

    def __repr__(self) -> str:
        return f"<method {self._full_name}>"
