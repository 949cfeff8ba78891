"""The records of a run for other tools: CSV, TensorBoard, Weights & Biases.

`metrics.jsonl` has everything. The loggers read it, in the launcher's process.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from acmelike.checks import is_installed
from acmelike.errors import ConfigError, first_line, nearest
from acmelike.files import to_json, write_whole
from acmelike.telemetry.snapshot import RecordReader

PERIOD_SECONDS = 1.0
# How long loggers may take to write the rest of a run that was interrupted.
_SECONDS_OF_INTERRUPT = 1.0

logger = logging.getLogger("acmelike")

Record = Mapping[str, Any]


class Logger(Protocol):
    """Writes the records of a run somewhere else."""

    def write(self, record: Record) -> None:
        """Writes one record, as `metrics.jsonl` has it."""

    def close(self) -> None:
        """Writes what is left."""


# Numbers that only some records have, such as those after an episode has ended.
_AT_TIMES = {
    *("training_return", "training_length", "clipped_fraction", "num_dropped_episodes"),
} | {
    f"{what}_{which}"
    for what in ("staleness", "times_sampled")
    for which in ("p50", "p90", "max")
}


def numbers_of(record: Record) -> dict[str, float]:
    """All numbers of a record, by name; nested ones are moved to the top level.

    A number that the learner reports under a name that records have too is called
    "learner/NAME".
    """
    own, reported = _own_numbers(record), _reported_numbers(record)
    taken = own.keys() | _AT_TIMES
    return own | {_in_learner(n) if n in taken else n: v for n, v in reported.items()}


def _own_numbers(record: Record) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for name, value in record.items():
        if name not in ("metrics", "loss"):  # The loss is among the metrics, too.
            nested = value if isinstance(value, Mapping) else {name: value}
            numbers |= _numbers(nested)
    return numbers


def _reported_numbers(record: Record) -> dict[str, float]:
    return _numbers(record.get("metrics", {}))


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: x for name, x in values.items() if isinstance(x, int | float)}


def _in_learner(name: str) -> str:
    return name if "/" in name else f"learner/{name}"


def scalars_of(record: Record) -> dict[str, float]:
    """The numbers of a record except its environment steps, each with a group.

    Numbers of the learner are in "learner/", numbers that another node recorded in the
    group of its name, and all others in "training/" or "evaluation/".
    """
    group = "training" if record["event"] == "progress" else "evaluation"
    own, reported = _own_numbers(record), _reported_numbers(record)
    return {
        **{f"{group}/{name}": x for name, x in own.items() if name != "env_steps"},
        **{_in_learner(name): x for name, x in reported.items()},
    }


class CsvLogger:
    """Writes `training.csv` and `evaluation.csv`, with a line for each record.

    A name that first occurs in a later record, such as that of the first training
    return, gets a new column, which is empty in the lines before.

    Args:
      folder: of the run.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._columns: dict[str, list[str]] = {}

    def write(self, record: Record) -> None:
        name = "training" if record["event"] == "progress" else "evaluation"
        path, numbers = self._folder / f"{name}.csv", numbers_of(record)
        columns = self._columns.setdefault(name, [])
        new = [name for name in numbers if name not in columns]
        if new:
            rows: list[dict[str, Any]] = []
            if columns and path.exists():  # Otherwise the file is of another run.
                with path.open(newline="", encoding="utf-8") as file:
                    rows = list(csv.DictReader(file))
            columns += new
            write_whole(path, _as_csv(columns, [*rows, numbers], has_header=True))
        else:
            with path.open("a", newline="", encoding="utf-8") as file:
                file.write(_as_csv(columns, [numbers], has_header=False))

    def close(self) -> None:
        pass


