"""Training from Python, in one call."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from acmelike.errors import ConfigError, nearest
from acmelike.experiments.config import parse_kwargs
from acmelike.experiments.hosts import make_hosts_config, make_ray_config
from acmelike.experiments.process import (
    ended_by_signals,
    interrupts_kept,
    prepare_process,
)
from acmelike.experiments.program import TrainingProgram, find_program
from acmelike.experiments.recorded_run import RecordedRun
from acmelike.experiments.run_folder import create_run_folder
from acmelike.files import read_json_lines

if TYPE_CHECKING:
    from acmelike.evaluation.saved_policy import SavedPolicy
    from acmelike.types import Array


# Held while a run is trained.
_training = threading.Lock()


class TrainedRun:
    """The results of a training run: its folder, and what is in it.

    Attributes:
      folder: of the run.
      summary: the content of its `summary.json`.
    """

    def __init__(self, folder: Path, summary: Mapping[str, Any]):
        self.folder, self.summary = folder, summary

    @functools.cached_property
    def policy(self) -> SavedPolicy:
        """The policy of the last evaluation, which acts greedily."""
        from acmelike.evaluation.saved_policy import load_policy

        return load_policy(self.folder)

    @functools.cached_property
    def best_policy(self) -> SavedPolicy:
        """The best policy, if the run was made with `keep_best=True`."""
        from acmelike.evaluation.saved_policy import load_policy

        return load_policy(self.folder, best=True)

    @functools.cached_property
    def curves(self) -> dict[str, Array]:
        """The evaluations, in order: arrays `[E]` by name.

        The names are those of the records in `metrics.jsonl`, such as "env_steps",
        "mean_return", "std_return" and "seconds".
        """
        return _columns(self._records("evaluation", "end"))

    @functools.cached_property
    def metrics(self) -> dict[str, Array]:
        """The counters and the learner's metrics, in order: arrays `[P]` by name.

        The names are those of the records in `metrics.jsonl`, such as "env_steps",
        "learner_steps", "loss" and "seconds". A value that a record lacks is NaN.
        """
        return _columns(self._records("progress"))

    def __repr__(self) -> str:
        found, steps = self.summary["final_return"], self.summary["env_steps"]
        end = "" if found is None else f"return {found:g} "
        return f"<TrainedRun: {end}after {steps:,} environment steps, in {self.folder}>"

    def _records(self, *events: str) -> list[dict[str, Any]]:
        lines = read_json_lines(self.folder / "metrics.jsonl")
        return [line for line in lines if line["event"] in events]


def train(
    program: str | TrainingProgram[Any],
    environment: str | Callable[..., Any] | None = None,
    **settings: Any,
) -> TrainedRun:
    """Trains an agent, shows its progress, and returns the results.

        run = al.train("ppo", "CartPole-v1", max_env_steps=100_000, num_actors=2)
        run.policy.act(observation)

    Ctrl-C ends the run cleanly and raises KeyboardInterrupt; so do SIGTERM and SIGHUP
    in the main thread, if they have no other handlers. A node may hang when the run
    ends: under `serial` or `threads`, the processes that were started during the run
    then get SIGTERM, except those in a session of their own. As on the command line,
    BLAS and XLA's matrix products get one thread, if they are not imported yet.

    Args:
      program: its name, as `acmelike programs` lists them, or a program of your own.
      environment: a name; or a class or a function that makes environments of Gymnasium
        or dm_env. See `make_environment_factory`. None for the program's own.
      settings: any flag of `acmelike train PROGRAM`, and any setting of the agent, by
        name: `seed=1`, `launch="processes"`, `hidden_sizes=(64, 64)`. A dict
        changes some settings of a group and keeps the others:
        `optimizer={"learning_rate": 3e-4}`.

    Raises:
      ConfigError: there is no such program, environment or setting, they do not fit
        together, or this process is training another run. Nothing has been started.
      RunError: the run failed; its folder has all that is known.
    """
    prepare_process()
    if isinstance(program, str):
        program = find_program(program)
    config = _with_settings(program.config, settings)
    if config.draw is not None:
        raise ConfigError("draw is for the command line: use program.draw() instead")
    make = None
    if environment is not None:
        from acmelike.environments.registry import name_of

        make = None if isinstance(environment, str) else environment
        config = dataclasses.replace(config, environment=name_of(environment))
    hosts, ray = make_hosts_config(config), make_ray_config(config)
    if hosts is not None and hosts.rank > 0:
        raise ConfigError(f"the host of rank {hosts.rank} has to call join_run instead")
    with _alone(), ended_by_signals(), interrupts_kept():
        folder = create_run_folder(config.out, program.name)
        run = RecordedRun(
            program, config, folder, hosts=hosts, ray=ray, environment=make
        )
        run.run()
    return TrainedRun(folder.root, run.summary)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Refuses a run while another one is trained in this process.

    Raises:
      ConfigError: another run is trained.
    """
    if not _training.acquire(blocking=False):
        raise ConfigError(
            "al.train is at work in this process already, and both runs would share "
            "the log, the terminal and the global generators: train one after the "
            "other, or in a process each"
        )
    try:
        yield
    finally:
        _training.release()


