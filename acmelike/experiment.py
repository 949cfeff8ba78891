"""From a command line to a finished run: the shell around every program."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from acmelike.cli import complain, parse
from acmelike.errors import ConfigError, RunTimeout
from acmelike.metrics import NodeStatus
from acmelike.run_folder import RunFolder, read_json_lines, write_json

# JAX and what needs it is imported only when a run begins: `--help` and mistakes are
# answered at once, and a Ctrl-C during the imports finds the run's folder in place.
if TYPE_CHECKING:
    from acmelike.agent import Builder
    from acmelike.launchers import Run
    from acmelike.topologies import ActorLearner

PROGRESS_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """What every experiment can be told.

    Attributes:
      environment: "Catch" or the id of a gymnasium environment.
      launch: "serial" (one node at a time, reproducible) or "threads".
      num_actors: actor nodes.
      num_envs_per_actor: environments that each actor steps as one vector.
      seed: of everything random in the run.
      max_env_steps: the budget in environment steps.
      stop_at_return: end when two evaluations in a row reach this mean return.
      evaluate_every: environment steps between evaluations.
      num_eval_episodes: episodes of an evaluation.
      out: the run's folder; runs/<agent>-<time> if not given.
    """

    environment: str = "CartPole-v1"
    launch: str = "threads"
    num_actors: int = 2
    num_envs_per_actor: int = 4
    seed: int = 0
    max_env_steps: int = 100_000
    stop_at_return: float | None = None
    evaluate_every: int = 1_000
    num_eval_episodes: int = 20
    out: str | None = None

    def __post_init__(self) -> None:
        for name in (
            "num_actors",
            "num_envs_per_actor",
            "max_env_steps",
            "evaluate_every",
            "num_eval_episodes",
        ):
            if getattr(self, name) < 1:
                flag = "--" + name.replace("_", "-")
                raise ConfigError(f"{flag} must be at least 1: {getattr(self, name)}")
        if self.seed < 0:
            raise ConfigError(f"--seed must not be negative: {self.seed}")


C = TypeVar("C", bound=ExperimentConfig)


def run_program(
    config_class: type[C],
    make_builder: Callable[[C], Builder],
    *,
    name: str,
    description: str,
) -> NoReturn:
    """The `__main__` of a program: runs it and exits the process with its status."""
    # Whoever ends the process politely gets a summary, as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    status = main(config_class, make_builder, name=name, description=description)
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: a node that is still in a long step must not hold the process up.
    os._exit(status)


def main(
    config_class: type[C],
    make_builder: Callable[[C], Builder],
    *,
    name: str,
    description: str,
    args: Sequence[str] | None = None,
) -> int:
    """Parses a command line and makes the run that it asks for.

    Args:
      config_class: its flags.
      make_builder: makes the agent.
      name: of the program.
      description: for `--help`.
      args: the command line; the process's own if None.

    Returns:
      The exit status: 0 the budget was used or the target reached, 1 a node failed,
      2 a mistake of the user, 130 interrupted.
    """
    try:
        config = parse(
            config_class,
            sys.argv[1:] if args is None else args,
            prog=f"python -m programs.{name}",
            description=description,
        )
        stamp = time.strftime("%Y%m%d-%H%M%S")
        folder = RunFolder(config.out or f"runs/{name}-{stamp}")
        folder.create()
    except ConfigError as error:
        return complain(error)
    except SystemExit:
        return 0
    except KeyboardInterrupt:
        return 130
    return _Experiment(config, folder, make_builder).run()


class _Experiment:
    """One run with a folder, whose summary is right however it ends."""

    def __init__(
        self, config: Any, folder: RunFolder, make_builder: Callable[..., Any]
    ):
        self._config, self._folder, self._make_builder = config, folder, make_builder
        self._started = time.perf_counter()
        self._agent: str | None = None
        self._run: Run | None = None
        self._status: Mapping[str, NodeStatus] = {}

    def run(self) -> int:
        try:
            # What it says if the process is killed before it can say anything else.
            self._summarize("interrupted")
            self._train()
            self._summarize("completed")
            return 0
        except ConfigError as error:
            self._folder.discard()
            return complain(error)
        except KeyboardInterrupt:
            self._end("interrupted", "interrupted")
            return 130
        except Exception as error:
            self._end("failed", str(error) or type(error).__name__)
            print(f"error: {error}", file=sys.stderr)
            return 1

    def _train(self) -> None:
        config, folder = self._config, self._folder
        from acmelike.launchers import check_launcher

        check_launcher(config.launch)
        # Small networks gain nothing from XLA's own threads, and the nodes lose cores.
        os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
        from acmelike.launchers import launch
        from acmelike.telemetry.logs import logging_to

        system = self._build()
        write_json(folder.config, asdict(config))
        with logging_to(folder.log):
            self._run = launch(system.program, config.launch)
            with self._run:
                reason = self._watch(self._run, system)
                self._status = self._run.status()
        summary = self._summarize("completed")
        self._plot()
        print(
            f"{reason}: return {summary['final_return']:.1f} over "
            f"{config.num_eval_episodes} episodes after {summary['env_steps']:,} "
            f"environment steps, {summary['wall_seconds']:.1f} s; see {folder.path}"
        )

    def _build(self) -> ActorLearner:
        config = self._config
        from acmelike.environments import make_environment_factory

        environment_factory = make_environment_factory(config.environment)
        builder = self._make_builder(config)
        self._agent = builder.name
        from acmelike.coordinator import Goal
        from acmelike.topologies import Layout, make_actor_learner

        return make_actor_learner(
            builder,
            environment_factory,
            Layout(
                num_actors=config.num_actors,
                num_envs_per_actor=config.num_envs_per_actor,
                num_eval_episodes=config.num_eval_episodes,
            ),
            Goal(
                max_env_steps=config.max_env_steps,
                stop_at_return=config.stop_at_return,
                evaluate_every=config.evaluate_every,
            ),
            seed=config.seed,
            metrics=str(self._folder.metrics),
        )

    def _watch(self, run: Run, system: ActorLearner) -> str:
        """Prints a line every few seconds until the run ends; returns why it did."""
        from acmelike.telemetry.progress_line import ProgressLine

        line, coordinator = ProgressLine(), run.client(system.coordinator)
        while True:
            try:
                return run.wait(timeout=PROGRESS_SECONDS)
            except RunTimeout:
                print(line.text(coordinator.progress(), run.status()), flush=True)

    def _end(self, status: str, why: str) -> None:
        """Ends a run that did not end well."""
        if self._run is not None:
            self._run.stop(why)
            self._status = self._run.status()
        self._summarize(status, error=why)

    def _summarize(self, status: str, **more: Any) -> dict[str, Any]:
        from acmelike.telemetry.summary import summarize

        config = self._config
        summary = {
            "status": status,
            "agent": self._agent,
            "environment": config.environment,
            "launcher": config.launch,
            "seed": config.seed,
            "wall_seconds": time.perf_counter() - self._started,
            **summarize(read_json_lines(self._folder.metrics), self._status),
            **more,
        }
        write_json(self._folder.summary, summary)
        return summary

    def _plot(self) -> None:
        from acmelike.telemetry.curve import plot_curve

        config = self._config
        plot_curve(
            read_json_lines(self._folder.metrics),
            self._folder.curve,
            title=f"{self._agent} on {config.environment}, seed {config.seed}",
            target=config.stop_at_return,
        )
