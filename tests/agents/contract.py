"""All agents that must pass the contract: small, each with an environment."""

from typing import NamedTuple

import dm_env
import numpy as np
from dm_env import specs

from acmelike.agent import Builder
from acmelike.agents.dqn import DQNBuilder, DQNConfig
from acmelike.agents.impala import ImpalaBuilder, ImpalaConfig
from acmelike.agents.ppo import PPOBuilder, PPOConfig
from acmelike.agents.r2d2 import R2D2Builder, R2D2Config
from acmelike.agents.sac import SACBuilder, SACConfig
from acmelike.agents.td3 import TD3Builder, TD3Config
from acmelike.environments import (
    CatchFactory,
    EnvironmentFactory,
    FrameStackFactory,
)
from acmelike.environments.wrappers.wrapper import EnvironmentWrapper
from acmelike.topologies.actor_learner import make_actor_learner, make_synchronous
from acmelike.topologies.central_inference import make_central_inference
from acmelike.topologies.system import Topology
from acmelike.types import MultiDiscreteArray
from tests.agents.settings import configure
from tests.reinforce.builder import ReinforceBuilder

NUM_ENVS = 4
NUM_ACTORS = 2
CATCH = CatchFactory(rows=5, columns=3)
# Of images, so that there is a convolution.
STACKS = FrameStackFactory(inner=CATCH, num_frames=2)
# Actions of either kind, for those who cannot choose them.
DISCRETE = specs.DiscreteArray(3)
CONTINUOUS = specs.BoundedArray((2,), np.float32, -1, 1)
UNBOUNDED = specs.Array((2,), np.float32)


class Point(dm_env.Environment):
    """A point on a line, that is to go to zero; each of 8 steps costs its distance.

    It begins between -1 and 1, and a step moves it by half the action. An episode costs
    4 in the mean if nothing is done, and 0.125 at the best.
    """

    def __init__(self, seed):
        self.random, self.place, self.num_steps = np.random.default_rng(seed), 0.0, 0

    def reset(self):
        self.place, self.num_steps = self.random.uniform(-1, 1), 0
        return dm_env.restart(self.observe())

    def step(self, action):
        self.place = float(np.clip(self.place + 0.5 * action[0], -2, 2))
        self.num_steps += 1
        ends = self.num_steps == 8
        make = dm_env.truncation if ends else dm_env.transition
        return make(-abs(self.place), self.observe())

    def observe(self):
        return np.array([self.place], np.float32)

    def observation_spec(self):
        return specs.Array((1,), np.float32)

    def action_spec(self):
        return specs.BoundedArray((1,), np.float32, -1, 1)


class Cells(dm_env.Environment):
    """A row of cells; the number of the one that it is in is all that is observed.

    The action that is the number modulo 3 moves on, and pays 1; others pay nothing.
    """

    def __init__(self, seed):
        self.random, self.cell, self.num_steps = np.random.default_rng(seed), 0, 0

    def reset(self):
        self.cell, self.num_steps = int(self.random.integers(6)), 0
        return dm_env.restart(np.int64(self.cell))

    def step(self, action):
        is_right = action == self.cell % 3
        self.cell, self.num_steps = (self.cell + int(is_right)) % 6, self.num_steps + 1
        make = dm_env.truncation if self.num_steps == 8 else dm_env.transition
        return make(float(is_right), np.int64(self.cell))

    def observation_spec(self):
        return specs.DiscreteArray(6, np.int64)

    def action_spec(self):
        return specs.DiscreteArray(3)


class Levers(dm_env.Environment):
    """Two levers, of which one has positions 0 to 2 and the other 5 and 6.

    A number from 0 to 2 is shown. The first lever is to be there, and the second one
    at 6 if it is 1; each that is right pays 1.
    """

    def __init__(self, seed):
        self.random, self.number, self.num_steps = np.random.default_rng(seed), 0, 0

    def reset(self):
        self.num_steps = 0
        return dm_env.restart(self._observe())

    def step(self, action):
        self.action_spec().validate(action)
        reward = float(action[0] == self.number)
        reward += float((action[1] == 6) == (self.number == 1))
        self.num_steps += 1
        make = dm_env.truncation if self.num_steps == 8 else dm_env.transition
        return make(reward, self._observe())

    def _observe(self):
        self.number = int(self.random.integers(3))
        return self.number

    def observation_spec(self):
        return specs.DiscreteArray(3)

    def action_spec(self):
        return MultiDiscreteArray((2,), np.int64, [0, 5], [2, 6])


