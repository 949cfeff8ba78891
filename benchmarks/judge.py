"""How a policy is judged: the same twenty greedy episodes whoever trained it.

Needs NumPy and gymnasium only, as peers are judged by it too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np

NUM_EPISODES = 20


def mean_returns(
    environment: str,
    policies: Sequence[Callable[[np.ndarray], np.ndarray]],
    *,
    seed: int,
) -> list[float]:
    """The mean return of each policy over fresh episodes, played side by side.

    Args:
      environment: its id in gymnasium's registry.
      policies: each gives actions `[20]` for observations `[20, ...]`.
      seed: of the episodes; no two policies of one call meet the same ones.
    """
    envs = [gymnasium.make(environment) for _ in range(NUM_EPISODES)]
    means = []
    for number, act in enumerate(policies):
        seeds = np.random.SeedSequence([seed, number]).generate_state(NUM_EPISODES)
        means.append(float(np.mean(_returns(envs, act, seeds))))
    for env in envs:
        env.close()
    return means


def _returns(
    envs: Sequence[Any], act: Callable[[np.ndarray], np.ndarray], seeds: np.ndarray
) -> np.ndarray:
    """The undiscounted return `[20]` of one episode in every environment."""
    resets = [env.reset(seed=int(seed)) for env, seed in zip(envs, seeds, strict=True)]
    observations = np.stack([observation for observation, _ in resets])
    returns, playing = np.zeros(len(envs)), set(range(len(envs)))
    while playing:
        actions = np.asarray(act(observations))
        for k in sorted(playing):
            observations[k], reward, terminated, truncated, _ = envs[k].step(actions[k])
            returns[k] += reward
            if terminated or truncated:
                playing.remove(k)
    return returns
