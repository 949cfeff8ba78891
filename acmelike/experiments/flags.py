"""Flags of the command line, derived from the fields of a configuration."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from acmelike.errors import ConfigError, nearest

T = TypeVar("T")


def parse(
    kind: type[T],
    args: Sequence[str],
    *,
    default: T | None = None,
    prog: str,
    description: str,
) -> T:
    """Parses a command line into a configuration; nested fields are `--outer.inner`.

    Args:
      kind: the configuration's class, a dataclass.
      args: the command line.
      default: has the values of flags that are not given; None for the class's own.
      prog: the command, for `--help`.
      description: for `--help`.

    Raises:
      ConfigError: a flag or a value is wrong; in one line.
      SystemExit: `--help` was asked for and printed.
    """
    import tyro

    flags = list(flags_of(kind if default is None else default))
    known = [*flags, "--help", "-h"]
    for arg in args:
        flag = arg.split("=")[0].replace("_", "-")
        if re.match(r"--?[a-zA-Z]", flag) and flag not in known:
            raise ConfigError(f"unknown flag {flag}{nearest(flag, known)}")
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            parsed: T = tyro.cli(  # type: ignore[assignment]
                kind, args=args, default=default, prog=prog, description=description
            )
            return parsed
    except SystemExit as end:
        if not end.code:
            raise
        error = _config_error_behind(end)
        if error is not None:
            raise ConfigError(_with_flag(str(error), flags)) from None
        raise ConfigError(_first_message(printed.getvalue())) from None


def flags_of(config: Any, prefix: str = "--") -> Iterator[str]:
    """The flags of a configuration, or of a configuration class with its defaults."""
    for field in dataclasses.fields(config):
        default: Any = getattr(config, field.name, field.default)
        if isinstance(config, type) and callable(field.default_factory):
            default = field.default_factory()
        name = field.name.replace("_", "-")
        if dataclasses.is_dataclass(default):
            yield from flags_of(default, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
            if isinstance(default, bool):
                yield f"{prefix}no-{name}"


def _config_error_behind(end: SystemExit) -> ConfigError | None:
    """The error that a configuration raised, if this is why tyro ended."""
    error: BaseException | None = end
    while error is not None and not isinstance(error, ConfigError):
        error = error.__context__
    return error


def _with_flag(message: str, flags: Sequence[str]) -> str:
    """Replaces a field's name at the beginning of a message by the field's flag."""
    field, space, rest = message.partition(" ")
    name = field.replace("_", "-")
    meant = [flag for flag in flags if re.split(r"--|\.", flag)[-1] == name]
    return f"{meant[0]}{space}{rest}" if len(meant) == 1 else message


def _first_message(text: str) -> str:
    """The first message in a box that tyro prints, as one line."""
    # In a terminal it has colours, and a box of the letters that the terminal can show.
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    message: list[str] = []
    for line in plain.splitlines()[1:]:
        words = line.strip("│| ")
        if not set(words) <= set("─-╰╯+"):  # Not a line of the box.
            message.append(words)
        elif message:
            break
    return " ".join(message)
