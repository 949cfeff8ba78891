"""Which network an agent uses. Imports no JAX, so mistakes are found at once.

An agent's setting `network` is one of

- "auto": "nature" for images of 36 pixels a side or more, "minatar" for smaller ones,
  otherwise "mlp";
- "mlp": dense layers;
- "minatar": a convolution without padding and dense layers (Young and Tian 2019);
- "nature": three convolutions with steps and dense layers (Mnih et al. 2015);
- "impala_resnet": the deep residual network of IMPALA (Espeholt et al. 2018, figure 3);
- "my_module:MyNetwork": a flax module of your own, as its class or a function that
  returns one, in a module that can be imported;
- in Python, also that class, that function or an instance.

If observations are several arrays, a network for images takes those that are images.
Its features and all other arrays go through dense layers together.

A module of your own maps observations `[B, ...]`, as float32, to features `[B, F]`;
several arrays come nested as the environment nests them. `preparation.py` says how
they were prepared. The agent adds its heads, such as the values of actions.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from acmelike.errors import ConfigError, first_line, nearest

if TYPE_CHECKING:
    NetworkSource: TypeAlias = Any  # A name, a flax module, or what returns one.
else:
    NetworkSource = str  # For the command line.


class Network(Protocol):
    """A flax module as agents call it; `parameters` are all of its variables."""

    def init(self, key: Any, /, *inputs: Any) -> Any: ...

    def apply(self, parameters: Any, /, *inputs: Any) -> Any: ...


NAMES = ("auto", "mlp", "minatar", "nature", "impala_resnet")
KERNEL = 3  # The sides of a convolution's window.
# The side of the smallest image from which "nature" still makes an output.
LARGE = 36


def are_images(shape: tuple[int, ...], least: int = KERNEL) -> bool:
    """Whether observations are images, `[H, W, C]` or N of them.

    Args:
      shape: of one observation.
      least: the least number of pixels of a side.
    """
    return len(shape) in (3, 4) and min(shape[-3:-1]) >= least


def check_network(source: NetworkSource) -> None:
    """Checks that there is such a network, without importing its module.

    Raises:
      ConfigError: no such network; the message is one line, with the nearest name.
    """
    if not isinstance(source, str):
        if not callable(source):
            raise ConfigError(f"network must be a flax module or a name: {source!r}")
        return
    module, colon, name = source.partition(":")
    if not colon:
        if source not in NAMES:
            raise ConfigError(
                f"network must be one of {', '.join(NAMES)} or module:name: "
                f"'{source}'{nearest(source, NAMES)}"
            )
        return
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    except Exception as error:  # Raised by the package of the module.
        raise ConfigError(f"network '{source}': {first_line(error)}") from error
    if found is None:
        raise ConfigError(f"network '{source}': there is no module '{module}'")
    if found.origin is None or not found.origin.endswith(".py"):
        return
    try:
        with open(found.origin, encoding="utf-8") as file:
            names = list(_names_of(ast.parse(file.read())))
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"network '{source}': {first_line(error)}") from error
    if not {name, "*", "__getattr__"} & {*names}:
        raise ConfigError(
            f"network '{source}': {module} has no '{name}'{nearest(name, names)}"
        )


def _names_of(module: ast.Module) -> Iterator[str]:
    """The names that a module gets at its top level; "__getattr__" may make any."""
    left: list[ast.AST] = [*module.body]
    while left:
        statement = left.pop()
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            yield statement.name
            # Names inside are not the module's, except those declared as global.
            for inner in ast.walk(statement):
                if isinstance(inner, ast.Global):
                    yield from inner.names
            continue
        left += ast.iter_child_nodes(statement)
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for alias in statement.names:
                yield alias.asname or alias.name
        elif isinstance(statement, ast.Name) and isinstance(statement.ctx, ast.Store):
            yield statement.id
