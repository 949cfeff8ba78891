"""From a command line to a finished run: the shell around every program."""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from acmelike.errors import ConfigError, RpcClosed
from acmelike.experiments.cli import INTERRUPTED, complain, one_line, parse, run_process
from acmelike.experiments.config import ExperimentConfig
from acmelike.experiments.run_folder import RunFolder, create_run_folder
from acmelike.files import overwrite_json, read_json_lines, write_json, write_whole
from acmelike.telemetry.logs import logging_to
from acmelike.telemetry.plots import plot_curve, plot_metrics
from acmelike.telemetry.summary import summarize

# JAX and what needs it is imported only when a run begins: `--help` and mistakes are
# answered at once, and a Ctrl-C during the imports finds the run's folder in place.
if TYPE_CHECKING:
    from rich.console import Console

    from acmelike.agent import Builder
    from acmelike.launchers import Run
    from acmelike.topologies import System

logger = logging.getLogger("acmelike")
PROGRESS_SECONDS = 2.0
QUIET_SECONDS = 30.0
GRACE_SECONDS = 2.0  # For nodes to end in: half of what a Ctrl-C may take in all.


C = TypeVar("C", bound=ExperimentConfig)


def run_program(
    config_class: type[C],
    make_builder: Callable[[C], Builder],
    *,
    name: str,
    description: str,
) -> NoReturn:
    """The `__main__` of a program: runs it and exits the process with its status."""
    # Small networks gain nothing from threads of XLA and BLAS; the nodes lose cores.
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    run_process(
        partial(main, config_class, make_builder, name=name, description=description)
    )


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
        if config.draw is not None:
            return _draw(config, make_builder)
        folder = create_run_folder(config.out, name)
    except ConfigError as error:
        return complain(error)
    except SystemExit:
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    return _Experiment(config, folder, make_builder, name).run()


def _make_system(
    config: Any, make_builder: Callable[..., Any], folder: RunFolder
) -> System:
    from acmelike.environments import (
        FrameStackFactory,
        TimeLimitFactory,
        make_environment_factory,
    )

    environment_factory = make_environment_factory(config.environment)
    if config.max_episode_steps is not None:
        environment_factory = TimeLimitFactory(
            inner=environment_factory, num_steps=config.max_episode_steps
        )
    if config.frame_stack > 1:
        environment_factory = FrameStackFactory(
            inner=environment_factory, num_frames=config.frame_stack
        )
    builder = make_builder(config)
    from acmelike.evaluation.goal import Goal
    from acmelike.topologies import TOPOLOGIES, Layout

    return TOPOLOGIES[config.topology](
        builder,
        environment_factory,
        Layout(
            num_actors=config.num_actors,
            num_envs_per_actor=config.num_envs_per_actor,
            num_eval_episodes=config.num_eval_episodes,
            learner_cpus=config.learner_cpus,
            replay_engine=config.replay_engine,
            inference_batch_size=config.inference_batch_size,
            inference_wait_seconds=config.inference_wait_seconds,
        ),
        Goal(
            max_env_steps=config.max_env_steps,
            stop_at_return=config.stop_at_return,
            evaluate_every=config.evaluate_every,
        ),
        seed=config.seed,
        metrics=str(folder.metrics),
        policy=str(folder.policy),
    )


def _draw(config: Any, make_builder: Callable[..., Any]) -> int:
    """Draws the program that the configuration makes, and starts nothing."""
    path = Path(config.draw)
    try:
        program = _make_system(config, make_builder, RunFolder(".")).program
    except ConfigError:
        raise
    except Exception as error:  # Such as an environment's.
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    text = program.draw("svg" if config.draw.endswith(".svg") else "mermaid")
    if config.draw.endswith(".md"):
        text = f"```mermaid\n{text}```\n"
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"cannot write to {path}: it is no file")
        write_whole(path, text)
    except OSError as error:
        raise ConfigError(f"cannot write to {path}: {error.strerror}") from None
    print(f"drew {len(program.entries)} nodes into {path}")
    return 0


