"""`python -m programs`: the same as `acmelike programs`."""

import sys
from functools import partial

from acmelike.experiments.listing import list_programs
from acmelike.experiments.process import run_process

if __name__ == "__main__":
    run_process(partial(list_programs, sys.argv[1:]))
