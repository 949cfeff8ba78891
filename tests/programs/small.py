"""Flags with which each program has made some updates after 200 steps."""

_FEW = ("--agent.hidden-sizes", "8")
_REPLAY = (*_FEW, "--agent.batch-size", "4", "--agent.replay.min-size", "40")
_SEQUENCES = (
    *(*_FEW, "--agent.batch-size", "2", "--agent.replay.min-size", "4"),
    *("--agent.sequence-length", "8", "--agent.burn-in", "2", "--agent.overlap", "4"),
)
_UNROLLS = (*_FEW, "--agent.unroll-length", "8")
_CATCH = ("--environment", "Catch", "--num-eval-episodes", "2")

SMALL = {
    "apex_dqn": (*_CATCH, *_REPLAY),
    "dqn": (*_CATCH, *_REPLAY),
    "impala": (*_CATCH, *_UNROLLS, "--agent.batch-size", "2"),
    "ppo": (*_CATCH, *_UNROLLS, "--agent.num-minibatches", "1"),
    "r2d2": (*_CATCH, *_SEQUENCES),
    "sac": ("--num-eval-episodes", "1", *_REPLAY),
    "seed_impala": (*_CATCH, *_UNROLLS, "--agent.batch-size", "2"),
    "seed_r2d2": (*_CATCH, *_SEQUENCES),
    "td3": ("--num-eval-episodes", "1", *_REPLAY),
}
