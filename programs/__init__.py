"""Training programs: one short file for each published system."""
