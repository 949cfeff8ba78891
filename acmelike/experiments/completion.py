"""Tab completion: a script for the shell, which asks the command for candidates."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from acmelike.errors import ConfigError, nearest
from acmelike.experiments.flags import flags_of
from acmelike.experiments.program import find_program, program_names

COMMANDS = ("train", "programs", "draw", "evaluate")

_BASH = """\
_acmelike() {
    local IFS=$'\\n'
    COMPREPLY=($(acmelike --complete "${COMP_WORDS[@]:1:$COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _acmelike acmelike
"""
_SCRIPTS = {
    "bash": _BASH,
    "zsh": "autoload -Uz compinit bashcompinit\ncompinit\nbashcompinit\n" + _BASH,
}


def completion_script(shell: str) -> str:
    """The script that a shell has to read, for example with `source <(...)`.

    Raises:
      ConfigError: there is no script for this shell.
    """
    if shell not in _SCRIPTS:
        known = nearest(shell, _SCRIPTS) or f"; there are {', '.join(_SCRIPTS)}"
        raise ConfigError(f"no completion for the shell '{shell}'{known}")
    return _SCRIPTS[shell]


def candidates(words: Sequence[str]) -> list[str]:
    """The possible completions of the last word of a command line.

    Args:
      words: the words after `acmelike`; the last one may be empty or incomplete.
    """
    try:
        found = list(_candidates(list(words)))
    except ConfigError:  # The program before it does not exist.
        return []
    return [word for word in found if word.startswith(words[-1])]


def _candidates(words: list[str]) -> Iterator[str]:
    if len(words) < 2:
        yield from (*COMMANDS, "--help", "--version", "--print-completion")
    elif words[0] == "--print-completion":
        yield from _SCRIPTS
    elif words[0] == "programs":
        yield from ("--pictures", "--help")
    elif words[0] == "evaluate":
        yield from ("--best", "--episodes", "--num-envs", "--seed", "--video", "--help")
    elif words[0] in ("train", "draw") and len(words) == 2:
        yield from program_names()
    elif words[0] in ("train", "draw"):
        config = find_program(words[1]).config
        values = _values(config, words[-2].removeprefix("--").replace("-", "_"))
        yield from values or (*flags_of(config), "--help")


def _values(config: Any, field: str) -> list[str]:
    """The values that a field may have, if its type lists them."""
    if field not in {field.name for field in dataclasses.fields(config)}:
        return []
    hint = typing.get_type_hints(type(config))[field]
    return list(typing.get_args(hint)) if typing.get_origin(hint) is Literal else []
