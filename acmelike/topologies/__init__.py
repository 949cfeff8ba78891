"""Topologies: from an experiment to a program."""
