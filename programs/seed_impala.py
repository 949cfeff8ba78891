"""IMPALA as in SEED: actors have environments only, and one node acts in all of them.

Espeholt et al. 2020, "SEED RL", arXiv 1910.06591.
"""

from dataclasses import replace

from acmelike.experiments import run_program
from acmelike.programs import impala

PROGRAM = replace(
    impala.PROGRAM,
    name="seed_impala",
    description=__doc__,
    make_config=lambda: replace(impala.PROGRAM.config, topology="central_inference"),
)

if __name__ == "__main__":
    run_program(PROGRAM)
