"""Records as CSV, event files and offline runs, read by who reads them in earnest."""

import csv
import json
import logging
import subprocess
import sys
import threading

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from acmelike.errors import ConfigError
from acmelike.files import append_json_line, read_json_lines
from acmelike.telemetry import loggers
from acmelike.telemetry.loggers import (
    CsvLogger,
    RecordForwarder,
    check_loggers,
    make_loggers,
    numbers_of,
    scalars_of,
)


def progress(env_steps, loss=None, **more):
    metrics = {} if loss is None else {"loss": loss, "entropy": 2 * loss}
    return {
        "event": "progress",
        "env_steps": env_steps,
        "learner_steps": env_steps // 4,
        "loss": loss,
        "metrics": metrics,
        **more,
        "time": {"seconds": env_steps / 100},
    }


def evaluation(env_steps, mean_return, event="evaluation"):
    return {
        "event": event,
        "env_steps": env_steps,
        "mean_return": mean_return,
        "time": {"seconds": env_steps / 100},
    }


RECORDS = [
    progress(50),
    progress(100, 0.5),
    progress(200, 0.25, training_return=21.5),
    evaluation(100, 30.0),  # It was ordered before the step that was recorded last.
    evaluation(200, 40.0, event="end"),
]


def test_names_say_whose_they_are():
    assert scalars_of(RECORDS[2]) == {
        "training/learner_steps": 50,
        "learner/loss": 0.25,
        "learner/entropy": 0.5,
        "training/training_return": 21.5,
        "training/seconds": 2.0,
    }
    assert scalars_of(RECORDS[4]) == {
        "evaluation/mean_return": 40.0,
        "evaluation/seconds": 2.0,
    }


def test_what_another_node_recorded_is_in_its_group():
    record = progress(100, 0.5)
    record["metrics"]["probe/height"] = 3.0
    told = scalars_of(record)
    assert (told["probe/height"], told["learner/loss"]) == (3.0, 0.5)


def test_what_the_learner_reports_hides_nothing_of_the_record():
    record = progress(100, 0.5)
    record["metrics"] |= {"env_steps": 7.0, "seconds": 8.0}
    own = {"env_steps": 100, "seconds": 1.0}
    reported = {"learner/env_steps": 7.0, "learner/seconds": 8.0}
    assert (own | reported).items() <= numbers_of(record).items()
    told = scalars_of(record)
    assert (reported | {"training/seconds": 1.0}).items() <= told.items()


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_a_line_for_each_record_and_a_column_for_each_name(tmp_path):
    writer = CsvLogger(tmp_path)
    for record in RECORDS:
        writer.write(record)
        names = {path.name for path in tmp_path.iterdir()}
        assert names <= {"training.csv", "evaluation.csv"}
    rows = rows_of(tmp_path / "training.csv")
    assert [row["env_steps"] for row in rows] == ["50", "100", "200"]
    assert [row["loss"] for row in rows] == ["", "0.5", "0.25"]
    assert [row["training_return"] for row in rows] == ["", "", "21.5"]
    rows = rows_of(tmp_path / "evaluation.csv")
    assert [row["mean_return"] for row in rows] == ["30.0", "40.0"]


def test_csv_of_another_run_is_replaced(tmp_path):
    (tmp_path / "training.csv").write_text("env_steps,odd\n1,2\n")
    writer = CsvLogger(tmp_path)
    for record in RECORDS:
        writer.write(record)
    rows = rows_of(tmp_path / "training.csv")
    assert [row["env_steps"] for row in rows] == ["50", "100", "200"]
    assert "odd" not in rows[0]


def test_a_metric_with_a_name_of_the_runs_own_is_always_told_apart():
    """Though only some records have the run's own number."""
    metrics = {"training_return": 7.0}
    for own in ({}, {"training_return": 21.5}):
        record = {"event": "progress", "env_steps": 1, "metrics": metrics, **own}
        assert numbers_of(record) == {
            "env_steps": 1,
            "learner/training_return": 7.0,
            **own,
        }


def scalars_in(folder):
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return {
        name: [(event.step, event.value) for event in accumulator.Scalars(name)]
        for name in accumulator.Tags()["scalars"]
    }


def test_tensorboards_own_reader_reads_the_event_files(tmp_path):
    made = make_loggers(["tensorboard"], tmp_path, {"seed": 3})
    for record in RECORDS:
        made["tensorboard"].write(record)
    made["tensorboard"].close()
    found = scalars_in(tmp_path / "tensorboard")
    assert found["learner/loss"] == [(100, 0.5), (200, 0.25)]
    assert found["evaluation/mean_return"] == [(100, 30.0), (200, 40.0)]
    assert found["training/training_return"] == [(200, 21.5)]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ((), []),
        (("csv", "tensorboard"), ["csv", "tensorboard"]),
        (("csv,tensorboard", "csv"), ["csv", "tensorboard"]),
    ],
)
def test_names_may_have_commas(names, found):
    assert check_loggers(names) == found


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match=r"'tensorbord'.*tensorboard"):
        check_loggers(["tensorbord"])


