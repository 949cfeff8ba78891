"""Proximal policy optimisation: in lock-step, on unrolls of one version."""
