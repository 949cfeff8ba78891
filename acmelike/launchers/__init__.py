"""Launchers: place the nodes of a program and drive them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.launchers.exposed import Endpoint
    from acmelike.launchers.hosts.config import HostsConfig
    from acmelike.launchers.launching import LAUNCHERS, check_launcher, launch
    from acmelike.launchers.ray.config import RayConfig
    from acmelike.launchers.run import Run

_NAMES = {
    "acmelike.launchers.exposed": ("Endpoint",),
    "acmelike.launchers.hosts.config": ("HostsConfig",),
    "acmelike.launchers.launching": ("LAUNCHERS", "check_launcher", "launch"),
    "acmelike.launchers.ray.config": ("RayConfig",),
    "acmelike.launchers.run": ("Run",),
}

__all__ = [
    "LAUNCHERS",
    "Endpoint",
    "HostsConfig",
    "RayConfig",
    "Run",
    "check_launcher",
    "launch",
]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
