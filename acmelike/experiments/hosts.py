"""The flags of a run on several hosts, and what the other hosts do."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from acmelike.errors import ConfigError, RunError
from acmelike.experiments.process import tell

if TYPE_CHECKING:
    from acmelike.launchers import HostsConfig, RayConfig

# Variables with the number of hosts and the rank of this one; the first that is set
# counts. They are of Open MPI, of other MPIs (MPICH, Intel's), of Slurm, and of indexed
# jobs of Kubernetes, which lack the number. MPIs come before Slurm, as they number
# processes: in a job of Slurm, mpirun may start several on one node, which would all
# have the rank of that node. A step of Slurm may have fewer nodes than its job.
_VARIABLES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("OMPI_COMM_WORLD_SIZE",), "OMPI_COMM_WORLD_RANK"),
    (("PMI_SIZE",), "PMI_RANK"),
    (("SLURM_STEP_NUM_NODES", "SLURM_NNODES"), "SLURM_NODEID"),
    ((), "JOB_COMPLETION_INDEX"),
)


def make_hosts_config(config: Any) -> HostsConfig | None:
    """The hosts that flags and environment describe; None for another launcher.

    Args:
      config: an `ExperimentConfig`.

    Raises:
      ConfigError: a flag is missing or wrong.
    """
    names = ("hosts", "rank", "rendezvous", "secret_file", "host_labels")
    if config.launch != "hosts":
        given = [name for name in names if getattr(config, name) not in (None, ())]
        if given:
            raise ConfigError(f"{given[0]} is for --launch hosts, not {config.launch}")
        return None
    from acmelike.launchers import HostsConfig
    from acmelike.launchers.hosts.rendezvous import read_secret
    from acmelike.launchers.processes.capacity import parse_labels

    num_hosts, rank = _from_environment()
    num_hosts = num_hosts if config.hosts is None else config.hosts
    rank = rank if config.rank is None else config.rank
    for name, value in (
        ("hosts", num_hosts),
        ("rank", rank),
        ("rendezvous", config.rendezvous),
    ):
        if value is None:
            raise ConfigError(
                f"{name} must be given with --launch hosts, such as "
                f"--hosts 2 --rank 0 --rendezvous 10.0.0.1:7000"
            )
    return HostsConfig(
        num_hosts=num_hosts or 0,
        rank=rank or 0,
        rendezvous=config.rendezvous,
        secret=read_secret(config.secret_file),
        labels=parse_labels(config.host_labels),
    )


def make_ray_config(config: Any) -> RayConfig | None:
    """The Ray that flags describe; None for another launcher.

    Args:
      config: an `ExperimentConfig`.

    Raises:
      ConfigError: a flag is for the launcher `ray` alone.
    """
    if config.launch != "ray":
        if config.ray_address is not None:
            raise ConfigError(f"ray_address is for --launch ray, not {config.launch}")
        return None
    from acmelike.launchers import RayConfig

    return RayConfig(
        address=config.ray_address, working_dir="." if config.ray_send else None
    )


def _from_environment() -> tuple[int | None, int | None]:
    for sizes, rank in _VARIABLES:
        number = os.environ.get(rank, "")
        if number.isdigit():
            found = (os.environ.get(name, "") for name in sizes)
            size = next((int(text) for text in found if text.isdigit()), None)
            return size, int(number)
    return None, None


def offer_host(hosts: HostsConfig) -> int:
    """Takes processes of the run until it is over; returns the exit status.

    Raises:
      ConfigError: the launcher refuses this host, or none came in time.
    """
    from acmelike.launchers.hosts.agent import join_run

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    tell(f"rank {hosts.rank} offers this host at {hosts.rendezvous}")
    try:
        tell(join_run(hosts))
    except RunError as error:
        tell(f"error: {error}", sys.stderr)
        return 1
    return 0
