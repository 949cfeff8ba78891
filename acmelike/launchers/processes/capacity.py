"""What a host has for the processes of a run."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from acmelike.core.status import memory_limit, num_cores
from acmelike.errors import ConfigError
from acmelike.graph.resources import count


class Capacity(NamedTuple):
    """The cores, GPUs, memory and labels of a host.

    Attributes:
      num_cpus: cores that its processes may use.
      gpus: its GPUs, as CUDA_VISIBLE_DEVICES names them.
      memory_bytes: of the host.
      labels: that it was given.
    """

    num_cpus: int
    gpus: tuple[str, ...]
    memory_bytes: int
    labels: Mapping[str, str]

    def __str__(self) -> str:
        labels = "".join(f", {key}={value}" for key, value in self.labels.items())
        return (
            f"{count(self.num_cpus, 'cpu')}, {count(len(self.gpus), 'gpu')}, "
            f"{self.memory_bytes / 1e9:.3g} GB of memory{labels}"
        )


def capacity_of_this_host(labels: Mapping[str, str] | None = None) -> Capacity:
    """What the host of this process has.

    Only NVIDIA's GPUs that this process may see count, and none where JAX_PLATFORMS
    allows JAX only the CPU.
    """
    return Capacity(
        num_cpus=num_cores(),
        gpus=_gpus(),
        memory_bytes=memory_limit(),
        labels=dict(labels or {}),
    )


def _gpus() -> tuple[str, ...]:
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return ()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        gpus = [gpu.strip() for gpu in visible.split(",")]
        return tuple(gpu for gpu in gpus if gpu and not gpu.startswith("-"))
    num_gpus = 0
    with suppress(OSError):
        # The driver makes a file for each GPU. In a container the files have the host's
        # numbers; CUDA numbers the GPUs that it sees from 0 on.
        num_gpus = sum(bool(_DEVICE.fullmatch(name)) for name in os.listdir("/dev"))
    return tuple(map(str, range(num_gpus)))


_DEVICE = re.compile(r"nvidia\d+")


def parse_labels(texts: tuple[str, ...]) -> dict[str, str]:
    """The labels of a host, each given as KEY=VALUE.

    Raises:
      ConfigError: a label has another form.
    """
    labels = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise ConfigError(f"host_labels must be KEY=VALUE, such as zone=a: {text}")
        labels[key] = value
    return labels
