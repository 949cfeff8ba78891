"""Soft actor-critic for continuous actions, with a learned temperature."""
