"""DQN: actors, prioritized replay, a learner, an evaluator and a coordinator."""

from acmelike.agents import dqn
from acmelike.experiments import ExperimentConfig, TrainingProgram, run_program

PROGRAM = TrainingProgram(
    name="dqn",
    description=__doc__,
    make_config=lambda: ExperimentConfig(agent=dqn.DQNConfig()),
    make_builder=lambda config: dqn.DQNBuilder(config=config.agent),
)

if __name__ == "__main__":
    run_program(PROGRAM)
