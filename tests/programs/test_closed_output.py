"""What programs say to somebody who does not read to the end: nothing more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("args", [["programs.ppo", "--help"], ["programs"]])
@pytest.mark.parametrize("python", [["-u"], []])  # At the first line, or at the last.
def test_a_reader_that_is_gone_is_no_error(python, args):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as output:
        ended = subprocess.run(
            [sys.executable, *python, "-m", *args],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert ended.stderr == ""
    assert ended.returncode in (0, 1)
