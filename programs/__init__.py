"""Launch scripts: one short file for each published system."""
