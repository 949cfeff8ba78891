"""The trial of Ray in the benchmark of calls: an actor, and its object store."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import ray

from benchmarks import rpc_load as load

# Room for the largest array more than once: Ray frees memory late.
_STORE_BYTES = 4 * 10**9


def calls(**arguments: Any) -> dict[str, Any]:
    """What is measured of all sides; a trial."""
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        ray.init(
            address="local",  # Not another Ray of this machine.
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=_STORE_BYTES,
            log_to_driver=False,
            configure_logging=False,
            _temp_dir=folder,
        )
        try:
            return load.measure(_Calls(), **arguments)
        finally:
            ray.shutdown()


@ray.remote
class _Service:
    def echo(self, value: Any) -> Any:
        return value

    def take(self, array: np.ndarray) -> int:
        return int(array[-1])


class _Calls:
    def __init__(self) -> None:
        self._service = _Service.remote()

    def echo(self, value: Any) -> Any:
        return ray.get(self._service.echo.remote(value))

    def take(self, array: np.ndarray) -> int:
        return ray.get(self._service.take.remote(ray.put(array)))
