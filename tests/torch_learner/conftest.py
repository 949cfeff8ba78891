"""Leaves these tests out where there is no PyTorch: `make test-torch` runs them."""

import importlib.util

HAS_TORCH = importlib.util.find_spec("torch") is not None
collect_ignore = [] if HAS_TORCH else ["test_torch_learner.py"]
