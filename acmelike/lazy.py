"""Imports: of a package's names when they are first used, and of much at once."""

from __future__ import annotations

import gc
import importlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

# Two threads at once could each take the other's threshold for the one before.
_IMPORTING = threading.RLock()


def lazy_names(
    package: str, names: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Makes the `__getattr__` and `__dir__` of a package that imports names lazily.

    Importing the package then stays cheap:

        __getattr__, __dir__ = lazy_names(__name__, {"acmelike.graph": ("Node",)})

    Args:
      package: the package's `__name__`.
      names: for each module, the names that are imported from it.
    """
    homes = {name: module for module, of_it in names.items() for name in of_it}

    def __getattr__(name: str) -> Any:
        if name not in homes:
            message = f"module '{package}' has no attribute '{name}'"
            # With these two, Python's message proposes the nearest name.
            raise AttributeError(message, name=name, obj=sys.modules[package])
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return __getattr__, __dir__


@contextmanager
def importing_much() -> Iterator[None]:
    """Lets Python look for cyclic garbage less often while much is imported.

    Importing makes very many objects, and hardly one is garbage. Looking for it takes
    an eighth of the time of importing JAX.
    """
    with _IMPORTING:
        before = gc.get_threshold()
        gc.set_threshold(50_000, *before[1:])
        try:
            yield
        finally:
            gc.set_threshold(*before)
