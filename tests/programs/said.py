"""What a program said on stderr."""

OVERDUE = "still runs 2 s after the end of the run"
SLOW = "has been working for"


def complaints(ended):
    """What it said of mistakes: the machine may be slow, and a compilation long."""
    lines = ended.stderr.splitlines(keepends=True)
    return "".join(line for line in lines if OVERDUE not in line and SLOW not in line)
