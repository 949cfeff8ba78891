"""PPO: actors in lock-step with a learner, an evaluator and a coordinator."""

from acmelike.agents import ppo
from acmelike.experiments import ExperimentConfig, TrainingProgram, run_program

PROGRAM = TrainingProgram(
    name="ppo",
    description=__doc__,
    # In another topology, some of the unrolls are older than the parameters.
    make_config=lambda: ExperimentConfig(topology="synchronous", agent=ppo.PPOConfig()),
    make_builder=lambda config: ppo.PPOBuilder(
        config=config.agent, batch_size=config.num_envs
    ),
)

if __name__ == "__main__":
    run_program(PROGRAM)