def _with_settings(config: Any, settings: Mapping[str, Any]) -> Any:
    """Flags with other values; those of the agent may be given among them."""
    agent = config.agent
    own: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in settings.items():
        (own if name in _names(config) else others)[name] = value
    unknown = [name for name in others if name not in _names(agent)]
    if unknown:
        known = nearest(unknown[0], [*_names(config), *_names(agent)])
        raise ConfigError(f"unknown setting '{unknown[0]}'{known}")
    if others and "agent" in own:
        raise ConfigError(f"give agent or its settings, not both: {', '.join(others)}")
    if others:
        own["agent"] = others
    return _changed(config, own)


def _changed(config: Any, values: Mapping[str, Any]) -> Any:
    """A dataclass with other values; a mapping changes a part of a nested one."""
    changes = {}
    for name, value in values.items():
        if name not in _names(config):
            known = nearest(name, _names(config))
            raise ConfigError(f"unknown setting '{name}'{known}")
        present = getattr(config, name)
        if name == "environment_kwargs" and isinstance(value, Mapping):
            value = _as_texts(value)
        elif dataclasses.is_dataclass(present) and isinstance(value, Mapping):
            value = _changed(present, value)
        elif (
            name != "network"  # A flax module is a dataclass, too.
            and dataclasses.is_dataclass(present)
            and not dataclasses.is_dataclass(value)
            and not (value is None and _may_be_none(config, name))
        ):
            raise ConfigError(
                f"{name} has settings of its own ({', '.join(_names(present))}): give "
                f"a dict of some of them, not {value!r}"
            )
        elif isinstance(present, tuple) and isinstance(value, str):
            value = (value,)
        elif isinstance(present, tuple) and isinstance(value, list):
            value = tuple(value)
        changes[name] = value
    return dataclasses.replace(config, **changes)


def _may_be_none(config: Any, name: str) -> bool:
    return type(None) in get_args(get_type_hints(type(config))[name])


def _as_texts(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Arguments of an environment as the command line has them."""
    texts = tuple(f"{name}={value!r}" for name, value in arguments.items())
    # Compared as texts, because arrays compared with `==` give no single truth value.
    if repr(parse_kwargs(texts)) != repr(dict(arguments)):
        raise ConfigError(
            "environment_kwargs takes numbers, texts, lists and the like; for other "
            "arguments pass a function that makes the environment"
        )
    return texts


def _names(config: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(config)]


def _columns(records: list[dict[str, Any]]) -> dict[str, Array]:
    """The numbers of records, by name; nested ones are moved to the top level."""
    import numpy as np

    from acmelike.telemetry.loggers import numbers_of

    rows = [numbers_of(record) for record in records]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
