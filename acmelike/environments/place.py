"""The place of an environment in a run, from which it can choose a port or a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from acmelike.core.runtime import current_context


@dataclass(frozen=True, kw_only=True)
class EnvironmentPlace:
    """The place of an environment in a run.

    Attributes:
      node: the label of the node that steps it, such as "actor/3"; "" outside a run,
        such as for an environment that is made only to read its specs.
      worker_index: the number of this node in its group, from 0 on; 0 without a group.
      vector_index: the number of the environment in its node, from 0 on.
    """

    node: str = ""
    worker_index: int = 0
    vector_index: int = 0


_current: ContextVar[EnvironmentPlace] = ContextVar("place")


def current_place() -> EnvironmentPlace:
    """The place of the environment that is being made."""
    return _current.get(EnvironmentPlace())


@contextmanager
def making_environment(vector_index: int) -> Iterator[None]:
    """Sets `current_place` while the node of this thread makes an environment."""
    context = current_context()
    node = "" if context is None else context.label
    number = node.rpartition("/")[2]
    place = EnvironmentPlace(
        node=node,
        worker_index=int(number) if number.isdigit() else 0,
        vector_index=vector_index,
    )
    token = _current.set(place)
    try:
        yield
    finally:
        _current.reset(token)
