"""What acmelike is measured against; each runs in `.venv-bench`, without acmelike."""
