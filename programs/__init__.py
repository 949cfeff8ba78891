"""Programs: one script for each system, run by `python -m programs.NAME`."""

import os

# Before NumPy is imported, which agents do: it starts its threads then. Small networks
# gain nothing from threads of XLA and BLAS, and the nodes lose cores to them.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
