"""What runs on each host but the launcher's: starts and watches its processes."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

from acmelike.errors import ConfigError, RunError, first_line
from acmelike.launchers.hosts.config import HostsConfig
from acmelike.launchers.hosts.messages import (
    Exit,
    Kill,
    Leave,
    Start,
    Usage,
    control_stream,
    output_stream,
)
from acmelike.launchers.hosts.multiplexer import Chunk, Multiplexer
from acmelike.launchers.hosts.rendezvous import (
    about_loopback,
    guest_certificate,
    join_rendezvous,
)
from acmelike.launchers.processes.capacity import Capacity, capacity_of_this_host
from acmelike.launchers.processes.control import ControlConnection
from acmelike.launchers.processes.machine import (
    DOES_NOT_END,
    KILLED_SECONDS,
    LocalChild,
    LocalMachine,
)
from acmelike.rpc import Authority, Identity

logger = logging.getLogger("acmelike")

_RETRY_SECONDS = 0.5
# An agent that does not hear the launcher ends its processes after this share of the
# heartbeat: before the launcher starts others in their place.
LEASE = 0.8


class HostAgent:
    """The processes of one host, for as long as the connection to the launcher lasts.

    Args:
      line: to the launcher; owned from now on.
      heartbeat: see `Welcome`.
    """

    def __init__(self, line: ControlConnection, heartbeat: float):
        self._multiplexer = Multiplexer(line, self._handle, self._on_beat)
        self._lease = LEASE * heartbeat
        self._machine = LocalMachine("")
        self._children: dict[int, LocalChild] = {}
        # The threads that wait for processes, with the names of those processes.
        self._waiting: dict[threading.Thread, str] = {}
        self._reason: str | None = None

    def run(self) -> tuple[str | None, str]:
        """Does what the launcher says, until the run is over or the launcher is lost.

        All processes have ended afterwards, except those that cannot be killed.

        Returns:
          Why the run ended, or None; and why the launcher was lost, or "".
        """
        try:
            why = self._multiplexer.run()
        finally:
            for child in list(self._children.values()):
                child.kill()
            limit = time.monotonic() + KILLED_SECONDS
            for thread, name in self._waiting.items():
                thread.join(max(0.0, limit - time.monotonic()))
                if thread.is_alive():
                    logger.warning(DOES_NOT_END, name)
            self._machine.close()
        return self._reason, why

    def _on_beat(self, silent: float) -> None:
        if silent > self._lease:
            raise OSError(f"it was not heard for {silent:.0f} s")
        children = list(self._children.items())
        seconds = {number: child.processor_seconds() for number, child in children}
        self._multiplexer.send(Usage(seconds))

    def _handle(self, message: Any) -> None:
        if isinstance(message, Start):
            self._start(message)
        elif isinstance(message, Kill):
            child = self._children.get(message.number)
            if child is not None:
                child.kill()
        elif isinstance(message, Leave):
            self._reason = message.reason
            self._multiplexer.end()

    def _start(self, message: Start) -> None:
        number = message.number
        try:
            child = self._machine.start(message.order)
        except Exception as error:
            for stream in (control_stream(number), output_stream(number)):
                self._multiplexer.send(Chunk(stream, b""))
            why = (isinstance(error, OSError) and error.strerror) or first_line(error)
            words = f"it could not be started: {why}"
            self._multiplexer.send(Exit(number, words))
            return
        self._children[number] = child
        self._multiplexer.add(control_stream(number), child.control)
        self._multiplexer.add(output_stream(number), child.output)
        name = message.order.name
        thread = threading.Thread(
            target=self._wait, args=(number, child), name=f"end of {name}", daemon=True
        )
        self._waiting = {t: n for t, n in self._waiting.items() if t.is_alive()}
        thread.start()
        self._waiting[thread] = name

    def _wait(self, number: int, child: LocalChild) -> None:
        how = child.wait()
        self._children.pop(number, None)
        self._multiplexer.send(Exit(number, how))


@dataclass(frozen=True, kw_only=True)
class HostOffer:
    """A host that is offered to a run.

    Attributes:
      place: host and port of the rendezvous.
      identity: what this host shows there.
      rank: of this host in the run.
      capacity: what it has.
      heartbeat: how long the launcher may take to answer, in seconds.
      join_seconds: how long to wait until there is a launcher.
    """

    place: tuple[str, int]
    identity: Identity
    rank: int
    capacity: Capacity
    heartbeat: float
    join_seconds: float


def join_run(config: HostsConfig) -> str:
    """Offers this host to a run until the run ends; joins again if it was lost.

    Returns:
      Why the run ended.

    Raises:
      ConfigError: the launcher refuses this host, or none came in time.
      RunError: the launcher was lost, and did not come back in time.
    """
    identity = Identity()
    authority = Authority(config.secret)
    identity.take(guest_certificate(authority, identity.public_key))
    return serve_run(
        HostOffer(
            place=config.place,
            identity=identity,
            rank=config.rank,
            capacity=capacity_of_this_host(config.labels),
            heartbeat=config.heartbeat,
            join_seconds=config.join_seconds,
        )
    )


def serve_run(offer: HostOffer) -> str:
    """Takes processes of a run until it is over; returns and raises as `join_run`."""
    where = "{}:{}".format(*offer.place)
    lost_by, limit = "", time.monotonic() + offer.join_seconds
    while True:
        try:
            line, welcome = join_rendezvous(
                *(*offer.place, offer.identity, offer.rank, offer.capacity),
                is_again=bool(lost_by),
                seconds=offer.heartbeat,
            )
        except OSError as error:
            if time.monotonic() < limit:
                time.sleep(_RETRY_SECONDS)
                continue
            words = (
                f"rendezvous {where}: no launcher answered within "
                f"{offer.join_seconds:.0f} s: {error.strerror or error}"
                f"{about_loopback(offer.place[0])}"
            )
            if lost_by:
                raise RunError(f"{words}; the last was lost: {lost_by}") from None
            raise ConfigError(words) from None
        logger.info("joined the run at %s", where)
        reason, lost_by = HostAgent(line, welcome.heartbeat).run()
        if reason is not None:
            return reason
        logger.warning(
            "the launcher is lost (%s); all processes here have ended", lost_by
        )
        limit = time.monotonic() + offer.join_seconds