class LockedLevers(Levers):
    """Levers some of whose positions are locked; to choose one of these is an error.

    At times both positions of the second lever are, and then either may be chosen.
    """

    def step(self, action):
        first, second = self.is_open[:3], self.is_open[3:]
        assert first[action[0]], f"{action} is locked"
        assert second[action[1] - 5] or not second.any(), f"{action} is locked"
        return super().step(action)

    def _observe(self):
        self.is_open = self.random.integers(2, size=5).astype(np.int8)
        self.is_open[self.random.integers(3)] = 1
        return {"number": super()._observe(), "action_mask": self.is_open}

    def observation_spec(self):
        mask = specs.BoundedArray((5,), np.int8, 0, 1)
        return {"number": super().observation_spec(), "action_mask": mask}


class ByteCatch(EnvironmentWrapper):
    """Catch in bytes, with a channel that comes first."""

    def __init__(self, seed):
        spec = specs.BoundedArray((1, 20, 15), np.uint8, 0, 255)
        super().__init__(CATCH(seed), spec)

    def observe(self, step):
        large = np.kron(step.observation, np.ones((4, 5)))
        return step._replace(observation=(255 * large[None]).astype(np.uint8))


class CatchOfParts(EnvironmentWrapper):
    """Catch as a nest: the board as an image, and what is in the last row."""

    def __init__(self, seed):
        board = specs.Array((5, 3, 1), np.float32)
        paddle = (specs.DiscreteArray(3), specs.BoundedArray((3,), np.uint8, 0, 1))
        super().__init__(CATCH(seed), {"board": board, "paddle": paddle})

    def observe(self, step):
        board = step.observation
        row = board[-1].astype(np.uint8)
        paddle = (np.argmax(row), row)
        return step._replace(observation={"board": board[..., None], "paddle": paddle})


class PointOfParts(EnvironmentWrapper):
    """The point as a nest: on which side it is, and how far away."""

    def __init__(self, seed):
        spec = {"side": specs.DiscreteArray(2), "far": specs.Array((1,), np.float32)}
        super().__init__(Point(seed), spec)

    def observe(self, step):
        side, far = int(step.observation[0] > 0), np.abs(step.observation)
        return step._replace(observation={"side": side, "far": far})


class Doors(dm_env.Environment):
    """Three doors, of which some are locked; to try one of these is an error.

    The open door with the highest number pays 1. Of the last observation of an episode
    all are locked.
    """

    def __init__(self, seed):
        self.random, self.num_steps, self.is_open = np.random.default_rng(seed), 0, None

    def reset(self):
        self.num_steps = 0
        return dm_env.restart(self._observe())

    def step(self, action):
        assert self.is_open[action], f"door {action} is locked"
        reward = float(action == np.flatnonzero(self.is_open)[-1])
        self.num_steps += 1
        if self.num_steps == 8:
            return dm_env.truncation(reward, self._observe() | {"action_mask": LOCKED})
        return dm_env.transition(reward, self._observe())

    def _observe(self):
        self.is_open = self.random.integers(2, size=3).astype(np.int8)
        self.is_open[self.random.integers(3)] = 1
        return {"number": self.num_steps, "action_mask": self.is_open}

    def observation_spec(self):
        mask = specs.BoundedArray((3,), np.int8, 0, 1)
        return {"number": specs.DiscreteArray(9), "action_mask": mask}

    def action_spec(self):
        return DISCRETE


LOCKED = np.zeros(3, np.int8)


# The frames of a nest, and frames beside masks.
STACKED_PARTS = FrameStackFactory(inner=CatchOfParts, num_frames=2)
STACKED_DOORS = FrameStackFactory(inner=Doors, num_frames=2)


def make_dqn(**settings):
    defaults = {
        "hidden_sizes": (4,),
        "batch_size": 4,
        "num_updates_per_call": 2,
        "min_size": 10,
        "samples_per_insert": 1.0,
    }
    return DQNBuilder(config=configure(DQNConfig, **(defaults | settings)))


def make_impala(**settings):
    defaults = {"hidden_sizes": (4,), "batch_size": 3, "unroll_length": 4}
    return ImpalaBuilder(config=configure(ImpalaConfig, **(defaults | settings)))


