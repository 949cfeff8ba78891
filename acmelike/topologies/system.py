"""What a topology is, and the nodes that every topology has.

A topology turns an experiment into a program: `topology(experiment) -> System`. Each
one begins with `add_replay_and_learner`, adds its actors, and ends with
`add_evaluation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, NamedTuple, Protocol

from acmelike.adders import Adder, RewardAdder
from acmelike.agent import Builder, check_builder, check_items
from acmelike.checks import at_least, check_fields
from acmelike.environments import EnvironmentFactory
from acmelike.environments.signal_handlers import signal_handlers_kept
from acmelike.environments.vector import checked_environment_spec
from acmelike.errors import ConfigError
from acmelike.evaluation.coordinator import Coordinator
from acmelike.evaluation.episodes import check_video
from acmelike.evaluation.evaluator import Evaluator
from acmelike.evaluation.goal import Goal
from acmelike.evaluation.policy_file import PolicyFile
from acmelike.evaluation.video import VideoSettings
from acmelike.files import absolute
from acmelike.graph import Node, Program, Resources, derive_seed, node_seed
from acmelike.learners import Cacher, Learner, ParameterSource
from acmelike.replay import Replay, TableConfig, check_engine, check_sample_size
from acmelike.topologies.layout import Layout
from acmelike.topologies.rewards import RewardSettings
from acmelike.types import EnvironmentSpec

# Replay's own default; a large program needs more.
_MIN_WRITERS = 1_000


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """An agent, the environment that it learns in, and how both are run.

    Paths are made absolute when the experiment is made, as an environment may change
    the working directory later.

    Attributes:
      builder: makes the parts of the agent.
      environment_factory: makes the environments.
      layout: how many nodes there are.
      goal: when the run ends.
      rewards: what is done to rewards before the agent learns from them.
      video: which evaluations have a video, in `videos/` beside the records.
      seed: of the program. Each node has its own seed, derived from this one and the
        node's label.
      metrics: the path of the file to which records are appended.
      policy: the path of the file in which the policy is stored; None for no file.
      best_policy: likewise for the best policy, judged by a second evaluation.
    """

    builder: Builder
    environment_factory: EnvironmentFactory
    layout: Layout = field(default_factory=Layout)
    goal: Goal = field(default_factory=Goal)
    rewards: RewardSettings = field(default_factory=RewardSettings)
    video: VideoSettings = field(default_factory=VideoSettings)
    seed: Annotated[int, at_least(0)] = 0
    metrics: str = "metrics.jsonl"
    policy: str | None = None
    best_policy: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not callable(self.environment_factory):
            raise ConfigError(
                "environment_factory must make environments: pass "
                f"al.make_environment_factory({self.environment_factory!r})"
            )
        for name in ("metrics", "policy", "best_policy"):
            path = getattr(self, name)
            if path is not None:
                object.__setattr__(self, name, absolute(path))

    def make_adder(self) -> Adder:
        """Makes the adder, which turns the time steps of one actor into items."""
        adder = self.builder.make_adder(self.layout.num_envs_per_actor)
        if self.rewards == RewardSettings():
            return adder
        scale, clip = self.rewards.scale, self.rewards.clip
        return RewardAdder(adder, scale=scale, clip=clip)


class System(NamedTuple):
    """A program, and the handles of the nodes that every topology has."""

    program: Program
    replay: Replay
    learner: Learner
    coordinator: Coordinator
    evaluator: Evaluator


class Topology(Protocol):
    """Joins the parts of an agent into a program."""

    def __call__(self, experiment: Experiment) -> System:
        """Makes the program and starts nothing.

        The environment factory is called once, to read the specs, and once more if
        videos are wanted. `make_environment_factory` has made one before, to check it.

        Raises:
          ConfigError: the environment's specs are not what agents need, the agent
            cannot act in it or does not fit the topology, or the table's rate limiter
            would deadlock with the agent's batch size.
        """


class Backbone(NamedTuple):
    """A program that has replay and the learner, and no actors yet.

    Attributes:
      program: with these two nodes.
      spec: of the environments.
      table: the table that actors write and the learner samples.
      replay: the handle of the replay node.
      learner: the handle of the learner node.
    """

    program: Program
    spec: EnvironmentSpec
    table: TableConfig
    replay: Replay
    learner: Learner


def add_replay_and_learner(experiment: Experiment) -> Backbone:
    """Makes a program with replay and a learner; raises what `Topology` says."""
    builder, layout = experiment.builder, experiment.layout
    with signal_handlers_kept():
        seed = derive_seed(experiment.seed, "spec")
        with closing(experiment.environment_factory(seed)) as environment:
            spec = checked_environment_spec(environment)
    check_builder(builder)
    builder.check(spec)
    table = builder.make_table(spec)
    check_items(table, builder.name)
    check_sample_size(table, builder.batch_size)
    check_engine(layout.replay_engine, [table])

    program = Program(builder.name)
    replay = program.add_node(
        Node(
            Replay,
            [table],
            seed=node_seed(experiment.seed),
            engine=layout.replay_engine,
            may_exceed_memory=layout.replay_may_exceed_memory,
            # A restarted actor is a new writer; replay forgets the old one only later.
            max_writers=max(_MIN_WRITERS, 4 * layout.num_places),
        ),
        label="replay",
    )
    learner = program.add_node(
        Node(
            Learner,
            builder=builder,
            spec=spec,
            replay=replay,
            table=table.name,
            seed=node_seed(experiment.seed),
            device=layout.learner_device,
        ),
        label="learner",
        resources=Resources(
            num_cpus=layout.learner_cpus, num_gpus=layout.num_learner_gpus
        ),
    )
    return Backbone(program, spec, table, replay, learner)


def add_cachers(backbone: Backbone, layout: Layout) -> Sequence[ParameterSource]:
    """Adds the cachers; returns the sources that actors get parameters from, in turns.

    Raises:
      ConfigError: there are more cachers than actors.
    """
    if layout.num_cachers > layout.num_actors:
        raise ConfigError(
            f"num_cachers must be at most {layout.num_actors}, the number of actors: "
            f"{layout.num_cachers}"
        )
    if not layout.num_cachers:
        return [backbone.learner]
    with backbone.program.group("cacher"):
        return [
            backbone.program.add_node(
                Node(Cacher, backbone.learner, layout.parameter_interval),
                restart=layout.restart,
            )
            for _ in range(layout.num_cachers)
        ]


def add_evaluation(backbone: Backbone, experiment: Experiment) -> System:
    """Adds a coordinator, and an evaluator that gets its work from it.

    Raises:
      ConfigError: a video is wanted, and the environment does not render here.
    """
    program, spec, table, replay, learner = backbone
    with signal_handlers_kept():
        check_video(experiment.video, experiment.environment_factory)
    inputs = experiment.builder.make_greedy_inputs(spec)
    make_file = partial(
        PolicyFile,
        builder=experiment.builder,
        spec=spec,
        environment_factory=experiment.environment_factory,
    )
    policy_file, best_policy_file = (
        None if path is None else make_file(path=path)
        for path in (experiment.policy, experiment.best_policy)
    )
    coordinator = program.add_node(
        Node(
            Coordinator,
            goal=experiment.goal,
            replay=replay,
            table=table.name,
            learner=learner,
            metrics=experiment.metrics,
            policy_file=policy_file,
            best_policy_file=best_policy_file,
            video_format=experiment.video.format,
        ),
        label="coordinator",
        # It writes the files of the run.
        resources=Resources(place="launcher"),
    )
    evaluator = program.add_node(
        Node(
            Evaluator,
            inputs=inputs,
            spec=spec,
            environment_factory=experiment.environment_factory,
            coordinator=coordinator,
            num_envs=experiment.layout.num_envs_of_evaluator,
            num_episodes=experiment.layout.num_eval_episodes,
            video=experiment.video,
            seed=node_seed(experiment.seed),
        ),
        label="evaluator",
        restart=experiment.layout.restart,
    )
    return System(program, replay, learner, coordinator, evaluator)
