"""The folder of a run: who may have it, and files that are whole or not there."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from acmelike.errors import ConfigError
from acmelike.experiments.run_folder import FolderTaken, RunFolder, create_run_folder
from acmelike.files import append_json_line, overwrite_json, read_json_lines, write_json

ROOT = Path(__file__).parents[2]


def test_a_folder_is_made_with_its_parents_and_taken_back(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "x")
    folder.create()
    assert folder.log.exists()
    write_json(folder.summary, {})
    folder.discard()
    assert not any(tmp_path.iterdir())


def test_taking_it_back_leaves_what_was_there(tmp_path):
    (tmp_path / "logs").mkdir()
    notes, job = tmp_path / "logs" / "notes.txt", tmp_path / "logs" / "slurm-12.log"
    (tmp_path / "tensorboard").mkdir()
    events = tmp_path / "tensorboard" / "of.another"
    for path in (notes, job, events):
        path.write_text("mine")
    folder = RunFolder(tmp_path)
    folder.create()
    (tmp_path / "logs" / "actor.log").touch()
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "of.this").touch()
    folder.discard()
    assert set(tmp_path.rglob("*.*")) == {notes, job, events}
    assert not (tmp_path / "wandb").exists()


@pytest.mark.parametrize(
    "file", ["config.json", "metrics.jsonl", "summary.json", "logs/run.log"]
)
def test_a_folder_that_holds_a_run_is_refused_and_left_alone(tmp_path, file):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("of another run")
    with pytest.raises(FolderTaken, match="already holds a run"):
        RunFolder(tmp_path).create()
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / file]


@pytest.mark.parametrize(
    "path", ["file", "file/below/it", "a" * 300, "new/" + "b" * 300]
)
def test_a_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path, path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot write to .*: [A-Z][a-z ]+$"):
        RunFolder(tmp_path / path).create()
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert create_run_folder("~/runs/x", "dqn").root == tmp_path / "runs" / "x"
    assert (tmp_path / "runs" / "x" / "logs" / "run.log").exists()


def test_where_the_current_folder_is_gone_a_run_is_refused(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ConfigError, match="the current folder does not exist any"):
        create_run_folder("runs/x", "dqn")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="run on Linux")
def test_a_folder_in_proc_is_refused():
    with pytest.raises(ConfigError, match="cannot write to /proc/run"):
        RunFolder("/proc/run").create()


def test_runs_of_one_second_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda _: "runs/apex_dqn-now")
    paths = [str(create_run_folder(out, "apex_dqn").path) for out in (None, "", None)]
    assert paths == [f"runs/apex_dqn-now{more}" for more in ("", "-2", "-3")]


def test_a_folder_that_was_asked_for_is_not_renamed(tmp_path):
    assert create_run_folder(str(tmp_path), "dqn").path == tmp_path
    with pytest.raises(FolderTaken):
        create_run_folder(str(tmp_path), "dqn")


def test_lines_are_read_as_they_were_appended(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_json_lines(path) == []
    lines = [{"a": 1}, {"b": [0.1, None, "ß\n"]}]
    for line in lines:
        append_json_line(path, line)
    assert read_json_lines(path) == lines


def test_a_json_file_that_cannot_be_written_stays_as_it_was(tmp_path):
    path = tmp_path / "summary.json"
    write_json(path, {"a": 1})
    (tmp_path / "summary.json.tmp").mkdir()
    with pytest.raises(IsADirectoryError, match=r"summary\.json\.tmp"):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}


@pytest.mark.parametrize("value", [{"a": 1}, {"a": "longer than it was before"}])
def test_a_json_file_is_written_over(tmp_path, value):
    path = tmp_path / "summary.json"
    write_json(path, {"a": "0123456789"})
    overwrite_json(path, value)
    assert json.loads(path.read_text()) == value


def test_a_line_that_a_full_disk_cuts_short_is_taken_back(tmp_path):
    script = """
import resource, signal, sys
from pathlib import Path
from acmelike.files import append_json_line, write_json

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
folder = Path(sys.argv[1])
write_json(folder / "a.json", {})
for name, write in (("a.json", write_json), ("b.jsonl", append_json_line)):
    try:
        for number in range(10):
            write(folder / name, {"number": number, "text": "x" * 20 * number})
    except OSError:
        print(number)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    failed_at, num_lines = map(int, ended.stdout.split())
    assert json.loads((tmp_path / "a.json").read_text())["number"] == failed_at - 1
    lines = read_json_lines(tmp_path / "b.jsonl")
    assert [line["number"] for line in lines] == list(range(num_lines))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "b.jsonl"]


def test_numbers_of_numpy_and_paths_are_written_as_plain_ones(tmp_path):
    path = tmp_path / "config.json"
    value = {"a": np.int64(3), "b": [np.float32(0.5), np.bool_(True)], "c": path}
    write_json(path, value)
    assert json.loads(path.read_text()) == {"a": 3, "b": [0.5, True], "c": str(path)}
    with pytest.raises(TypeError, match=r"object .* cannot be written as JSON"):
        write_json(path, object())
