"""Training programs on the command line: parse the flags, run, leave a run folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from acmelike.errors import ConfigError
from acmelike.experiments.flags import parse
from acmelike.experiments.hosts import (
    make_hosts_config,
    make_ray_config,
    offer_host,
)
from acmelike.experiments.process import INTERRUPTED, complain, one_line, run_process
from acmelike.experiments.program import TrainingProgram
from acmelike.experiments.run_folder import RunFolder, create_run_folder
from acmelike.files import overwrite_json, read_json_lines, write_json
from acmelike.telemetry.logs import logging_to
from acmelike.telemetry.summary import summarize

# What imports NumPy or JAX is imported only when a run starts: `--help` and mistakes
# are answered at once, a Ctrl-C during the imports finds the run's folder in place, and
# NumPy starts as few threads as `run_process` says.
if TYPE_CHECKING:
    from acmelike.launchers import HostsConfig, RayConfig, Run

GRACE_SECONDS = 2.0  # How long nodes may take to end; half of what a Ctrl-C may take.


def run_program(program: TrainingProgram[Any]) -> NoReturn:
    """The `__main__` of a program: runs it and exits the process with its status."""
    run_process(partial(train, program))


def train(
    program: TrainingProgram[Any],
    args: Sequence[str] | None = None,
    *,
    prog: str | None = None,
) -> int:
    """Parses a command line and makes the run that it asks for.

    Args:
      program: what to run.
      args: the command line; the process's own if None.
      prog: the command, for `--help`; None for `acmelike train NAME`.

    Returns:
      The exit status: 0 the budget was used or the target reached, 1 a node failed,
      2 a mistake of the user's, 130 interrupted.
    """
    try:
        config = parse(
            program.config_type,
            sys.argv[1:] if args is None else args,
            default=program.config,
            prog=prog or f"acmelike train {program.name}",
            description=program.description or "",
        )
        if config.draw is not None:
            from acmelike.experiments.draw import draw

            return draw(program, config, config.draw)
        hosts, ray = make_hosts_config(config), make_ray_config(config)
        if hosts is not None and hosts.rank > 0:
            return offer_host(hosts)
        folder = create_run_folder(config.out, program.name)
    except ConfigError as error:
        return complain(error)
    except SystemExit:
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    return _RecordedRun(program, config, folder, hosts, ray).run()


class _RecordedRun:
    """One run and its folder; the summary in it is right however the run ends."""

    def __init__(
        self,
        program: TrainingProgram[Any],
        config: Any,
        folder: RunFolder,
        hosts: HostsConfig | None,
        ray: RayConfig | None,
    ):
        self._program, self._config, self._folder = program, config, folder
        self._hosts, self._ray = hosts, ray
        self._started = time.perf_counter()
        self._agent = program.name  # Until the system is made, which has its name.
        self._run: Run | None = None

    def run(self) -> int:
        try:
            try:
                self._write_first_summary()
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

    def _write_first_summary(self) -> None:
        try:
            # If the process is killed, this is what the summary says.
            self._summarize("interrupted")
        except OSError as error:
            raise self._folder.refusal(error) from None

    def _train(self) -> None:
        config, folder = self._config, self._folder
        from acmelike.experiments.build import make_system
        from acmelike.experiments.follow import ActorFollower
        from acmelike.experiments.watch import say, watch
        from acmelike.launchers import check_launcher, launch

        check_launcher(config.launch)
        system = make_system(self._program, config, folder)
        self._agent = system.program.name
        write_json(folder.config, asdict(config))
        say(
            f"{self._agent} on {config.environment}, launched by {config.launch}, "
            f"seed {config.seed}; the run is recorded in {folder.path}"
        )
        self._run = launch(
            system.program,
            config.launch,
            hosts=self._hosts,
            ray=self._ray,
            grace_seconds=GRACE_SECONDS,
            logs=folder.log.parent,
        )
        with self._run:
            if config.num_places > config.num_actors:
                ActorFollower(self._run, config).start()
            reason = watch(
                self._run,
                system,
                config=config,
                metrics=folder.metrics,
                started=self._started,
            )
        self._plot(self._summarize("interrupted"))  # It is, if the plot is.
        summary = self._summarize("completed")
        found = "no final evaluation"  # Another node than the coordinator stopped it.
        if summary["final_return"] is not None:
            found = (
                f"return {summary['final_return']:.1f} over "
                f"{config.num_eval_episodes} episodes"
            )
        say(f"{reason}: {found} after {_extent(summary)}; see {folder.path}")

    def _fail(self, why: str) -> int:
        where = f"see {self._folder.log}"
        try:
            self._summarize("failed", error=why)
        except OSError as error:
            where += f"; its summary could not be written: {error.strerror}"
        print(f"error: {why}; {where}", file=sys.stderr)
        return 1

    def _interrupt(self) -> int:
        with suppress(OSError):  # The first summary says "interrupted" already.
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
        from acmelike.telemetry.plots import plot_curve, plot_metrics

        config = self._config
        records = read_json_lines(self._folder.metrics)
        title = f"{self._agent} on {config.environment}"
        subtitle = (
            f"{config.launch}, seed {config.seed}; {summary['env_steps']:,} steps "
            f"(budget {config.max_env_steps:,}) in {summary['wall_seconds']:.0f} s"
        )
        if any("mean_return" in record for record in records):
            plot_curve(
                records,
                self._folder.curve,
                title=title,
                subtitle=subtitle,
                target=config.stop_at_return,
            )
        metrics = self._folder.curve.with_name("metrics.png")
        plot_metrics(records, metrics, title=title, subtitle=subtitle)


def _extent(summary: Mapping[str, Any]) -> str:
    """How long a run was."""
    return (
        f"{summary['env_steps']:,} environment steps, "
        f"{summary['learner_steps']:,} updates, {summary['wall_seconds']:.1f} s"
    )
