"""Ape-X DQN: four actors that give their transitions first priorities.

Horgan et al. 2018, "Distributed Prioritized Experience Replay", arXiv 1803.00933.
"""

from acmelike.agents import dqn
from acmelike.experiments import ExperimentConfig, TrainingProgram, run_program

PROGRAM = TrainingProgram(
    name="apex_dqn",
    description=__doc__,
    make_config=lambda: ExperimentConfig(
        num_actors=4, agent=dqn.DQNConfig(actor_priorities=True)
    ),
    make_builder=lambda config: dqn.DQNBuilder(config=config.agent),
)

if __name__ == "__main__":
    run_program(PROGRAM)
