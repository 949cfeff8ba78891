"""An actor of Ray that starts the processes of one of its hosts."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from acmelike.launchers.hosts.agent import HostOffer, serve_run
from acmelike.launchers.processes.capacity import capacity_of_this_host
from acmelike.rpc import Certificate, Identity

# How long the launcher may take to let the agent join, each time it joins.
_JOIN_SECONDS = 60.0


class RayAgent:
    """Joins a run as an agent of `hosts` does; its key does not leave its process.

    Args:
      path: where the launcher finds modules; folders that are not here are left out.
      has_gpus: whether Ray has reserved GPUs for it.
    """

    def __init__(self, path: Sequence[str], has_gpus: bool):
        known = set(sys.path)
        sys.path.extend(p for p in path if p not in known and os.path.isdir(p))
        # Ray sets it for a debugger of its own, which nodes do not have.
        os.environ.pop("PYTHONBREAKPOINT", None)
        if not has_gpus and capacity_of_this_host().gpus:
            # These GPUs are for others, and Ray does not hide them.
            os.environ.update(CUDA_VISIBLE_DEVICES="", JAX_PLATFORMS="cpu")
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        self._identity = Identity()

    def public_key(self) -> bytes:
        """To be signed by the launcher."""
        return self._identity.public_key

    def run(
        self,
        place: tuple[str, int],
        certificate: Certificate,
        rank: int,
        heartbeat: float,
    ) -> str:
        """Takes processes until the run is over; returns why it ended."""
        self._identity.take(certificate)
        return serve_run(
            HostOffer(
                place=place,
                identity=self._identity,
                rank=rank,
                capacity=capacity_of_this_host(),
                heartbeat=heartbeat,
                join_seconds=_JOIN_SECONDS,
            )
        )
