"""The engine of a replay node: our own tables, or those of Reverb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from acmelike.checks import is_installed
from acmelike.errors import ConfigError
from acmelike.replay.config import BUILT_IN, TableConfig
from acmelike.replay.storage.rows import SharedColumn
from acmelike.replay.tables.table import Table

if TYPE_CHECKING:
    from acmelike.replay.tables.reverb import ReverbTable

    AnyTable: TypeAlias = Table | ReverbTable
else:
    AnyTable = Table

Engine: TypeAlias = Literal["own", "reverb"]
ENGINES = ("own", "reverb")


def check_engine(
    engine: Engine, configs: Sequence[TableConfig], restore: str | None = None
) -> None:
    """Refuses, before anything starts, what an engine cannot do.

    Args:
      engine: its name.
      configs: of the tables.
      restore: a folder of checkpoints to restore, or None.

    Raises:
      ConfigError: the engine does not exist or is not installed, or it lacks something
        that a table or `restore` asks for.
    """
    if engine not in ENGINES:
        raise ConfigError(f"replay engine: expected one of {ENGINES}, got '{engine}'")
    if engine == "own":
        return
    if not is_installed("reverb"):
        raise ConfigError(
            "the replay engine 'reverb' needs dm-reverb; `make reverb-env` installs it "
            "into .venv-reverb"
        )
    if restore is not None:
        raise ConfigError("only the replay engine 'own' has checkpoints to restore")
    for config in configs:
        selectors = (config.sampler, config.remover)
        if not all(isinstance(selector, BUILT_IN) for selector in selectors):
            raise ConfigError(
                f"table '{config.name}': Reverb has its own selectors only"
            )
        if not config.replacement:
            raise ConfigError(
                f"table '{config.name}': Reverb samples with replacement only"
            )
        if config.max_bytes is not None:
            raise ConfigError(f"table '{config.name}': Reverb has no limit in bytes")


def make_tables(
    engine: Engine,
    configs: Sequence[TableConfig],
    shared: Mapping[str, SharedColumn],
    seed: int,
    *,
    reverb_timeout: float = 60.0,
) -> Mapping[str, AnyTable]:
    """The tables of a replay node, by name.

    Args:
      engine: "own", or "reverb" for a real `reverb.Server` in this process, which has
        its own random streams.
      configs: of the tables.
      shared: the shared columns, by name.
      seed: of the random streams.
      reverb_timeout: seconds that Reverb may take for a sample that its rate limiter
        allows.

    Raises:
      ConfigError: as from `check_engine`.
    """
    check_engine(engine, configs)
    if engine == "reverb":
        from acmelike.replay.tables.reverb import make_reverb_tables

        return make_reverb_tables(configs, shared, reverb_timeout)
    seeds = np.random.SeedSequence(seed).spawn(len(configs))
    return {
        config.name: Table(config, table_seed, shared)
        for config, table_seed in zip(configs, seeds, strict=True)
    }