def test_a_package_that_is_missing_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setattr(loggers, "_MODULES", {"wandb": "not_there"})
    with pytest.raises(ConfigError) as caught:
        check_loggers(["wandb"])
    assert str(caught.value) == (
        "log needs not_there for wandb: pip install 'acmelike[wandb]'"
    )


def test_a_folder_with_the_name_of_a_package_is_none(monkeypatch, tmp_path):
    (tmp_path / "not_there").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(loggers, "_MODULES", {"wandb": "not_there"})
    with pytest.raises(ConfigError, match=r"pip install 'acmelike\[wandb\]'"):
        check_loggers(["wandb"])


class Kept:
    """Keeps what it gets; fails at the record with this number."""

    def __init__(self, fails_at=None):
        self.records, self.fails_at, self.is_closed = [], fails_at, False

    def write(self, record):
        if len(self.records) == self.fails_at:
            raise OSError(28, "No space left on device")
        self.records.append(record)

    def close(self):
        self.is_closed = True


def test_what_was_written_before_the_end_is_passed_on(tmp_path):
    path, kept = tmp_path / "metrics.jsonl", Kept()
    with RecordForwarder(path, {"kept": kept}):
        for record in RECORDS:
            append_json_line(path, record)
    assert kept.records == read_json_lines(path) and kept.is_closed


def test_after_an_interrupt_nobody_waits_long_for_a_logger(tmp_path, monkeypatch):
    monkeypatch.setattr(loggers, "_SECONDS_OF_INTERRUPT", 0.01)
    is_let, is_closed = threading.Event(), threading.Event()

    class Uploads(Kept):
        def close(self):
            is_let.wait(30)
            is_closed.set()

    forwarder = RecordForwarder(tmp_path / "metrics.jsonl", {"uploads": Uploads()})
    with pytest.raises(KeyboardInterrupt), forwarder:
        raise KeyboardInterrupt
    assert not is_closed.is_set()
    is_let.set()
    assert is_closed.wait(30)


def test_a_logger_that_fails_is_named_once_and_others_go_on(tmp_path, caplog):
    path, kept, failing = tmp_path / "metrics.jsonl", Kept(), Kept(fails_at=1)
    with caplog.at_level(logging.WARNING, logger="acmelike"):
        with RecordForwarder(path, {"failing": failing, "kept": kept}):
            for record in RECORDS:
                append_json_line(path, record)
    assert len(kept.records) == len(RECORDS) and len(failing.records) == 1
    (message,) = caplog.messages
    assert message.startswith("failing is not written any more: OSError(28")


OFFLINE = """
import json, pathlib, sys
from acmelike.telemetry.loggers import make_loggers
folder = pathlib.Path(sys.argv[1])
made = make_loggers(["wandb"], folder, {"seed": 3, "agent": {"discount": 0.9}})
for line in (folder / "metrics.jsonl").read_text().splitlines():
    made["wandb"].write(json.loads(line))
made["wandb"].close()
"""

# The file is a log as LevelDB's: blocks of 32 KB, after a header of 7 bytes.
READ = """
import json, pathlib, struct, sys
from wandb.proto import wandb_internal_pb2
(path,) = pathlib.Path(sys.argv[1]).glob("wandb/offline-run-*/run-*.wandb")
data, place, parts, history, has_ended = path.read_bytes(), 7, b"", [], False
while place + 7 <= len(data):
    if 32768 - place % 32768 < 7:
        place += 32768 - place % 32768
    _, length, kind = struct.unpack_from("<IHB", data, place)
    parts += data[place + 7:place + 7 + length]
    place += 7 + length
    if kind in (1, 4):  # It is whole, or that was its last part.
        record, parts = wandb_internal_pb2.Record.FromString(parts), b""
        has_ended = has_ended or record.HasField("exit")
        if record.history.item:
            items = record.history.item
            names = [item.key or "/".join(item.nested_key) for item in items]
            values = [json.loads(item.value_json) for item in items]
            history.append(dict(zip(names, values)))
print(json.dumps([history, has_ended]))
"""


def test_an_offline_run_of_wandb_is_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    for record in RECORDS:
        append_json_line(tmp_path / "metrics.jsonl", record)
    for script in (OFFLINE, READ):
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
    history, has_ended = json.loads(done.stdout)
    assert has_ended and len(history) == len(RECORDS)
    assert [line["env_steps"] for line in history] == [50, 100, 200, 100, 200]
    assert history[3]["evaluation/mean_return"] == 30.0
