"""The notebook, executed in a kernel as people execute it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "first_steps.ipynb"
EXECUTE = "from nbclient.cli import main; main()"  # What `jupyter execute` does.


def outputs_of(notebook):
    """What the cells with code put out, by their order: {MIME type: content}."""
    found = []
    for cell in json.loads(notebook.read_text())["cells"]:
        shown = {}
        for output in cell.get("outputs", []):
            shown |= output.get("data", {"text/plain": output.get("text")})
        found += [{kind: "".join(content) for kind, content in shown.items()}]
    return [content for content in found if content]


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook after it was executed."""
    folder = tmp_path_factory.mktemp("notebook")
    where = {
        "PYTHONPATH": str(ROOT),
        **{name: str(folder) for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR")},
    }
    executed = folder / "executed.ipynb"
    # As a process of its own: a kernel's client keeps sockets and threads.
    ended = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(NOTEBOOK), f"--output={executed}"],
        env={**os.environ, **where},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return executed


@pytest.mark.slow
def test_the_notebook_shows_what_it_promises(executed):
    check(executed)


def test_it_is_stored_with_what_it_showed():
    check(NOTEBOOK)


def check(notebook):
    outputs = outputs_of(notebook)
    program, curve, replay, learner, coordinator, status, reason = outputs
    for label in ("replay", "learner", "actor/0", "actor/1", "evaluator"):
        assert f">{label}</text>" in program["image/svg+xml"]
        assert f"\n{label}: " in "\n" + status["text/plain"]
    assert "image/png" in curve
    assert "TableInfo(name='transitions'" in replay["text/plain"]
    assert "LearnerProgress(num_updates=" in learner["text/plain"]
    assert "mean_return=None" not in coordinator["text/plain"]
    assert reason["text/plain"] == "'seen enough'"
