"""Pickles that name the classes of acmelike by their public names.

A plain pickle names a class by the file that defines it, so it cannot be read any more
when the file moves. Here a class or a function of acmelike is stored as "package:name",
where the package is the outermost one above the file that offers this very object:

    acmelike.agents.dqn.agent.DQNBuilder         "acmelike.agents.dqn:DQNBuilder"
    acmelike.environments.catch.CatchFactory     "acmelike.environments:CatchFactory"

Files can therefore move freely behind their package. A class that changes its public
name gets a line in `RENAMED`.
"""

from __future__ import annotations

import importlib
import io
import operator
import pickle
from collections.abc import Mapping
from types import FunctionType
from typing import Any

import cloudpickle

# From a public name in stored files to the present name of the same object.
RENAMED: Mapping[str, str] = {}


def dumps(value: Any) -> bytes:
    """Pickles a value; classes of a script or a notebook are stored in the pickle."""
    file = io.BytesIO()
    _PublicPickler(file).dump(value)
    return file.getvalue()


def loads(data: bytes) -> Any:
    """Reads what `dumps` returned. This runs code: read only what you trust."""
    return _PublicUnpickler(io.BytesIO(data)).load()


def public_name(thing: type | FunctionType) -> str | None:
    """The public name of a class or a function, as "package:name".

    Returns:
      None if no module offers the object, such as one that a function made.
    """
    parts = thing.__module__.split(".")
    for length in range(1, len(parts) + 1):
        name = f"{'.'.join(parts[:length])}:{thing.__qualname__}"
        try:
            if _resolve(name) is thing:
                return name
        except AttributeError:
            continue
    return None


def _resolve(name: str) -> Any:
    module, _, path = name.partition(":")
    return operator.attrgetter(path)(importlib.import_module(module))


class _PublicPickler(cloudpickle.Pickler):  # type: ignore[misc]
    def persistent_id(self, value: Any) -> str | None:
        if not isinstance(value, type | FunctionType):
            return None
        if (value.__module__ or "").split(".")[0] != "acmelike":
            return None
        return public_name(value)


class _PublicUnpickler(pickle.Unpickler):
    def persistent_load(self, name: str) -> Any:
        return _resolve(RENAMED.get(name, name))
