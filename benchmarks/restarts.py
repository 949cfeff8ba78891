"""Learning goes on while actors and the evaluator are killed or stopped.

python -m benchmarks.restarts --out FILE.json [--seconds 600] [--launch processes]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

# One thread each, also of NPROC, which programs leave alone, as nodes with processes
# have. Small networks gain nothing from more.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("NPROC", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from acmelike import Layout, Run
from acmelike.agents.dqn import DQNBuilder, DQNConfig
from acmelike.agents.parts.settings import OptimizerSettings, ReplaySettings
from acmelike.environments import make_environment_factory
from acmelike.topologies.system import System
from benchmarks import ours
from benchmarks.alone import spec_of
from benchmarks.command import run_timed_benchmark
from benchmarks.hosts import Hosts, RayCluster
from benchmarks.judge import mean_returns
from benchmarks.machine import describe_machine
from benchmarks.remains import Remains
from benchmarks.report import Report, median, say

# With the default settings DQN unlearns CartPole after half a million steps, whether
# anything is killed or not: its replay then has no failures any more. This one keeps
# what it has seen, and its targets and learning rate change slowly.
AGENT = DQNConfig(
    target_update_period=1_000,
    optimizer=OptimizerSettings(
        learning_rate=5e-4, final_fraction=0.01, decay_updates=100_000
    ),
    replay=ReplaySettings(size=4_000_000),
)

LAUNCHERS = ("processes", "hosts", "ray")
SECONDS, QUICK_SECONDS = 600.0, 30.0
NUM_HOSTS = 3
NUM_ACTORS, ENVIRONMENT = 4, "CartPole-v1"
# Between two nodes that are killed or stopped.
PAUSE_SECONDS = 15.0
# A stopped process of another host is found after this and five seconds more: before
# the next one is drawn, so that none is killed that does not run.
HEARTBEAT_SECONDS = 5.0
# Windows without and with such nodes take turns; the former are shorter.
NUM_WINDOWS = 5
UPDATES_BAR, RETURN_BAR = 0.85, 475.0
# The least share of the time that actors wait: they could make twice as many steps.
SPARE_BAR = 0.5
# How long a node may take to be there again after the last window.
SETTLE_SECONDS = 60.0


def measure(launcher: str, seconds: float, quick: bool, command: str) -> Report:
    """Makes one run."""
    if launcher != LAUNCHERS[0]:
        command += f" --launch {launcher}"
    if quick:
        seconds = QUICK_SECONDS
    elif seconds != SECONDS:
        command += f" --seconds {seconds:g}"
    report = Report(
        benchmark="restarts",
        title="DQN while its actors and its evaluator are killed",
        command=command,
        machine=describe_machine(("jax", "numpy", "gymnasium")),
        notes=[
            f"DQN on {ENVIRONMENT} under `{launcher}`, {NUM_ACTORS} actors and an "
            f"evaluator. Every {PAUSE_SECONDS:g} s one of these, drawn at random, is "
            "killed (SIGKILL) or stopped (SIGSTOP), in turns.",
            f"`hosts`: {NUM_HOSTS} hosts that are this machine; `ray`: a cluster of as "
            "many. There each fifth time the agent of a host without the learner is "
            "killed, and with it all processes of the host; another one takes its "
            "place.",
            "Replay has room for all transitions, the target network is copied every "
            "1,000 updates, and the learning rate falls from 5e-4 to a hundredth of it "
            "within 100,000 updates. Evaluations come every 5,000 environment steps, "
            "and a node may be restarted 1,000 times in five minutes. All other "
            "settings are the program's own.",
            f"The run alternates {NUM_WINDOWS} times: an undisturbed window, then one "
            "twice as long in which that happens.",
            "Return: the mean of 20 greedy episodes with the parameters at the end.",
            "Spare capacity: actors that wait for half of the time could make twice as "
            "many steps, so those that are left make up for one that is restarted.",
            "Counters: each environment step makes one transition in the end. Of what "
            "replay has counted, transitions may be missing only where an actor was "
            "ended: those of its last steps, which were not complete yet.",
            "Left behind, after the run: processes, open sockets and shared memory of "
            "the launcher, temporary files, and on Ray cores and placement groups.",
        ],
    )
    remains = Remains()
    found = _run(launcher, seconds)
    found["left"] += remains.find()
    _judge(report, found)
    return report


def _run(launcher: str, seconds: float) -> dict[str, Any]:
    with ExitStack() as stack:
        if launcher == "processes":
            return _run_with(launcher, seconds, {}, None)
        if launcher == "ray":
            cluster = stack.enter_context(RayCluster(NUM_HOSTS, num_cpus=4))
            ray = replace(cluster.config, heartbeat=HEARTBEAT_SECONDS)
            found = _run_with(launcher, seconds, {"ray": ray}, _kill_agent)
            found["left"] += cluster.held()
            return found
        hosts = stack.enter_context(Hosts(NUM_HOSTS, heartbeat=HEARTBEAT_SECONDS))

        def replace_agent(run: Run) -> bool:
            hosts.replace(NUM_HOSTS - 1)
            return True

        return _run_with(launcher, seconds, {"hosts": hosts.config}, replace_agent)


def _kill_agent(run: Run) -> bool:
    """Kills the agent that has started an actor, on a host without the learner.

    Returns:
      Whether there was one.
    """
    nodes = run.status()
    for index in range(NUM_ACTORS):
        node = nodes[_actor(index)]
        if node.host not in (nodes["learner"].host, nodes["replay"].host):
            with suppress(OSError):  # It has just ended.
                stat = Path(f"/proc/{node.process}/stat").read_text()
                os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)
                return True
    return False


def _run_with(
    launcher: str,
    seconds: float,
    settings: dict[str, Any],
    kill_agent: Callable[[Run], bool] | None,
) -> dict[str, Any]:
    setup = ours.Setup(
        builder=DQNBuilder(config=AGENT),
        environment=ENVIRONMENT,
        topology="actor_learner",
        layout=Layout(num_actors=NUM_ACTORS, max_restarts=1_000),
        launcher=launcher,
        settings=settings,
        seed=0,
        evaluate_every=5_000,
    )
    drawn = random.Random(0)
    with setup.launched() as (run, system):
        run.client(system.learner).next_parameters(1_000)
        rates: dict[str, list[float]] = {"undisturbed": [], "disturbed": []}
        shocks: list[tuple[str, str]] = []
        length = seconds / NUM_WINDOWS
        for number in range(NUM_WINDOWS):
            with _window(run, system, rates["undisturbed"]):
                time.sleep(length / 2)
            with _window(run, system, rates["disturbed"]):
                end = time.monotonic() + length
                while (left := end - time.monotonic()) > 0:
                    is_fifth = len(shocks) % 5 == 4
                    if is_fifth and kill_agent is not None and kill_agent(run):
                        shocks.append(("agent", "SIGKILL"))
                    else:
                        shocks.append(_shock(run, drawn, shocks))
                    time.sleep(min(PAUSE_SECONDS, left))
            say(f"{number + 1}/{NUM_WINDOWS} windows, {len(shocks)} shocks")
        expected = Counter(label for label, _ in shocks if label != "agent")
        restarts = _wait_for_restarts(run, expected)
        counted = _counted(run, system)
        parameters = run.client(system.learner).parameters().parameters
        progress = run.client(system.coordinator).progress()
        nodes = run.status()
    policy = ours.acting_with(
        setup.builder, spec_of(make_environment_factory(ENVIRONMENT)), parameters
    )
    return {
        "updates_per_second": rates,
        "shocks": shocks,
        "restarts": dict(restarts),
        "num_without_restart": sum((expected - restarts).values()),
        "counted": counted,
        "num_may_miss": _num_may_miss(setup, restarts),
        "left": [],
        "mean_return": mean_returns(ENVIRONMENT, [policy], seed=0)[0],
        "best_return_of_an_evaluation": progress.best_return,
        "learner_waited": nodes["learner"].waiting_fraction,
        "actors_waited": [nodes[_actor(i)].waiting_fraction for i in range(NUM_ACTORS)],
    }


@contextmanager
def _window(run: Run, system: System, rates: list[float]) -> Iterator[None]:
    """Adds the updates/s of the time inside."""
    learner = run.client(system.learner)
    updates, began = learner.progress().num_updates, time.perf_counter()
    yield
    made = learner.progress().num_updates - updates
    rates.append(made / (time.perf_counter() - began))


def _shock(
    run: Run, drawn: random.Random, earlier: Sequence[tuple[str, str]]
) -> tuple[str, str]:
    """Kills or stops a node that runs; returns which, and the signal."""
    last = earlier[-1][0] if earlier else ""
    labels = [*map(_actor, range(NUM_ACTORS)), "evaluator"]
    nodes = run.status()
    # The last may be stopped, and not be found yet.
    there = [label for label in labels if nodes[label].phase != "restarting"]
    sent = signal.SIGKILL if len(earlier) % 2 == 0 else signal.SIGSTOP
    while True:
        label = drawn.choice([label for label in there if label != last])
        try:
            os.kill(nodes[label].process, sent)
        except ProcessLookupError:  # It has just ended.
            there.remove(label)
        else:
            return label, sent.name


def _wait_for_restarts(run: Run, expected: Counter[str]) -> Counter[str]:
    """How often each node was restarted, once it is so often or time is up."""
    limit = time.monotonic() + SETTLE_SECONDS
    while True:
        nodes = run.status().items()
        found = Counter({label: node.num_restarts for label, node in nodes})
        if found >= expected or time.monotonic() > limit:
            return found
        time.sleep(0.5)


def _counted(run: Run, system: System) -> dict[str, int]:
    """What replay has counted: steps, then transitions, then steps again."""
    replay = run.client(system.replay)
    before, (table,) = replay.num_env_steps(), replay.infos()
    after = replay.num_env_steps()
    return {"before": before, "transitions": table.num_inserted, "after": after}


def _num_may_miss(setup: ours.Setup, restarts: Counter[str]) -> int:
    """How many steps may have no transition: the last ones of each actor that ran."""
    num_envs = setup.layout.num_envs_per_actor
    num_actors = sum(1 + restarts[_actor(index)] for index in range(NUM_ACTORS))
    return num_actors * num_envs * setup.builder.make_adder(num_envs).span


def _judge(report: Report, found: dict[str, Any]) -> None:
    rates = found["updates_per_second"]
    report.add_table("Updates of the learner", "per second", rates)
    pairs = zip(rates["disturbed"], rates["undisturbed"], strict=True)
    ratios = [disturbed / undisturbed for disturbed, undisturbed in pairs]
    report.add_table("Disturbed over undisturbed", "ratio", {"updates": ratios})
    numbers = {
        "killed or stopped": [len(found["shocks"])],
        "restarted": [sum(found["restarts"].values())],
    }
    report.add_table("Processes", "number", numbers)
    counted = found["counted"]
    report.add_table(
        "Counted by replay",
        "number",
        {
            "environment steps": [counted["before"]],
            "transitions": [counted["transitions"]],
        },
    )
    returns = {"at the end": [found["mean_return"]]}
    report.add_table("Return", "mean of 20 episodes", returns)
    waits = {"actors": found["actors_waited"], "learner": [found["learner_waited"]]}
    waited = report.add_table("Waited", "share of the time", waits)
    report.add_bar(
        "updates/s, disturbed over undisturbed", median(ratios), ">=", UPDATES_BAR
    )
    report.add_bar("return at the end", found["mean_return"], ">=", RETURN_BAR)
    report.add_bar("time that actors waited", waited["actors"], ">=", SPARE_BAR)
    report.add_bar("not restarted", found["num_without_restart"], "<=", 0)
    report.add_bar(
        "environment steps without a transition",
        counted["before"] - counted["transitions"],
        "<=",
        found["num_may_miss"],
    )
    # In between, actors go on; what is counted twice would be more than that.
    report.add_bar("transitions", counted["transitions"], "<=", counted["after"])
    report.add_bar("left behind", len(found["left"]), "<=", 0)
    report.details.update(found)


def _actor(index: int) -> str:
    return f"actor/{index}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--launch", choices=LAUNCHERS, default=LAUNCHERS[0])
    options, rest = parser.parse_known_args()
    run_timed_benchmark(
        "restarts", __doc__ or "", partial(measure, options.launch), SECONDS, rest
    )
