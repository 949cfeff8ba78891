"""The trial of Monarch in the benchmark of calls: an actor, and arrays as their bytes.

It sends bytes faster than arrays of NumPy or PyTorch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from monarch.actor import Actor, endpoint, this_host

from benchmarks import rpc_load as load


def calls(**arguments: Any) -> dict[str, Any]:
    """What is measured of all sides; a trial."""
    processes = this_host().spawn_procs(per_host={"processes": 1})
    try:
        return load.measure(
            _Calls(processes.spawn("service", _Service)),
            **arguments,
        )
    finally:
        processes.stop().get()


class _Service(Actor):
    @endpoint
    def echo(self, value: Any) -> Any:
        return value

    @endpoint
    def take(self, array: bytes) -> int:
        return int(np.frombuffer(array, np.uint8)[-1])


class _Calls:
    def __init__(self, service: Any):
        self._service = service

    def echo(self, value: Any) -> Any:
        return self._service.echo.call_one(value).get()

    def take(self, array: np.ndarray) -> int:
        return self._service.take.call_one(array.tobytes()).get()
