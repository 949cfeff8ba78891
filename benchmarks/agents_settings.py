"""The settings of acmelike's programs: as trials change them, and as peers get them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from acmelike.experiments.program import find_program


def make_config(program: str, **flags: Any) -> Any:
    """The flags of a program.

    Args:
      program: its name.
      flags: other than their defaults, as JSON has them; under "agent" those of it.
    """
    return _replaced(find_program(program).config, flags)


def _replaced(config: Any, flags: dict[str, Any]) -> Any:
    """A config with other values, groups of settings by their names."""
    settings = {}
    for name, value in flags.items():
        if isinstance(value, dict):
            value = _replaced(getattr(config, name), value)
        # JSON has no tuples.
        settings[name] = tuple(value) if isinstance(value, list) else value
    return replace(config, **settings)


def decay_of_learning_rate(program: str, **flags: Any) -> dict[str, float]:
    """How a program's learning rate falls, for peers to do the same.

    Returns:
      "start", "end", and the environment steps from one to the other in a straight
      line, "env_steps": peers count these, not updates.
    """
    config = make_config(program, **flags)
    builder = find_program(program).make_builder(config)
    steps_of_batch = builder.batch_size * builder.unroll_length
    num_batches = config.agent.optimizer.decay_updates / builder.num_updates_per_call
    start = config.agent.optimizer.learning_rate
    return {
        "start": start,
        "end": start * config.agent.optimizer.final_fraction,
        "env_steps": num_batches * steps_of_batch,
    }