def make_ppo(**settings):
    defaults = {"hidden_sizes": (4,), "unroll_length": 8, "num_epochs": 2}
    config = configure(PPOConfig, **(defaults | settings))
    return PPOBuilder(config=config, batch_size=NUM_ACTORS * NUM_ENVS)


def make_r2d2(**settings):
    defaults = {
        "hidden_sizes": (4,),
        "lstm_size": 4,
        "sequence_length": 3,
        "overlap": 2,
        "burn_in": 1,
        "batch_size": 4,
        "num_updates_per_call": 2,
        "min_size": 10,
        "samples_per_insert": 1.0,
    }
    return R2D2Builder(config=configure(R2D2Config, **(defaults | settings)))


def make_sac(**settings):
    defaults = {
        "hidden_sizes": (4,),
        "batch_size": 4,
        "num_updates_per_call": 2,
        "min_size": 10,
        "samples_per_insert": 1.0,
    }
    return SACBuilder(config=configure(SACConfig, **(defaults | settings)))


def make_td3(**settings):
    defaults = {
        "hidden_sizes": (4,),
        "batch_size": 4,
        "num_updates_per_call": 2,
        "min_size": 10,
        "samples_per_insert": 1.0,
    }
    return TD3Builder(config=configure(TD3Config, **(defaults | settings)))


def make_reinforce(*, unroll_length=8):
    return ReinforceBuilder(
        batch_size=NUM_ACTORS * NUM_ENVS, unroll_length=unroll_length
    )


class Agent(NamedTuple):
    """A builder and where it is at home.

    Attributes:
      builder: of the agent.
      topology: that its runs are joined by.
      factory: makes environments that fit it.
      refused: actions that do not.
    """

    builder: Builder
    topology: Topology = make_actor_learner
    factory: EnvironmentFactory = CATCH
    refused: specs.Array = CONTINUOUS


