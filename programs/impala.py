"""IMPALA: actors, a queue of unrolls, a learner, an evaluator and a coordinator."""

from acmelike.agents import impala
from acmelike.experiments import ExperimentConfig, TrainingProgram, run_program

PROGRAM = TrainingProgram(
    name="impala",
    description=__doc__,
    make_config=lambda: ExperimentConfig(
        max_env_steps=400_000, agent=impala.ImpalaConfig()
    ),
    make_builder=lambda config: impala.ImpalaBuilder(config=config.agent),
)

if __name__ == "__main__":
    run_program(PROGRAM)