class _Experiment:
    """One run with a folder, whose summary is right however it ends."""

    def __init__(
        self,
        config: Any,
        folder: RunFolder,
        make_builder: Callable[..., Any],
        name: str,
    ):
        self._config, self._folder, self._make_builder = config, folder, make_builder
        self._started = time.perf_counter()
        self._agent = name  # Until the program says.
        self._run: Run | None = None

    def run(self) -> int:
        try:
            try:
                self._begin()
                with logging_to(self._folder.log):
                    self._train()
                return 0
            except ConfigError as error:
                self._folder.discard()
                return complain(error)
            except Exception as error:
                return self._fail(one_line(error))
        except KeyboardInterrupt:
            return self._interrupt()

    def _begin(self) -> None:
        try:
            # What it says if the process is killed before it can say anything else.
            self._summarize("interrupted")
        except OSError as error:
            raise self._folder.refusal(error) from None

    def _train(self) -> None:
        config, folder = self._config, self._folder
        from acmelike.launchers import check_launcher, launch

        check_launcher(config.launch)
        system = _make_system(config, self._make_builder, folder)
        self._agent = system.program.name
        write_json(folder.config, asdict(config))
        _say(
            f"{self._agent} on {config.environment}, launched by {config.launch}, "
            f"seed {config.seed}; the run is recorded in {folder.path}"
        )
        self._run = launch(
            system.program,
            config.launch,
            grace_seconds=GRACE_SECONDS,
            logs=folder.log.parent,
        )
        with self._run:
            reason = self._watch(self._run, system)
        self._plot(self._summarize("interrupted"))  # Unless the plot is made too.
        summary = self._summarize("completed")
        _say(
            f"{reason}: return {summary['final_return']:.1f} over "
            f"{config.num_eval_episodes} episodes after {_extent(summary)}; "
            f"see {folder.path}"
        )

    def _watch(self, run: Run, system: System) -> str:
        """Shows how it goes until the run ends; returns why it did."""
        from acmelike.telemetry.terminal.live_table import find_terminal

        console = find_terminal() if self._config.live else None
        if console is None:
            return self._watch_in_lines(run, system)
        return self._watch_live(run, system, console)

    def _watch_live(self, run: Run, system: System, console: Console) -> str:
        from acmelike.telemetry.snapshot import Probe
        from acmelike.telemetry.terminal.live_table import watch_live
        from acmelike.telemetry.terminal.live_view import Facts

        config, label = self._config, system.program.entry(system.replay).label
        facts = Facts(
            agent=self._agent,
            environment=config.environment,
            launcher=config.launch,
            seed=config.seed,
            max_env_steps=config.max_env_steps,
            target=config.stop_at_return,
            replay=label,
            started=self._started,
        )
        probe = Probe(run, system.replay, label, self._folder.metrics)
        return watch_live(run, probe, facts, console)

    def _watch_in_lines(self, run: Run, system: System) -> str:
        """Prints a line every few seconds; fewer while nothing moves."""
        from acmelike.telemetry.progress_line import ProgressLine
        from acmelike.telemetry.slow_steps import slow_steps
        from acmelike.telemetry.snapshot import has_started

        line, coordinator = ProgressLine(self._started), run.client(system.coordinator)
        before, said = None, -math.inf
        while not run.is_over(within=PROGRESS_SECONDS):
            with suppress(RpcClosed):  # It ended meanwhile, and `wait` says how.
                status = run.status()
                progress = None
                if has_started(status, "coordinator"):
                    progress = coordinator.progress()
                news = progress, bool(slow_steps(status))
                # Somebody may sit at a breakpoint and want to read what is there.
                if news != before or time.monotonic() - said >= QUIET_SECONDS:
                    _say(line.text(progress, status))
                    before, said = news, time.monotonic()
        return run.wait()

    def _fail(self, why: str) -> int:
        where = f"see {self._folder.log}"
        try:
            self._summarize("failed", error=why)
        except OSError as error:
            where += f"; its summary could not be written: {error.strerror}"
        print(f"error: {why}; {where}", file=sys.stderr)
        return 1

    def _interrupt(self) -> int:
        with suppress(OSError):  # The summary says so since the beginning.
            summary = self._summarize("interrupted")
            print(f"interrupted after {_extent(summary)}; see {self._folder.path}")
        return INTERRUPTED

    def _summarize(self, status: str, **more: Any) -> dict[str, Any]:
        config, nodes = self._config, self._run.status() if self._run else {}
        lines: list[dict[str, Any]] = []
        with suppress(OSError, ValueError):  # The records may be what failed.
            lines = read_json_lines(self._folder.metrics)
        summary = {
            "status": status,
            "agent": self._agent,
            "environment": config.environment,
            "launcher": config.launch,
            "seed": config.seed,
            "wall_seconds": time.perf_counter() - self._started,
            **summarize(lines, nodes),
            **more,
        }
        try:
            write_json(self._folder.summary, summary)
        except OSError:
            if not self._folder.summary.exists():
                raise
            overwrite_json(self._folder.summary, summary)
        return summary

    def _plot(self, summary: Mapping[str, Any]) -> None:
        config = self._config
        records = read_json_lines(self._folder.metrics)
        title = f"{self._agent} on {config.environment}"
        subtitle = (
            f"{config.launch}, seed {config.seed}; {summary['env_steps']:,} steps "
            f"(budget {config.max_env_steps:,}) in {summary['wall_seconds']:.0f} s"
        )
        plot_curve(
            records,
            self._folder.curve,
            title=title,
            subtitle=subtitle,
            target=config.stop_at_return,
        )
        metrics = self._folder.curve.with_name("metrics.png")
        plot_metrics(records, metrics, title=title, subtitle=subtitle)


def _say(line: str) -> None:
    """Tells the user, and the log."""
    print(line, flush=True)
    logger.info("%s", line.strip())


def _extent(summary: Mapping[str, Any]) -> str:
    """How long a run was."""
    return (
        f"{summary['env_steps']:,} environment steps, "
        f"{summary['learner_steps']:,} updates, {summary['wall_seconds']:.1f} s"
    )
