"""The process that speaks to Ray, so that nothing that Ray does to it ends a run.

When the head of Ray is lost, Ray ends the process that uses it. Ray also changes the
environment and the signals of that process. So the launcher imports no Ray. It asks
this process to reserve what nodes need, and to start an agent on each host. After
that, data and messages go over the connections of the run.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import queue
import shutil
import socket
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from acmelike.core.status import num_cores
from acmelike.graph.resources import count
from acmelike.launchers.processes.control import ControlConnection
from acmelike.launchers.ray.agent import RayAgent
from acmelike.launchers.ray.messages import (
    AgentBack,
    AgentKey,
    Available,
    Bundle,
    Connect,
    Connected,
    GiveBack,
    LetIn,
    Refused,
    Release,
    Released,
    Reserve,
    Reserved,
    Room,
    Withdraw,
)
from acmelike.launchers.ray.sending import NOT_SENT, SentFolder

logger = logging.getLogger("acmelike")

# How long an address may take to answer at all.
_REACH_SECONDS = 5.0
# How long an agent may take to start, when its place is reserved.
_AGENT_SECONDS = 60.0
_LOOK_SECONDS = 0.1
# How long to wait for what others have reserved before a message says so.
_SAY_SECONDS = 2.0
# The time between two checks of the agents.
_PERIOD_SECONDS = 1.0
# Ray's error for the address "auto" if no Ray runs on this host.
_NO_RAY_HERE = "Could not find any running Ray"
# Up to so many nodes with the same needs are named; of more, only the first.
_MAX_NAMED = 3
# Ray takes no larger folder.
_MAX_SENT_BYTES = 500 * 10**6


class CannotServe(Exception):
    """Why the launcher's request is refused, in one line."""


