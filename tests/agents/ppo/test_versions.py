"""In lock-step no batch of PPO has steps of two versions of the parameters."""

import json
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import pytest

from acmelike.agents.ppo import PPOBuilder, PPOConfig
from acmelike.environments import CatchFactory
from acmelike.evaluation.coordinator import Goal
from acmelike.launchers import launch
from acmelike.topologies import Layout, make_actor_learner, make_synchronous

CONFIG = PPOConfig(hidden_sizes=(4,), unroll_length=6, num_epochs=1, num_minibatches=1)


@dataclass(frozen=True, kw_only=True)
class SpreadAgent:
    """PPO's, whose loss is how many versions the steps of a batch are apart."""

    core: Any

    needs_jax = True

    def init(self, key):
        return self.core.init(key)

    def parameters(self, state):
        return self.core.parameters(state)

    def act(self, *inputs):
        return self.core.act(*inputs)

    def update(self, state, data, probabilities, key):
        state, outputs = self.core.update(state, data, probabilities, key)
        spread = jnp.max(data.version) - jnp.min(data.version)
        return state, outputs._replace(loss=spread.astype(jnp.float32))


@dataclass(frozen=True, kw_only=True)
class SpreadBuilder(PPOBuilder):
    def make_agent(self, spec):
        return SpreadAgent(core=super().make_agent(spec))


def spreads(folder, make_topology, launcher="serial", *, num_actors=2):
    """Those of all batches that were recorded, and the lag of all."""
    system = make_topology(
        SpreadBuilder(config=CONFIG, batch_size=4),
        CatchFactory(rows=4, columns=3),
        Layout(num_actors=num_actors, num_envs_per_actor=2, num_eval_episodes=2),
        Goal(max_env_steps=480, record_every=1),
        seed=0,
        metrics=str(folder / "metrics.jsonl"),
    )
    with launch(system.program, launcher) as running:
        running.wait(timeout=60)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    found = [r["loss"] for r in records if r.get("loss") is not None]
    return found, records[-2]["staleness_mean"]


@pytest.mark.parametrize("launcher", ["serial", "threads"])
def test_no_batch_is_of_two_versions(tmp_path, launcher):
    found, lag = spreads(tmp_path, make_synchronous, launcher)
    assert len(found) > (3 if launcher == "serial" else 0)
    assert set(found) == {0.0} and lag == 0


def test_without_lock_step_some_are(tmp_path):
    found, lag = spreads(tmp_path, make_actor_learner, num_actors=3)
    assert max(found) > 0 and lag > 0
