"""Carries out one training run: launches, watches, summarises and draws it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from acmelike.errors import ConfigError, RpcError, first_line
from acmelike.experiments.global_generators import seeded_global_generators
from acmelike.experiments.process import descendants, end_processes
from acmelike.experiments.program import TrainingProgram
from acmelike.experiments.run_folder import RunFolder
from acmelike.files import overwrite_json, to_json, write_json
from acmelike.telemetry.figures import return_text
from acmelike.telemetry.logs import logging_to
from acmelike.telemetry.summary import read_records, summarize

# Modules that import NumPy or JAX are imported only when a run starts. So `--help` and
# mistakes are answered at once, a Ctrl-C during the imports finds the run's folder in
# place, and NumPy starts as few threads as `prepare_process` says.
if TYPE_CHECKING:
    from acmelike.launchers import HostsConfig, RayConfig, Run
    from acmelike.topologies.system import System

logger = logging.getLogger("acmelike")

# How long nodes may take to end: less than half of what a Ctrl-C may take.
GRACE_SECONDS = 2.0
_COUNT_SECONDS = 0.5  # How long an interrupted run may take to say how far it was.
_MAX_POINTS = 10_000  # Of a picture, which has far fewer pixels.
_SLOW_SECONDS = 5.0  # Preparations that take longer get a line of their own.


class RecordedRun:
    """One run and its folder; the summary in it is right however the run ends.

    Args:
      program: what to run.
      config: its flags.
      folder: of the run, made and empty.
      hosts: for the launcher `hosts`.
      ray: for the launcher `ray`.
      environment: makes environments; None for those that the flags name.

    Attributes:
      folder: as given.
      summary: as last written.
      see: names the log to read after a failure, and a summary that was not written.
    """

    def __init__(
        self,
        program: TrainingProgram[Any],
        config: Any,
        folder: RunFolder,
        *,
        hosts: HostsConfig | None,
        ray: RayConfig | None,
        environment: Callable[..., Any] | None = None,
    ):
        self.folder, self.summary = folder, dict[str, Any]()
        self.see = f"see {folder.path / 'logs' / folder.log.name}"
        self._program, self._config = program, config
        self._hosts, self._ray = hosts, ray
        self._environment = environment
        self._started = time.perf_counter()
        self._agent = program.name  # Until the system is made, which has its name.
        self._run: Run | None = None
        # How far an interrupted run had come.
        self._counts: dict[str, int] = {}

    def run(self) -> None:
        """Carries out the run, until its end.

        Raises:
          ConfigError: the flags do not allow the run; its folder is removed again.
          KeyboardInterrupt: it was interrupted, and has ended cleanly.
          Exception: any other error that ended the run.
        """
        try:
            try:
                self._write_first_summary()
                with logging_to(self.folder.log), self._generators():
                    self._train()
            except ConfigError:
                self.folder.discard()
                raise
            except Exception as error:
                self._sum_up_failure(error)
                raise
        except KeyboardInterrupt:
            # A completed run stays complete, even if its last line was interrupted.
            if self.summary.get("status") != "completed":
                with suppress(OSError):  # The first summary says "interrupted" already.
                    self._summarize("interrupted")
            raise

    def extent(self) -> str:
        """How long the run was, in words."""
        summary = self.summary
        return (
            f"{summary['env_steps']:,} environment steps, "
            f"{summary['learner_steps']:,} updates, {summary['wall_seconds']:.1f} s"
        )

    def _write_first_summary(self) -> None:
        try:
            # If the process is killed, this is what the summary says.
            self._summarize("interrupted")
        except OSError as error:
            raise self.folder.refusal(error) from None

    def _generators(self) -> AbstractContextManager[None]:
        """Seeds the global generators under `serial`, where runs are to repeat."""
        if self._config.launch == "serial":
            return seeded_global_generators(self._config.seed)
        return nullcontext()

    @contextmanager
    def _leftovers_ended(self) -> Iterator[None]:
        """Ends the processes that nodes have started, if a step hangs.

        A node that hangs closes nothing itself. Nodes with processes of their own are
        killed with all that they have started. Processes from before the block stay.
        """
        before = set(descendants())
        try:
            yield
        finally:
            from acmelike.environments.wrappers.step_timeout import (
                has_hanging_environment,
            )

            has_ended = self._run is not None and self._run.nodes_have_ended
            hangs = not has_ended or has_hanging_environment()
            if self._config.launch in ("serial", "threads") and hangs:
                left = [pid for pid in descendants() if pid not in before]
                if left:
                    logger.info("processes that nodes have left are ended: %s", left)
                end_processes(left)

    def _train(self) -> None:
        config, folder = self._config, self.folder
        from acmelike.experiments.build import make_system
        from acmelike.experiments.follow import ActorFollower
        from acmelike.experiments.watch import say, watch_training
        from acmelike.launchers import check_launcher, launch
        from acmelike.learners.functions import find_device
        from acmelike.replay.service.replay import check_memory
        from acmelike.telemetry.loggers import (
            RecordForwarder,
            check_loggers,
            make_loggers,
        )

        check_launcher(config.launch)
        if config.launch in ("serial", "threads"):
            config.check_fixed(f"under {config.launch}")
            find_device(config.learner_device)  # Elsewhere the learner does.
        check_loggers(config.log)
        slow = f"making {config.environment} to check it and to read its specs"
        with _said_if_slow(slow):
            system = make_system(self._program, config, folder, self._environment)
        if config.launch in ("serial", "threads", "processes"):
            # Elsewhere replay may have a machine with more memory; it checks this too.
            replay = system.program.entry(system.replay).node.arguments()
            check_memory(replay["tables"], replay["may_exceed_memory"])
        self._agent = system.program.name
        settings = _as_record(config)
        write_json(folder.config, settings)
        say(
            f"{self._agent} on {config.environment}, launched by {config.launch}, "
            f"seed {config.seed}; the run is recorded in {folder.path}"
        )
        loggers = make_loggers(config.log, folder.root, settings)
        # The run is recorded as complete before loggers end, as they may upload.
        with self._leftovers_ended(), RecordForwarder(folder.metrics, loggers):
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
                try:
                    reason = watch_training(
                        self._run,
                        system,
                        config=config,
                        metrics=folder.metrics,
                        started=self._started,
                    )
                except KeyboardInterrupt:
                    self._count(self._run, system)
                    raise
            self._summarize("interrupted")  # In case the plot is interrupted.
            try:
                self._plot()
            except Exception as error:  # Such as a full disk; all else is written.
                logger.warning("the run has no pictures: %s", first_line(error))
            summary = self._summarize("completed", end_reason=reason)
            say(f"{reason}: {self._result(summary)} {self.extent()}; see {folder.path}")

    def _count(self, run: Run, system: System) -> None:
        """Counts the steps of an interrupted run; its last record is older."""
        from acmelike.core import deadline

        with suppress(RpcError), deadline(_COUNT_SECONDS):
            env_steps = run.client(system.replay).num_env_steps()
            learner_steps = run.client(system.learner).progress().num_updates
            self._counts = {"env_steps": env_steps, "learner_steps": learner_steps}

    def _result(self, summary: Mapping[str, Any]) -> str:
        """The final return, and which policy had it; the extent of the run follows."""
        if summary["final_return"] is None:
            return "no final evaluation after"  # Another node stopped the run.
        found = (
            f"return {return_text(summary['final_return'])} over "
            f"{self._config.num_eval_episodes} episodes"
        )
        num_updates = summary["final_learner_steps"]
        if num_updates == summary["learner_steps"]:
            return f"{found} after"
        return f"{found} with the policy of {num_updates:,} updates; in all"

    def _sum_up_failure(self, error: Exception) -> None:
        try:
            self._summarize("failed", error=first_line(error))
        except OSError as unwritten:
            self.see += f"; its summary could not be written: {unwritten.strerror}"

    def _summarize(self, status: str, **more: Any) -> dict[str, Any]:
        config, nodes = self._config, self._run.status() if self._run else {}
        lines: list[dict[str, Any]] = []
        with suppress(OSError, ValueError):  # The records may be what failed.
            lines = read_records(self.folder.metrics, max_counters=1)
        summary = {
            "status": status,
            "end_reason": None,  # `more` has it if the run was completed.
            "agent": self._agent,
            "environment": config.environment,
            "launcher": config.launch,
            "seed": config.seed,
            "wall_seconds": time.perf_counter() - self._started,
            **summarize(lines, nodes),
            **self._counts,
            **more,
        }
        try:
            write_json(self.folder.summary, summary)
        except OSError:
            if not self.folder.summary.exists():
                self.summary = summary
                raise
            overwrite_json(self.folder.summary, summary)
        self.summary = summary
        return summary

    def _plot(self) -> None:
        from acmelike.telemetry.plots import plot_curve, plot_metrics

        config, summary = self._config, self.summary
        records = read_records(self.folder.metrics, max_counters=_MAX_POINTS)
        title = f"{self._agent} on {config.environment}"
        subtitle = (
            f"{config.launch}, seed {config.seed}; {summary['env_steps']:,} steps "
            f"(budget {config.max_env_steps:,}) in {summary['wall_seconds']:.0f} s"
        )
        if any("mean_return" in record for record in records):
            plot_curve(
                records,
                self.folder.curve,
                title=title,
                subtitle=subtitle,
                target=config.stop_at_return,
            )
        metrics = self.folder.curve.with_name("metrics.png")
        plot_metrics(records, metrics, title=title, subtitle=subtitle)


def _as_record(settings: Any) -> Any:
    """Settings as `to_json` takes them; values that it does not take become text."""
    # A flax module is a dataclass too, and has more fields than its own.
    if (
        is_dataclass(settings)
        and not isinstance(settings, type)
        and not hasattr(settings, "apply")
    ):
        return {
            field.name: _as_record(getattr(settings, field.name))
            for field in fields(settings)
        }
    if isinstance(settings, Mapping):
        return {str(name): _as_record(value) for name, value in settings.items()}
    if isinstance(settings, tuple | list):
        return [_as_record(value) for value in settings]
    name = getattr(settings, "__qualname__", None)
    if name is not None:  # A class or a function.
        return f"{settings.__module__}:{name}"
    try:
        to_json(settings)
    except TypeError:
        return " ".join(repr(settings).split())
    return settings


@contextmanager
def _said_if_slow(line: str) -> Iterator[None]:
    """Says a line if the block takes long."""
    from acmelike.experiments.watch import say

    timer = threading.Timer(_SLOW_SECONDS, say, [line])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
