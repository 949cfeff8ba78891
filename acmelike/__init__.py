"""acmelike: reinforcement-learning systems as graphs of nodes.

    import acmelike as al

has every public name, and `from acmelike.agents import dqn` every public name of an
agent. Names are imported when they are first used, so that a node that needs only some
of the framework (a replay table, say) starts without the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

# A test compares this list with the next two.
if TYPE_CHECKING:
    from acmelike.adders import (
        EpisodeAdder,
        NStepAdder,
        SequenceAdder,
        UnrollAdder,
        observations_signature,
        sequence_signature,
        transition_signature,
        unroll_signature,
    )
    from acmelike.agent import (
        ActorPlace,
        Agent,
        Builder,
        PolicyInputs,
        PolicyOutput,
        UpdateOutputs,
    )
    from acmelike.core import (
        Future,
        batched,
        concurrent,
        deadline,
        idempotent,
        set_status,
        sleep,
        start,
        stop_run,
        updating,
        when,
    )
    from acmelike.environments import (
        EnvironmentFactory,
        EnvironmentPlace,
        FrameStackFactory,
        TimeLimitFactory,
        Vector,
        make_environment_factory,
        make_environment_spec,
        make_vector_environment,
        observation_shape,
    )
    from acmelike.errors import (
        AcmelikeError,
        ConfigError,
        ConnectionLost,
        Deadlock,
        NodeFailed,
        NotReady,
        RefLost,
        RpcClosed,
        RpcError,
        RpcTimeout,
        RunStopped,
        StoreFull,
    )
    from acmelike.evaluation.goal import Goal
    from acmelike.evaluation.saved_policy import SavedPolicy, load_policy
    from acmelike.evaluation.video import VideoSettings
    from acmelike.experiments import ExperimentConfig, TrainingProgram, run_program
    from acmelike.experiments.evaluate import evaluate
    from acmelike.experiments.train import TrainedRun, train
    from acmelike.files import read_json_lines
    from acmelike.graph import Node, Program, Resources, RestartPolicy, node_seed
    from acmelike.launchers import Endpoint, HostsConfig, RayConfig, Run, launch
    from acmelike.launchers.hosts.agent import join_run
    from acmelike.replay import (
        Batches,
        Fifo,
        Lifo,
        MaxHeap,
        MinHeap,
        MinSize,
        Prioritized,
        Queue,
        Raw,
        Replay,
        Rows,
        SamplesPerInsert,
        Stack,
        TableConfig,
        TrajectoryWriter,
        Uniform,
        Writer,
    )
    from acmelike.rpc.refs import Ref, put
    from acmelike.telemetry.watch import watch
    from acmelike.topologies.actor_learner import make_actor_learner, make_synchronous
    from acmelike.topologies.central_inference import make_central_inference
    from acmelike.topologies.layout import Layout
    from acmelike.topologies.rewards import RewardSettings
    from acmelike.topologies.system import Experiment, System, Topology
    from acmelike.types import (
        EnvironmentSpec,
        MultiDiscreteArray,
        OffsetDiscreteArray,
        VectorStep,
    )
    from acmelike.version import __version__

_NAMES = {
    "acmelike.adders": (
        "EpisodeAdder",
        "NStepAdder",
        "SequenceAdder",
        "UnrollAdder",
        "observations_signature",
        "sequence_signature",
        "transition_signature",
        "unroll_signature",
    ),
    "acmelike.agent": (
        "ActorPlace",
        "Builder",
        "Agent",
        "PolicyInputs",
        "PolicyOutput",
        "UpdateOutputs",
    ),
    "acmelike.core": (
        "Future",
        "batched",
        "concurrent",
        "deadline",
        "idempotent",
        "set_status",
        "sleep",
        "start",
        "stop_run",
        "updating",
        "when",
    ),
    "acmelike.environments": (
        "EnvironmentFactory",
        "EnvironmentPlace",
        "FrameStackFactory",
        "TimeLimitFactory",
        "Vector",
        "make_environment_factory",
        "make_environment_spec",
        "make_vector_environment",
        "observation_shape",
    ),
    "acmelike.errors": (
        "AcmelikeError",
        "ConfigError",
        "ConnectionLost",
        "Deadlock",
        "NodeFailed",
        "NotReady",
        "RefLost",
        "RpcClosed",
        "RpcError",
        "RpcTimeout",
        "RunStopped",
        "StoreFull",
    ),
    "acmelike.evaluation.goal": ("Goal",),
    "acmelike.evaluation.saved_policy": (
        "SavedPolicy",
        "load_policy",
    ),
    "acmelike.evaluation.video": ("VideoSettings",),
    "acmelike.experiments": (
        "ExperimentConfig",
        "TrainingProgram",
        "run_program",
    ),
    "acmelike.experiments.evaluate": ("evaluate",),
    "acmelike.experiments.train": (
        "TrainedRun",
        "train",
    ),
    "acmelike.files": ("read_json_lines",),
    "acmelike.graph": (
        "Node",
        "Program",
        "Resources",
        "RestartPolicy",
        "node_seed",
    ),
    "acmelike.launchers": (
        "Endpoint",
        "HostsConfig",
        "RayConfig",
        "Run",
        "launch",
    ),
    "acmelike.launchers.hosts.agent": ("join_run",),
    "acmelike.replay": (
        "Batches",
        "Fifo",
        "Lifo",
        "MaxHeap",
        "MinHeap",
        "MinSize",
        "Prioritized",
        "Queue",
        "Raw",
        "Replay",
        "Rows",
        "SamplesPerInsert",
        "Stack",
        "TableConfig",
        "TrajectoryWriter",
        "Uniform",
        "Writer",
    ),
    "acmelike.rpc.refs": (
        "Ref",
        "put",
    ),
    "acmelike.telemetry.watch": ("watch",),
    "acmelike.topologies.actor_learner": (
        "make_actor_learner",
        "make_synchronous",
    ),
    "acmelike.topologies.central_inference": ("make_central_inference",),
    "acmelike.topologies.layout": ("Layout",),
    "acmelike.topologies.rewards": ("RewardSettings",),
    "acmelike.topologies.system": (
        "Experiment",
        "System",
        "Topology",
    ),
    "acmelike.types": (
        "EnvironmentSpec",
        "MultiDiscreteArray",
        "OffsetDiscreteArray",
        "VectorStep",
    ),
    "acmelike.version": ("__version__",),
}

__all__ = [
    "AcmelikeError",
    "ActorPlace",
    "Agent",
    "Batches",
    "Builder",
    "ConfigError",
    "ConnectionLost",
    "Deadlock",
    "Endpoint",
    "EnvironmentFactory",
    "EnvironmentPlace",
    "EnvironmentSpec",
    "EpisodeAdder",
    "Experiment",
    "ExperimentConfig",
    "Fifo",
    "FrameStackFactory",
    "Future",
    "Goal",
    "HostsConfig",
    "Layout",
    "Lifo",
    "MaxHeap",
    "MinHeap",
    "MinSize",
    "MultiDiscreteArray",
    "NStepAdder",
    "Node",
    "NodeFailed",
    "NotReady",
    "OffsetDiscreteArray",
    "PolicyInputs",
    "PolicyOutput",
    "Prioritized",
    "Program",
    "Queue",
    "Raw",
    "RayConfig",
    "Ref",
    "RefLost",
    "Replay",
    "Resources",
    "RestartPolicy",
    "RewardSettings",
    "Rows",
    "RpcClosed",
    "RpcError",
    "RpcTimeout",
    "Run",
    "RunStopped",
    "SamplesPerInsert",
    "SavedPolicy",
    "SequenceAdder",
    "Stack",
    "StoreFull",
    "System",
    "TableConfig",
    "TimeLimitFactory",
    "Topology",
    "TrainedRun",
    "TrainingProgram",
    "TrajectoryWriter",
    "Uniform",
    "UnrollAdder",
    "UpdateOutputs",
    "Vector",
    "VectorStep",
    "VideoSettings",
    "Writer",
    "__version__",
    "batched",
    "concurrent",
    "deadline",
    "evaluate",
    "idempotent",
    "join_run",
    "launch",
    "load_policy",
    "make_actor_learner",
    "make_central_inference",
    "make_environment_factory",
    "make_environment_spec",
    "make_synchronous",
    "make_vector_environment",
    "node_seed",
    "observation_shape",
    "observations_signature",
    "put",
    "read_json_lines",
    "run_program",
    "sequence_signature",
    "set_status",
    "sleep",
    "start",
    "stop_run",
    "train",
    "transition_signature",
    "unroll_signature",
    "updating",
    "watch",
    "when",
]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
