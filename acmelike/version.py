"""The version of acmelike; setup.py reads it here."""

__version__ = "0.1.0.dev0"
