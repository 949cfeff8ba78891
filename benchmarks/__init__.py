"""Measurements, as ratios taken within one run; never part of the tests."""
