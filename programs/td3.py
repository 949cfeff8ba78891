"""TD3: an actor, replay, a learner, an evaluator and a coordinator."""

from acmelike.agents import td3
from acmelike.experiments import ExperimentConfig, TrainingProgram, run_program

PROGRAM = TrainingProgram(
    name="td3",
    description=__doc__,
    make_config=lambda: ExperimentConfig(
        environment="Pendulum-v1",
        num_actors=1,
        num_envs_per_actor=1,
        learner_cpus=2,
        max_env_steps=20_000,
        num_eval_episodes=50,  # Returns of Pendulum depend on where it starts.
        agent=td3.TD3Config(),
    ),
    make_builder=lambda config: td3.TD3Builder(config=config.agent),
)

if __name__ == "__main__":
    run_program(PROGRAM)
