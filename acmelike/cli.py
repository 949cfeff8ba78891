"""The command line, derived from a configuration's fields."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from acmelike.errors import AcmelikeError, ConfigError, nearest

T = TypeVar("T")


def parse(config: type[T], args: Sequence[str], *, prog: str, description: str) -> T:
    """Parses the command line of a configuration, nested dataclasses as `--a.b`.

    Raises:
      ConfigError: a flag or a value that is wrong, in one line.
      SystemExit: `--help` was asked for and printed.
    """
    import tyro

    known = [*flags_of(config), "--help", "-h"]
    for arg in args:
        flag = arg.split("=")[0].replace("_", "-")
        if re.match(r"--?[a-zA-Z]", flag) and flag not in known:
            raise ConfigError(f"unknown flag {flag}{nearest(flag, known)}")
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(config, args=args, prog=prog, description=description)
    except SystemExit as end:
        if not end.code:
            raise
        raise ConfigError(_first_message(printed.getvalue())) from None


def flags_of(config: type, prefix: str = "--") -> Iterator[str]:
    """The flags of a configuration class."""
    for field in dataclasses.fields(config):
        default: Any = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        name = field.name.replace("_", "-")
        if dataclasses.is_dataclass(default):
            yield from flags_of(type(default), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
            if isinstance(default, bool):
                yield f"{prefix}no-{name}"


def complain(error: AcmelikeError) -> int:
    """Tells the user of a mistake; returns the exit status for it."""
    print(f"error: {error}", file=sys.stderr)
    return 2


def _first_message(text: str) -> str:
    """The first message in one of tyro's boxes, as one line."""
    lines = [line.strip("│ ").strip() for line in text.splitlines()]
    message = []
    for line in lines[1:]:
        if set(line) <= set("─╰╯"):
            break
        message.append(line)
    return " ".join(message)
