"""The launcher `processes`: an interpreter for every node."""
