"""Names of a package that are imported when they are first used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


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
