"""Resources: what a node needs of the host that it runs on."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from acmelike.checks import above, at_least, check_fields
from acmelike.errors import ConfigError, nearest

Place = Literal["spread", "pack", "launcher"]


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a node needs of its host, and which host it prefers.

    It counts where nodes have processes. Under `serial` and `threads`, all nodes share
    what the one process has.

    Attributes:
      num_cpus: the cores that the node may keep busy. In a process of its own, XLA and
        BLAS get at most so many threads. `ray` reserves them; the other launchers let
        nodes share cores if there are too few.
      num_gpus: the GPUs that the node's process sees: a whole number, or a part of one
        below 1, which limits the memory that JAX takes. None for one if a host has one
        to spare.
      memory_bytes: the memory that is reserved for it, in bytes.
      labels: which its host must have, such as {"zone": "a"}.
      place: "spread" for the host that has fewest nodes of its group, "pack" for the
        fullest host that has cores to spare, "launcher" for the host of the launcher.
        None spreads the members of a group; another node is at the launcher's host, or
        else at the next that has what it needs.
    """

    num_cpus: Annotated[float, above(0)] = 1
    num_gpus: Annotated[float, at_least(0)] | None = 0
    memory_bytes: Annotated[int, at_least(0)] = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    place: Place | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.num_gpus is not None and self.num_gpus > 1 and self.num_gpus % 1:
            raise ConfigError(
                f"num_gpus must be a whole number or below 1: {self.num_gpus}"
            )
        if self.place is not None and self.place not in get_args(Place):
            raise ConfigError(
                f"place must be one of {', '.join(get_args(Place))}: {self.place!r}"
                f"{nearest(str(self.place), get_args(Place))}"
            )

    @property
    def num_threads(self) -> int:
        """Of XLA and BLAS."""
        return math.ceil(self.num_cpus)

    def __str__(self) -> str:
        parts = [count(self.num_cpus, "cpu")]
        if self.num_gpus:
            parts.append(count(self.num_gpus, "gpu"))
        if self.memory_bytes:
            parts.append(f"{self.memory_bytes / 1e9:.3g} GB of memory")
        parts += [f"the label {key}={value}" for key, value in self.labels.items()]
        return ", ".join(parts)


def count(number: float, noun: str) -> str:
    """A number of things, such as "2 cpus"."""
    return f"{number:g} {noun}{'' if number == 1 else 's'}"


def joined(resources: Iterable[Resources]) -> Resources:
    """What nodes need together, if they share a process.

    Raises:
      ConfigError: no host can have it: they want two values of one label, or two
        places.
    """
    found = list(resources)
    labels: dict[str, str] = {}
    for each in found:
        for key, value in each.labels.items():
            if labels.setdefault(key, value) != value:
                raise ConfigError(
                    f"nodes that share a process need hosts with {key}={labels[key]} "
                    f"and with {key}={value}"
                )
    places = {each.place for each in found} - {None}
    if len(places) > 1:
        words = " and ".join(sorted(f"'{place}'" for place in places))
        raise ConfigError(f"nodes that share a process are placed {words}")
    gpus = [each.num_gpus for each in found]
    known = [number for number in gpus if number is not None]
    return Resources(
        num_cpus=sum(each.num_cpus for each in found),
        num_gpus=None if None in gpus and not any(known) else sum(known),
        memory_bytes=sum(each.memory_bytes for each in found),
        labels=labels,
        place=next(iter(places), None),
    )


_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_MEMORY = re.compile(rf"(\d+(?:\.\d+)?)({'|'.join(_UNITS)})")
_FORM = "NAME=spread, pack, launcher, cpus:2, gpus:1, memory:4GB or label:KEY=VALUE"


def parse_place(text: str) -> tuple[str, dict[str, Any]]:
    """What the flag `--place` says of a group or a node.

        >>> parse_place("actor=spread,cpus:0.5")
        ('actor', {'place': 'spread', 'num_cpus': 0.5})

    Returns:
      The name, and fields of `Resources`.

    Raises:
      ConfigError: it has another form.
    """
    name, equals, rest = text.partition("=")
    if not name or not equals or not rest:
        raise ConfigError(f"place must have the form {_FORM}: {text!r}")
    changes: dict[str, Any] = {}
    for item in rest.split(","):
        key, _, value = item.partition(":")
        if item in get_args(Place):
            changes["place"] = item
        elif key in ("cpus", "gpus") and re.fullmatch(r"\d+(\.\d+)?", value):
            changes[f"num_{key}"] = float(value)
        elif key == "memory" and (found := _MEMORY.fullmatch(value)):
            changes["memory_bytes"] = round(float(found[1]) * _UNITS[found[2]])
        elif key == "label" and "=" in value:
            label, _, wanted = value.partition("=")
            changes.setdefault("labels", {})[label] = wanted
        else:
            known = [*get_args(Place), "cpus", "gpus", "memory", "label"]
            raise ConfigError(
                f"place {text!r} is not understood at {item!r}{nearest(key, known)}; "
                f"the form is {_FORM}"
            )
    return name, changes
