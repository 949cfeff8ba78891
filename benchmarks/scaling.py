"""Environment steps with 1 to 16 actors, under each launcher that has processes.

python -m benchmarks.scaling --out FILE.json
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks.command import run_benchmark
from benchmarks.hosts import Hosts
from benchmarks.machine import describe_machine
from benchmarks.report import Report, interleave, median
from benchmarks.trial import RAY, run_trial

NUM_ACTORS = (1, 2, 4, 8, 16)
PYTHONS = {"processes": sys.executable, "hosts": sys.executable, "ray": RAY}
STEP_SECONDS = 0.005
# Of the learner, if no step took longer.
UPDATES_PER_SECOND = 50.0
EFFICIENCY_BAR = 0.9
NUM_HOSTS = 3
NUM_IDLE, STATUS_BAR, CPU_BAR = 200, 2.0, 0.1


def make_slow_environment(seed: int) -> Any:
    """Catch, each step of which takes 5 ms, in which no processor is used."""
    from acmelike.environments import make_environment_factory

    environment: Any = make_environment_factory("Catch")(seed)
    step = environment.step

    def slow_step(action: Any) -> Any:
        time.sleep(STEP_SECONDS)
        return step(action)

    environment.step = slow_step
    return environment


def rate(*, launcher: str, num_actors: int, seconds: float) -> dict[str, float]:
    """Environment steps/s of a run, and how long it took to begin; a trial."""
    import tempfile

    from acmelike import Experiment, Goal, Layout, launch
    from acmelike.agents.dqn import DQNBuilder, DQNConfig
    from acmelike.agents.parts.settings import ReplaySettings
    from acmelike.environments import make_environment_factory
    from acmelike.topologies.names import TOPOLOGIES

    # As many updates/s for any number of actors, which hardly ever wait for them.
    steps_per_update = num_actors / (UPDATES_PER_SECOND * STEP_SECONDS)
    replay_settings = ReplaySettings(
        min_size=64,
        samples_per_insert=DQNConfig().batch_size / steps_per_update,
        error_buffer=4096.0,
    )
    config = DQNConfig(replay=replay_settings)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        experiment = Experiment(
            builder=DQNBuilder(config=config),
            environment_factory=make_environment_factory(
                "benchmarks.scaling:make_slow_environment"
            ),
            layout=Layout(
                num_actors=num_actors, num_envs_per_actor=1, parameter_interval=10
            ),
            goal=Goal(max_env_steps=10**9, evaluate_every=10**9),
            metrics=f"{folder}/metrics.jsonl",
        )
        system = TOPOLOGIES["actor_learner"](experiment)
        if launcher == "ray":
            # Of a core that a wait of 5 ms does not keep busy.
            system.program.set_resources("actor", num_cpus=0.1)
        more = {}
        if launcher == "hosts":
            more["hosts"] = stack.enter_context(Hosts(NUM_HOSTS)).config
        began = time.perf_counter()
        run = stack.enter_context(launch(system.program, launcher, **more))
        learner, replay = run.client(system.learner), run.client(system.replay)
        learner.next_parameters(0)
        first_update = time.perf_counter() - began
        while _num_that_act(run) < num_actors:
            time.sleep(0.1)
        steps, started = replay.past_env_steps(200 * num_actors), time.perf_counter()
        time.sleep(seconds)
        made = replay.past_env_steps(0) - steps
        passed = time.perf_counter() - started
    return {"env_steps_per_second": made / passed, "first_update": first_update}


def _num_that_act(run: Any) -> int:
    nodes = run.status().values()
    return sum(node.num_steps > 0 for node in nodes if node.group == "actor")


class Idle:
    """A node that does nothing."""

    def step(self) -> None:
        from acmelike import sleep

        sleep(None, "the end of the run")


def _num_that_wait(run: Any) -> int:
    return sum(node.phase == "waiting" for node in run.status().values())


def idle(*, num_nodes: int, seconds: float) -> dict[str, float]:
    """What many nodes cost their launcher that do nothing; a trial."""
    from acmelike import Node, Program, launch

    program = Program("idle")
    with program.group("idle"):
        for _ in range(num_nodes):
            program.add_node(Node(Idle))
    with launch(program, "processes", grace_seconds=60.0) as run:
        # One that has not answered yet is in no status.
        while _num_that_wait(run) < num_nodes:
            time.sleep(0.5)
        times = []
        for _ in range(5):
            began = time.perf_counter()
            run.status()
            times.append(time.perf_counter() - began)
        cpu, began = time.process_time(), time.perf_counter()
        time.sleep(seconds)
        share = (time.process_time() - cpu) / (time.perf_counter() - began)
    return {"status": median(times) or 0.0, "cpu": share}


def measure(quick: bool, command: str) -> Report:
    """All trials, and what follows from them."""
    numbers = NUM_ACTORS[:2] if quick else NUM_ACTORS
    seconds, repeats = (1.0, 1) if quick else (10.0, 3)
    report = Report(
        benchmark="scaling",
        title="More actors on one machine",
        command=command,
        machine=describe_machine(
            ("jax", "numpy"), {"Ray": (RAY, ("ray", "jax", "numpy"))}
        ),
        notes=[
            "DQN on Catch, each step of which waits 5 ms; an actor has one "
            "environment. The learner makes some "
            f"{UPDATES_PER_SECOND:g} updates/s, however many actors there are.",
            f"`hosts`: {NUM_HOSTS} hosts that are this machine; processes of different "
            "hosts speak TLS where they would between machines, and share memory here. "
            "`ray`: a Ray of the run's own.",
            "Efficiency: environment steps/s over those of one actor, over the number "
            "of actors, round by round.",
        ],
    )
    trials = interleave(
        {
            f"{launcher}, {num} actors": partial(
                run_trial,
                "benchmarks.scaling:rate",
                {"launcher": launcher, "num_actors": num, "seconds": seconds},
                python=python,
            )
            for launcher, python in PYTHONS.items()
            for num in numbers
        },
        repeats,
    )
    for launcher in PYTHONS:
        found = {num: trials[f"{launcher}, {num} actors"] for num in numbers}
        rates = {
            num: [trial["env_steps_per_second"] for trial in made]
            for num, made in found.items()
        }
        report.add_table(
            f"Environment steps, {launcher}",
            "steps/s",
            {f"{num} actors": made for num, made in rates.items()},
        )
        efficiencies = {
            f"{num} actors": [
                many / one / num for many, one in zip(made, rates[1], strict=True)
            ]
            for num, made in rates.items()
        }
        medians = report.add_table(f"Efficiency, {launcher}", "x", efficiencies)
        for name, value in medians.items():
            if name != "1 actors":  # It is compared with itself.
                report.add_bar(f"{launcher}, {name}", value, ">=", EFFICIENCY_BAR)
        most = [trial["first_update"] for trial in found[numbers[-1]]]
        report.add_table(
            f"From launch to the first parameters, {launcher}",
            "s",
            {f"{numbers[-1]} actors": most},
        )
    number = 20 if quick else NUM_IDLE
    trial = run_trial(
        "benchmarks.scaling:idle", {"num_nodes": number, "seconds": seconds}
    )
    name = f"{number} idle nodes"
    report.add_table("A status", "s", {name: [trial["status"]]})
    report.add_table("The launcher", "cores", {name: [trial["cpu"]]})
    report.add_bar(f"seconds of a status of {name}", trial["status"], "<", STATUS_BAR)
    report.add_bar(f"cores of the launcher of {name}", trial["cpu"], "<", CPU_BAR)
    report.details.update(trials)
    return report


if __name__ == "__main__":
    run_benchmark("scaling", __doc__ or "", measure)
