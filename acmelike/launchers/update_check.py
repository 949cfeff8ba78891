"""Finds a forgotten `updating`: an attribute that a step sets and a method reads."""

from __future__ import annotations

import sys
from typing import Any

from acmelike.core.leaf import current_leaf
from acmelike.core.runtime import current_context
from acmelike.errors import ContractError


class UpdateCheck:
    """Watches the attributes of one service under `launch(..., check=True)`.

    It notes where a step sets an attribute outside `with updating(self)`, and where a
    method or a guard reads one. An attribute of both kinds is a race: under `threads` a
    method may run in the middle of the step. Changes inside an attribute's value, such
    as `self.items.append(x)`, are not seen.

    Args:
      label: the node's.

    Attributes:
      fault: the first fault that was found, or None.
    """

    def __init__(self, label: str):
        self._label = label
        self._set_at: dict[str, str] = {}
        self._read_at: dict[str, str] = {}
        self.fault: ContractError | None = None

    def watch(self, service: object) -> None:
        """Watches a service from now on, if its class allows that."""
        check, kind = self, type(service)

        class Watched(kind):  # type: ignore[misc, valid-type]
            __slots__ = ()

            def __setattr__(self, name: str, value: Any) -> None:
                check._note_set(name)
                super().__setattr__(name, value)

            def __getattribute__(self, name: str) -> Any:
                check._note_read(name)
                return super().__getattribute__(name)

        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            setattr(Watched, name, getattr(kind, name))
        try:
            service.__class__ = Watched
        except TypeError:
            pass  # Such as an instance of a class that is written in C.

    def _note_set(self, name: str) -> None:
        context = current_context()
        is_step = context is not None and context.label == self._label
        if is_step and current_leaf() is None and name not in self._set_at:
            self._set_at[name] = _caller()
            self._compare(name)

    def _note_read(self, name: str) -> None:
        inside = current_leaf()
        if name in self._read_at or inside is None or name.startswith("__"):
            return
        if inside.kind in ("method", "guard"):
            self._read_at[name] = f"{inside} ({_caller()})"
            self._compare(name)

    def _compare(self, name: str) -> None:
        if self.fault is None and name in self._set_at and name in self._read_at:
            self.fault = ContractError(
                f"node '{self._label}': its step sets '{name}' ({self._set_at[name]}) "
                f"outside `with updating(self)`, and {self._read_at[name]} reads it"
            )


def _caller() -> str:
    """The line that sets or reads the attribute."""
    frame = sys._getframe(3)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
