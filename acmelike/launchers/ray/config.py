"""Which Ray a run uses, and what it takes there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated

from acmelike.checks import above, check_fields
from acmelike.errors import ConfigError
from acmelike.rpc import HEARTBEAT_SECONDS, checked_heartbeat


@dataclass(frozen=True, kw_only=True)
class RayConfig:
    """The settings of a run on Ray.

    Attributes:
      address: of a Ray cluster, as HOST:PORT, or "auto" for the one of this host. None
        takes the variable RAY_ADDRESS; without that variable, a Ray is started on this
        host for the run, and ends with the run.
      working_dir: the folder whose files are sent to all hosts of a cluster. It becomes
        the working directory of the nodes there. None sends nothing, for example if all
        hosts have the code.
      place_seconds: how long Ray may take to reserve what the nodes need.
      heartbeat: a host that has sent nothing for so many seconds is lost.
    """

    address: str | None = None
    working_dir: str | None = "."
    place_seconds: Annotated[float, above(0)] = 60.0
    heartbeat: float = HEARTBEAT_SECONDS

    def __post_init__(self) -> None:
        check_fields(self)
        checked_heartbeat(self.heartbeat)
        self.find_cluster()

    def find_cluster(self) -> str | None:
        """The address of the cluster; None where the run starts a Ray of its own.

        Raises:
          ConfigError: the address has a scheme, as one of a client or a dashboard has.
        """
        name, address = "ray-address", self.address
        # Ray itself takes the variable in the place of "auto" too.
        if address in (None, "", "auto") and (found := os.environ.get("RAY_ADDRESS")):
            name, address = "RAY_ADDRESS", found
        if not address:
            return None
        scheme, colon, _ = address.partition("://")
        if colon:
            raise ConfigError(
                f"{name} {address}: an address with {scheme}:// cannot be used; give "
                f"HOST:PORT of the head, such as 10.0.0.1:6379 after: ray start --head "
                f"--port 6379"
            )
        return address
