"""R2D2: actors with a memory, prioritized replay of sequences, and a learner.

Kapturowski et al. 2019, "Recurrent Experience Replay in Distributed Reinforcement
Learning", https://openreview.net/forum?id=r1lyTjAqYX.
"""

from acmelike.agents import r2d2
from acmelike.experiments import ExperimentConfig, TrainingProgram, run_program

PROGRAM = TrainingProgram(
    name="r2d2",
    description=__doc__,
    make_config=lambda: ExperimentConfig(
        environment="CartPole-v1-positions",  # It takes memory to solve it.
        max_env_steps=300_000,
        agent=r2d2.R2D2Config(),
    ),
    make_builder=lambda config: r2d2.R2D2Builder(config=config.agent),
)

if __name__ == "__main__":
    run_program(PROGRAM)