AGENTS = {
    "dqn": Agent(make_dqn()),
    "ape-x dqn": Agent(make_dqn(actor_priorities=True, n_step=3)),
    "plain dqn": Agent(make_dqn(double=False, dueling=False, prioritized=False)),
    "impala": Agent(make_impala(), refused=UNBOUNDED),
    "impala with an lstm": Agent(
        make_impala(lstm_size=5), make_central_inference, refused=UNBOUNDED
    ),
    "ppo": Agent(make_ppo(), make_synchronous, refused=UNBOUNDED),
    "ppo that normalises": Agent(
        make_ppo(normalize_observations=True, normalize_rewards=True, clip_values=0.5),
        make_synchronous,
        refused=UNBOUNDED,
    ),
    "dqn that normalises": Agent(make_dqn(normalize_observations=True)),
    "r2d2 that normalises": Agent(make_r2d2(normalize_observations=True)),
    "impala that normalises": Agent(
        make_impala(lstm_size=5, normalize_observations=True),
        make_central_inference,
        refused=UNBOUNDED,
    ),
    "sac that normalises": Agent(
        make_sac(normalize_observations=True), factory=Point, refused=DISCRETE
    ),
    "continuous impala": Agent(make_impala(), factory=Point, refused=UNBOUNDED),
    "continuous ppo": Agent(
        make_ppo(), make_synchronous, factory=Point, refused=UNBOUNDED
    ),
    "r2d2": Agent(make_r2d2()),
    "plain r2d2": Agent(
        make_r2d2(dueling=False, rescale_values=False, burn_in=0, n_step=1),
        make_central_inference,
    ),
    "sac": Agent(make_sac(), factory=Point, refused=DISCRETE),
    "td3": Agent(make_td3(), factory=Point, refused=DISCRETE),
    "reinforce": Agent(make_reinforce(), make_synchronous),
    "dqn on stacks": Agent(make_dqn(actor_priorities=True, n_step=2), factory=STACKS),
    "impala on stacks": Agent(make_impala(), factory=STACKS, refused=UNBOUNDED),
    "ppo on stacks": Agent(
        make_ppo(normalize_observations=True), make_synchronous, STACKS, UNBOUNDED
    ),
    "r2d2 on stacks": Agent(make_r2d2(), factory=STACKS),
    "dqn on categories": Agent(make_dqn(), factory=Cells),
    "r2d2 on categories": Agent(make_r2d2(), factory=Cells),
    "ppo on categories": Agent(
        make_ppo(normalize_observations=True), make_synchronous, Cells, UNBOUNDED
    ),
    "dqn on bytes": Agent(make_dqn(), factory=ByteCatch),
    "impala on bytes": Agent(make_impala(), factory=ByteCatch, refused=UNBOUNDED),
    "ppo on bytes": Agent(
        make_ppo(normalize_observations=True), make_synchronous, ByteCatch, UNBOUNDED
    ),
    "dqn on parts": Agent(
        make_dqn(actor_priorities=True, n_step=2), factory=CatchOfParts
    ),
    "r2d2 on parts": Agent(make_r2d2(), factory=CatchOfParts),
    "impala with an lstm on parts": Agent(
        make_impala(lstm_size=5), make_central_inference, CatchOfParts, UNBOUNDED
    ),
    "ppo on parts": Agent(
        make_ppo(normalize_observations=True), make_synchronous, CatchOfParts, UNBOUNDED
    ),
    "dqn with masks": Agent(make_dqn(actor_priorities=True, n_step=2), factory=Doors),
    "r2d2 with masks": Agent(make_r2d2(), factory=Doors),
    "impala with masks": Agent(make_impala(), factory=Doors, refused=UNBOUNDED),
    "ppo with masks": Agent(
        make_ppo(normalize_observations=True), make_synchronous, Doors, UNBOUNDED
    ),
    "impala with levers": Agent(make_impala(), factory=Levers, refused=UNBOUNDED),
    "ppo with levers": Agent(
        make_ppo(), make_synchronous, factory=Levers, refused=UNBOUNDED
    ),
    "impala with locked levers": Agent(
        make_impala(), factory=LockedLevers, refused=UNBOUNDED
    ),
    "ppo with locked levers": Agent(
        make_ppo(normalize_observations=True), make_synchronous, LockedLevers, UNBOUNDED
    ),
    "dqn on stacks of parts": Agent(
        make_dqn(actor_priorities=True, n_step=2), factory=STACKED_PARTS
    ),
    "r2d2 on stacks of parts": Agent(make_r2d2(), factory=STACKED_PARTS),
    "impala with an lstm on stacks of parts": Agent(
        make_impala(lstm_size=5), make_central_inference, STACKED_PARTS, UNBOUNDED
    ),
    "ppo on stacks of parts": Agent(
        make_ppo(normalize_observations=True),
        make_synchronous,
        STACKED_PARTS,
        UNBOUNDED,
    ),
    "r2d2 on stacks with masks": Agent(make_r2d2(), factory=STACKED_DOORS),
    "sac on parts": Agent(make_sac(), factory=PointOfParts, refused=DISCRETE),
    "td3 on parts": Agent(make_td3(), factory=PointOfParts, refused=DISCRETE),
    # All agents make vectors alike; these have one category, several, and critics.
    "dqn with vectors": Agent(make_dqn(embedding_size=3), factory=Cells),
    "ppo with vectors": Agent(
        make_ppo(embedding_size=3, normalize_observations=True),
        make_synchronous,
        CatchOfParts,
        UNBOUNDED,
    ),
    "sac with vectors": Agent(
        make_sac(embedding_size=3), factory=PointOfParts, refused=DISCRETE
    ),
}

# What differs from another one in settings only, or in what it sees.
VARIANTS = {
    *("plain dqn", "plain r2d2", "ape-x dqn", "ppo that normalises"),
    *("dqn that normalises", "r2d2 that normalises", "impala that normalises"),
    "sac that normalises",
    *("continuous impala", "continuous ppo"),
    *("dqn on stacks", "impala on stacks", "ppo on stacks", "r2d2 on stacks"),
    *("dqn on categories", "r2d2 on categories", "ppo on categories"),
    *("dqn on bytes", "impala on bytes", "ppo on bytes"),
    *("dqn on parts", "r2d2 on parts", "impala with an lstm on parts", "ppo on parts"),
    *("sac on parts", "td3 on parts", "impala with levers", "ppo with levers"),
    *("impala with locked levers", "ppo with locked levers"),
    *("dqn with masks", "r2d2 with masks", "impala with masks", "ppo with masks"),
    *("dqn on stacks of parts", "r2d2 on stacks of parts", "ppo on stacks of parts"),
    *("impala with an lstm on stacks of parts", "r2d2 on stacks with masks"),
    *("dqn with vectors", "ppo with vectors", "sac with vectors"),
}
