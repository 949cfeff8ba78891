"""Networks that need no compilation: the same code evaluates them in NumPy and JAX."""

from acmelike.networks.dense import dense, flat, init_dense, init_mlp, mlp, namespace

__all__ = ["dense", "flat", "init_dense", "init_mlp", "mlp", "namespace"]
