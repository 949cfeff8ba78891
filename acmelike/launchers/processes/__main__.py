"""The main program of a process of nodes; only the launcher starts it."""

from __future__ import annotations

from acmelike.lazy import importing_much


def main() -> None:
    """Imports what runs the nodes, and runs it."""
    with importing_much():
        from acmelike.launchers.processes.child import run_assignment
    run_assignment()


if __name__ == "__main__":
    main()