def _as_csv(
    columns: list[str], rows: Iterable[Mapping[str, Any]], *, has_header: bool
) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    if has_header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class TensorBoardLogger:
    """Writes event files to `tensorboard/`, which `tensorboard --logdir` shows.

    Args:
      folder: of the run.
      config: its settings, shown as a text.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]):
        from tensorboardX import SummaryWriter

        self._started = time.time()
        self._writer = SummaryWriter(str(folder / "tensorboard"))
        text = to_json(config, indent=2)
        self._writer.add_text("config", f"```\n{text}\n```")

    def write(self, record: Record) -> None:
        # By the records' own clock, as several are written together.
        at = self._started + record["time"]["seconds"]
        for name, value in scalars_of(record).items():
            self._writer.add_scalar(name, value, record["env_steps"], at)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WandbLogger:
    """Sends records to Weights & Biases, or to `wandb/` if `WANDB_MODE` is "offline".

    The project is that of `WANDB_PROJECT`, or "acmelike".

    Args:
      folder: of the run; its name becomes the run's name there.
      config: its settings.

    Raises:
      ConfigError: nobody is logged in.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]):
        import wandb

        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "acmelike"),
                name=folder.name,
                dir=str(folder),
                config=json.loads(to_json(config)),
            )
        except Exception as error:  # Its own errors, and those of the network.
            raise ConfigError(
                f"wandb: {first_line(error)}; log in with 'wandb login', or set "
                "WANDB_MODE=offline"
            ) from error
        # Evaluations come later than the steps at which they were ordered.
        self._run.define_metric("env_steps")
        self._run.define_metric("*", step_metric="env_steps")

    def write(self, record: Record) -> None:
        self._run.log({**scalars_of(record), "env_steps": record["env_steps"]})

    def close(self) -> None:
        self._run.finish()


LOGGERS = ("csv", "tensorboard", "wandb")
# What else each needs: the module, and acmelike's extra that brings it.
_MODULES = {"tensorboard": "tensorboardX", "wandb": "wandb"}


def check_loggers(names: Iterable[str]) -> list[str]:
    """Checks and returns names of loggers; commas separate several in one text.

    Raises:
      ConfigError: there is no such logger, or its package is not installed.
    """
    wanted = [name for text in names for name in text.split(",") if name]
    for name in wanted:
        if name not in LOGGERS:
            raise ConfigError(
                f"log must be some of {', '.join(LOGGERS)}: "
                f"'{name}'{nearest(name, LOGGERS)}"
            )
        module = _MODULES.get(name)
        if module is not None and not is_installed(module):
            raise ConfigError(
                f"log needs {module} for {name}: pip install 'acmelike[{name}]'"
            )
    return list(dict.fromkeys(wanted))


def make_loggers(
    names: Iterable[str], folder: Path, config: Mapping[str, Any]
) -> dict[str, Logger]:
    """Makes loggers by their names.

    Raises:
      ConfigError: as `check_loggers` and `WandbLogger`.
    """
    made: dict[str, Logger] = {}
    try:
        for name in check_loggers(names):
            if name == "csv":
                made[name] = CsvLogger(folder)
            elif name == "tensorboard":
                made[name] = TensorBoardLogger(folder, config)
            else:
                made[name] = WandbLogger(folder, config)
    except BaseException:
        for logger_made in made.values():
            logger_made.close()
        raise
    return made


class RecordForwarder:
    """Passes the records of a run to loggers, in a thread, while its block runs.

    A logger that fails is named in the log once, and gets no more records. The run
    itself is not affected.

    Args:
      metrics: the file of the records.
      loggers: by name.
    """

    def __init__(self, metrics: Path, loggers: Mapping[str, Logger]):
        self._records, self._loggers = RecordReader(metrics), dict(loggers)
        self._is_over = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="record forwarder", daemon=True
        )

    def __enter__(self) -> None:
        if self._loggers:
            self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._is_over.set()
        if self._loggers:
            # After Ctrl-C there is no time for an upload, for example.
            is_interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
            self._thread.join(_SECONDS_OF_INTERRUPT if is_interrupted else None)

    def _run(self) -> None:
        while not self._is_over.wait(PERIOD_SECONDS):
            self._forward()
        self._forward()
        for name in list(self._loggers):
            self._try(name, self._loggers[name].close)

    def _forward(self) -> None:
        for record in self._records.read():
            for name in list(self._loggers):
                self._try(name, self._loggers[name].write, record)

    def _try(self, name: str, method: Any, *args: Any) -> None:
        try:
            method(*args)
        except Exception as error:
            del self._loggers[name]
            logger.warning("%s is not written any more: %r", name, error)