class Broker:
    """Handles the messages of the launcher, one after the other.

    Args:
      connection: to the launcher.
    """

    def __init__(self, connection: ControlConnection):
        self._connection = connection
        self._messages: queue.Queue[Any] = queue.Queue()
        self._folder: str | None = None
        self._path: Sequence[str] = ()
        self._agents: dict[int, _Agent] = {}  # By rank, which begins at 1.
        self._num_agents = 0
        self._groups: list[Any] = []
        # What the last reservation got: ranks of agents, and placement groups.
        self._last: tuple[Collection[int], Sequence[Any]] = (), ()

    def run(self) -> None:
        """Runs until the launcher sends `Release`, or is gone."""
        threading.Thread(target=self._listen, name="launcher", daemon=True).start()
        answers: dict[type, Callable[[Any], Any]] = {
            Connect: self._connect,
            Reserve: self._reserve,
            LetIn: self._let_in,
            Withdraw: self._withdraw,
            GiveBack: self._give_back,
            Available: self._available,
            Release: self._release,
        }
        while True:
            try:
                message = self._messages.get(timeout=_PERIOD_SECONDS)
            except queue.Empty:
                self._replace_lost_agents()
                continue
            try:
                answer = answers[type(message)](message)
            except CannotServe as refusal:
                answer = Refused(str(refusal))
            except Exception as error:
                answer = Refused(f"Ray: {_one_line(error)}")
            if isinstance(message, LetIn | GiveBack | Withdraw):  # Nobody waits for it.
                if answer is not None:
                    logger.warning("%s", answer.words)
            elif answer is not None:
                self._connection.send(answer)
            if isinstance(message, Release):
                return

    def _listen(self) -> None:
        while (message := self._connection.receive()) is not None:
            self._messages.put(message)
        # The launcher is gone, and what Ray does for this process ends with it.
        self._remove_folder()
        os._exit(1)

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    # --- Connect

    def _connect(self, message: Connect) -> Connected:
        address, self._folder = message.address, message.folder
        self._path = message.path
        if address is None:
            self._start_local(message.num_cpus)
        else:
            self._join_cluster(address, message.working_dir)
        import ray

        resources = ray.cluster_resources()
        nodes = [node for node in ray.nodes() if node["Alive"]]
        what = "a Ray of this run" if address is None else f"the Ray at {address}"
        version, hosts = importlib.metadata.version("ray"), count(len(nodes), "host")
        words = f"{what}, {version}, with {hosts}: {_words(resources)}"
        ip = ray.util.get_node_ip_address()
        return Connected(ip, words, float(resources.get("GPU", 0)))

    def _start_local(self, num_cpus: float) -> None:
        import ray

        ray.init(
            address="local",
            num_cpus=max(num_cores(), round(num_cpus + 0.5)),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=self._folder,
        )

    def _join_cluster(self, address: str, working_dir: str | None) -> None:
        host, _, port = address.rpartition(":")
        if port.isdigit():
            try:
                socket.create_connection((host, int(port)), _REACH_SECONDS).close()
            except OSError as error:
                raise CannotServe(
                    f"no Ray answers at {address}: {error.strerror or error}; is its "
                    f"head there, started with: ray start --head --port {port}"
                ) from None
        import ray

        environment: dict[str, Any] = {}
        is_job = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
        if working_dir is not None and not is_job:
            environment = _environment(working_dir)
        try:
            ray.init(
                address=address,
                runtime_env=environment,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except ConnectionError as error:
            if _NO_RAY_HERE in str(error):
                raise CannotServe(
                    "no Ray runs on this host, which the address 'auto' stands for; "
                    "start one with: ray start --head, or give HOST:PORT of a head"
                ) from None
            raise CannotServe(
                f"the Ray at {address} refuses this run ({_one_line(error)}); is the "
                f"token the same: RAY_AUTH_TOKEN, or ~/.ray/auth_token"
            ) from None
        except RuntimeError as error:  # Such as other versions of Ray and Python.
            words = " ".join(str(error).split())
            raise CannotServe(f"the Ray at {address} cannot be used: {words}") from None

    # --- Reserve

    def _reserve(self, message: Reserve) -> Reserved:
        num_groups, ranks = len(self._groups), set(self._agents)
        self._last = (), ()
        try:
            reserved = self._reserve_all(message)
        except BaseException:
            self._undo(self._agents.keys() - ranks, self._groups[num_groups:])
            raise
        self._last = self._agents.keys() - ranks, self._groups[num_groups:]
        return reserved

    def _withdraw(self, message: Withdraw) -> None:
        """Releases a reservation that came too late, as nobody waits for it."""
        self._undo(*self._last)
        self._last = (), ()

    def _undo(self, ranks: Collection[int], groups: Sequence[Any]) -> None:
        """Releases what a failed or withdrawn reservation has got."""
        if not ranks and not groups:
            return
        import ray

        for rank in ranks:
            with suppress(Exception):
                ray.kill(self._agents.pop(rank).actor)
        for group in groups:
            with suppress(Exception):
                self._remove(group)

    def _reserve_all(self, message: Reserve) -> Reserved:
        from ray.util import placement_group

        limit = time.monotonic() + message.seconds
        place_of: dict[int, tuple[Any, int]] = {}
        hosts: dict[int, str] = {}
        for is_spread in (False, True):
            numbers = [
                number
                for number, bundle in enumerate(message.bundles)
                if bundle.is_spread == is_spread
            ]
            if not numbers:
                continue
            bundles = [message.bundles[number] for number in numbers]
            labels = [dict(bundle.resources.labels) for bundle in bundles]
            group = placement_group(
                [_demand(bundle) for bundle in bundles],
                strategy="SPREAD" if is_spread else "PACK",
                **({"bundle_label_selector": labels} if any(labels) else {}),
            )
            self._groups.append(group)
            found = self._wait_for(group, bundles, limit)
            for index, number in enumerate(numbers):
                place_of[number] = (group, index)
                hosts[number] = found[index]
        by_agent = defaultdict[tuple[str, int], list[int]](list)
        for number, host in sorted(hosts.items()):
            # Ray gives GPUs to actors, so a bundle with GPUs needs an agent of its own.
            own = number if message.bundles[number].resources.num_gpus else -1
            by_agent[host, own].append(number)
        agents = {}
        for (host, own), numbers in by_agent.items():
            num_gpus = message.bundles[own].resources.num_gpus if own >= 0 else 0
            group, index = place_of[numbers[0]]
            self._num_agents += 1
            agent = _Agent(group, index, num_gpus or 0, self._path)
            self._agents[self._num_agents] = agent
            agents[self._num_agents] = (numbers, host, agent)
        limit = max(limit, time.monotonic()) + _AGENT_SECONDS
        while not all(_is_there(agent.key) for _, _, agent in agents.values()):
            self._check_released()
            if time.monotonic() > limit:
                raise CannotServe("Ray has not started the agents of the run in time")
            time.sleep(_LOOK_SECONDS)
        return Reserved(
            [
                AgentKey(rank, numbers, host, agent.take_key())
                for rank, (numbers, host, agent) in agents.items()
            ]
        )

    def _check_released(self) -> None:
        """Raises if the launcher does not wait for the present answer any more."""
        unread = list(self._messages.queue)
        if any(isinstance(message, Release | Withdraw) for message in unread):
            raise CannotServe("the launcher does not wait any more")

    def _wait_for(
        self, group: Any, bundles: Sequence[Bundle], limit: float
    ) -> dict[int, str]:
        """Waits until all bundles are reserved; returns the host of each."""
        import ray
        from ray.util import placement_group_table

        say_at = time.monotonic() + _SAY_SECONDS
        while True:
            self._check_released()
            if group.wait(_LOOK_SECONDS):
                found: dict[int, str] = placement_group_table(group)[
                    "bundles_to_node_id"
                ]
                return found
            state = placement_group_table(group)["stats"]["scheduling_state"]
            now = time.monotonic()
            if state != "INFEASIBLE" and now < min(say_at, limit):
                continue
            has = _words(ray.cluster_resources())
            free = _words(ray.available_resources())
            words = f"They need {_needs(bundles)}. It has {has}; free are {free}"
            if state != "INFEASIBLE" and now < limit:
                left = limit - now
                logger.info(
                    "waiting for %.0f s more until the Ray cluster has room for the "
                    "nodes. %s",
                    left,
                    words,
                )
                say_at = limit
                continue
            # Otherwise it might be granted later, when nobody waits for it.
            self._remove(group)
            in_time = " in time" if state != "INFEASIBLE" else ""
            raise CannotServe(
                f"the Ray cluster cannot place the nodes{in_time}. {words}. With "
                f"--place NAME=cpus:0.5, for example, nodes need less"
            )

    # --- The agents

    def _let_in(self, message: LetIn) -> None:
        agent = self._agents.get(message.rank)
        if agent is not None:  # Otherwise it was released meanwhile.
            agent.run(message)

    def _replace_lost_agents(self) -> None:
        """Replaces each agent that has ended before the run."""
        for rank, agent in self._agents.items():
            if (key := agent.new_key(rank)) is not None:
                self._connection.send(AgentBack(rank, key))

    def _give_back(self, message: GiveBack) -> None:
        import ray

        agent = self._agents.pop(message.rank)
        ray.kill(agent.actor)
        self._remove(agent.group)

    def _remove(self, group: Any) -> None:
        from ray.util import remove_placement_group

        self._groups.remove(group)
        remove_placement_group(group)

    def _available(self, message: Available) -> Room:
        import ray

        free = ray.available_resources()
        demand = _demand(Bundle("", message.resources))
        return Room(int(min(free.get(name, 0) / much for name, much in demand.items())))

    def _release(self, message: Release) -> Released:
        if "ray" in sys.modules:
            import ray

            with suppress(Exception):
                for agent in self._agents.values():
                    ray.kill(agent.actor)
                for group in list(self._groups):
                    self._remove(group)
            with suppress(Exception):
                ray.shutdown()
        self._remove_folder()
        return Released()


class _Agent:
    """An agent in its bundle; if it ends before the run, another one replaces it.

    Args:
      group: the placement group.
      index: of the bundle in it.
      num_gpus: of the bundle.
      path: see `RayAgent`.

    Attributes:
      group: as given.
      actor: the present one, in Ray.
      key: its public key, in Ray; None when it was taken.
    """

    actor: Any
    key: Any
    _outcome: Any

    def __init__(self, group: Any, index: int, num_gpus: float, path: Sequence[str]):
        self.group = group
        self._bundle = (index, num_gpus, list(path))
        self._start()

    def run(self, message: LetIn) -> None:
        """Lets it join the run."""
        self.key = None
        self._outcome = self.actor.run.remote(
            message.place, message.certificate, message.rank, message.heartbeat
        )

    def take_key(self) -> bytes:
        """Returns its public key, which has arrived; called once for each agent."""
        import ray

        key: bytes = ray.get(self.key)
        self.key = None
        return key

    def new_key(self, rank: int) -> bytes | None:
        """Starts another agent if this one has ended; returns its key once it is there.

        Args:
          rank: of the agent, for the log.
        """
        import ray

        try:
            if self._outcome is not None and _is_there(self._outcome):
                ray.get(self._outcome)  # The run is over.
            elif self._outcome is None and self.key is not None and _is_there(self.key):
                return self.take_key()
        except Exception as error:
            words = "the agent of rank %d has ended: %s; another one is started"
            logger.warning(words, rank, _one_line(error))
            self._start()
        return None

    def _start(self) -> None:
        import ray
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        index, num_gpus, path = self._bundle
        actor: Any = ray.remote(RayAgent)
        self.actor = actor.options(
            num_cpus=0,
            num_gpus=num_gpus,
            scheduling_strategy=PlacementGroupSchedulingStrategy(
                placement_group=self.group, placement_group_bundle_index=index
            ),
        ).remote(path, bool(num_gpus))
        self._outcome, self.key = None, self.actor.public_key.remote()


def _is_there(ref: Any) -> bool:
    import ray

    return bool(ray.wait([ref], timeout=0)[0])


def _demand(bundle: Bundle) -> dict[str, float]:
    """What Ray reserves for a bundle."""
    resources = bundle.resources
    demand = {"CPU": float(resources.num_cpus)}
    if resources.num_gpus:
        demand["GPU"] = float(resources.num_gpus)
    if resources.memory_bytes:
        demand["memory"] = float(resources.memory_bytes)
    return demand


def _needs(bundles: Sequence[Bundle]) -> str:
    """What bundles need, in words; of many with the same needs, the first is named."""
    names = defaultdict[str, list[str]](list)
    for bundle in bundles:
        names[str(bundle.resources)].append(bundle.name)
    parts = []
    for needs, equal in names.items():
        if len(equal) > _MAX_NAMED:
            parts.append(f"{equal[0]} and {len(equal) - 1:,} more: {needs} each")
        else:
            parts += [f"{name}: {needs}" for name in equal]
    return "; ".join(parts)


def _environment(working_dir: str) -> dict[str, Any]:
    """What is sent to the hosts: a folder, and acmelike itself."""
    folder = Path(working_dir).resolve()
    sent = SentFolder(folder, _MAX_SENT_BYTES)
    if sent.num_bytes > _MAX_SENT_BYTES:
        largest = sent.largest()
        where = f" (the largest in it: {largest})" if largest else ""
        remedy = "from a git checkout, of which nothing is sent that git ignores"
        if sent.is_checkout:
            remedy = "name what nodes do not need in its .gitignore"
        raise CannotServe(
            f"the folder {folder} has more than {_MAX_SENT_BYTES // 10**6} MB, "
            f"which are too many to send to the hosts{where}: start from a smaller "
            f"folder, {remedy}, or send none with --no-ray-send"
        )
    megabytes = sent.num_bytes / 1e6
    logger.info("sending %s (%.1f MB) to the hosts of Ray", folder, megabytes)
    return {
        "working_dir": str(folder),
        "excludes": list(NOT_SENT),
        "py_modules": [str(Path(__file__).resolve().parents[2])],
    }


def _words(resources: dict[str, float]) -> str:
    """Those of Ray's resources that nodes need, in words."""
    memory = resources.get("memory", 0) / 1e9
    return (
        f"{resources.get('CPU', 0):g} cpus, {resources.get('GPU', 0):g} gpus, "
        f"{memory:.3g} GB of memory"
    )


def _one_line(error: BaseException) -> str:
    """An error in one line; errors of Ray have their cause in the last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if type(error).__module__.partition(".")[0] == "ray" and len(lines) > 1:
        return f"{lines[0]} ... {lines[-1]}"
    return lines[0]


def main() -> None:
    """Serves the launcher."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.set_inheritable(False)
    connection = ControlConnection(sock)
    path = connection.receive()
    if path is None:
        return
    sys.path[:] = path
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    Broker(connection).run()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # A thread of Ray must not keep the process alive.


if __name__ == "__main__":
    main()
