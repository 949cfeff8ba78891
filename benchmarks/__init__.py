"""Measurements of acmelike, alone and against its peers; never part of the tests."""
