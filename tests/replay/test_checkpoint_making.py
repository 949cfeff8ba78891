"""Writing and finding checkpoints: complete or not there, and how many are kept."""

from __future__ import annotations

import errno
import json
import logging
import os

import numpy as np
import pytest

from acmelike.errors import CheckpointDamaged
from acmelike.replay import Fifo, MinSize, Replay, Writer, save_checkpoint
from acmelike.replay.checkpoints.reader import CheckpointReader
from tests.replay.conftest import contents
from tests.replay.test_writer import frames, windows, windows_config

FREE = MinSize(min_size=1)


def test_only_the_newest_are_kept_and_nothing_else_is_touched(make_replay, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "replay-mine").mkdir()
    (tmp_path / "replay-000001.tmp").mkdir()  # of a process that was killed
    replay = make_replay()
    made = [save_checkpoint(replay, str(tmp_path), num_keep=2) for _ in range(4)]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["notes", "replay-000003", "replay-000004", "replay-mine"]
    assert made[-1] == str(tmp_path / "replay-000004")


@pytest.mark.parametrize(
    "damage", ["cut", "changed", "missing", "metadata", "no metadata"]
)
def test_a_damaged_one_is_named_and_the_one_before_it_used(
    make_replay, restored, make_items, tmp_path, caplog, damage
):
    replay = make_replay(rate_limiter=MinSize(min_size=1))
    save_checkpoint(replay, str(tmp_path))
    before = contents(replay)
    replay.insert("table", make_items(30, 31))
    newest = tmp_path / "replay-000002"
    save_checkpoint(replay, str(tmp_path))
    file = newest / "table-0-leaf-1.npy"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "changed":
        file.write_bytes(file.read_bytes()[:-1] + b"!")
    elif damage == "missing":
        file.unlink()
    elif damage == "metadata":
        metadata = newest / "metadata.json"
        outer = json.loads(metadata.read_text())
        outer["metadata"] = outer["metadata"].replace(
            '"num_env_steps": 20', '"num_env_steps": 9'
        )
        metadata.write_text(json.dumps(outer))
    else:
        (newest / "metadata.json").unlink()
    name = "metadata.json" if "metadata" in damage else "table-0-leaf-1.npy"
    with pytest.raises(CheckpointDamaged, match=rf"replay-000002: {name} "):
        CheckpointReader(newest)
    with caplog.at_level(logging.WARNING, "acmelike"):
        again = restored(rate_limiter=MinSize(min_size=1))
    assert contents(again) == before
    assert "replay-000002" in caplog.text
    assert "replay-000001" not in caplog.text


def test_where_none_is_whole_it_does_not_begin_empty(make_replay, restored, tmp_path):
    for _ in range(2):
        path = save_checkpoint(make_replay(), str(tmp_path))
    (tmp_path / "replay-000001" / "metadata.json").unlink()
    (tmp_path / path / "table-0-leaf-0.npy").unlink()
    with pytest.raises(CheckpointDamaged) as caught:
        restored()
    assert "replay-000001: metadata.json cannot be read" in str(caught.value)
    assert "replay-000002: table-0-leaf-0.npy is missing" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_damaged_one_does_not_take_the_place_of_a_whole_one(
    make_replay, tmp_path, damage
):
    replay = make_replay()
    for _ in range(2):
        save_checkpoint(replay, str(tmp_path), num_keep=2)
    file = tmp_path / "replay-000002" / "table-0-leaf-1.npy"
    if damage == "cut":
        file.write_bytes(b"x")
    else:
        file.unlink()
    save_checkpoint(replay, str(tmp_path), num_keep=2)
    assert (tmp_path / "replay-000001").exists()
    save_checkpoint(replay, str(tmp_path), num_keep=2)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["replay-000003", "replay-000004"]


def test_at_least_one_is_kept(make_replay, tmp_path):
    with pytest.raises(ValueError, match="expected num_keep >= 1, got 0"):
        save_checkpoint(make_replay(), str(tmp_path), num_keep=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["rows", "ids", "column-0", "a/b", "../x"])
def test_a_table_may_have_any_name(tmp_path, name):
    replay = Replay([windows_config(name), windows_config("others")], seed=0)
    writer = Writer(replay)
    writer.write([windows((0, 1), table=name)], steps={"frame": frames(10, 11)})
    save_checkpoint(replay, str(tmp_path / "folder"))
    tables = [windows_config("others"), windows_config(name)]
    again = Replay(tables, seed=0, restore=str(tmp_path / "folder"))
    found = again.sample(name, 1).data["frames"][:, :, 0].tolist()
    assert found == [[10, 11]]
    assert again.info("others").size == 0
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


# --- The disk is full ------------------------------------------------------------


@pytest.mark.parametrize("has_call", [True, False])
def test_all_space_is_taken_when_it_begins(
    monkeypatch, make_config, make_items, tmp_path, has_call
):
    if not has_call:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    replay = Replay([make_config(max_size=20_000)], seed=0)
    replay.insert("table", make_items(0, 20_000))
    replay.start_checkpoint(str(tmp_path))
    files = list((tmp_path / "replay-000001.tmp").iterdir())
    assert len(files) >= 4
    for file in files:
        assert file.stat().st_blocks * 512 >= file.stat().st_size


@pytest.mark.parametrize("num_before", range(4))
def test_a_full_disk_ends_the_checkpoint_and_nothing_else(
    monkeypatch, make_replay, restored, make_items, tmp_path, num_before
):
    replay = make_replay(rate_limiter=FREE, sampler=Fifo())
    save_checkpoint(replay, str(tmp_path))
    left = [None] * num_before

    def take_space(*args):
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left.pop()

    monkeypatch.setattr(os, "posix_fallocate", take_space, raising=False)
    with pytest.raises(
        OSError, match="replay-000002 was discarded: No space"
    ) as caught:
        save_checkpoint(replay, str(tmp_path))
    assert caught.value.errno == errno.ENOSPC
    assert [path.name for path in tmp_path.iterdir()] == ["replay-000001"]
    # Other calls work, and so does the next checkpoint.
    replay.insert("table", make_items(10, 13))
    keys = replay.sample("table", 2).keys
    assert replay.update_priorities("table", keys, np.full(2, 5.0)) == 2
    left += [None] * 100
    save_checkpoint(replay, str(tmp_path))
    assert contents(restored(rate_limiter=FREE)) == contents(replay)


def test_a_disk_that_is_full_at_the_end_leaves_nothing_either(
    monkeypatch, make_replay, tmp_path
):
    replay = make_replay()
    number = replay.start_checkpoint(str(tmp_path))
    while replay.copy_part(number):
        pass

    def sync(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(OSError, match="replay-000001 was discarded: No space"):
        replay.finish_checkpoint(number, 1)
    assert not list(tmp_path.iterdir())


# --- Two at a time, and other mistakes -------------------------------------------


def test_what_is_not_copied_is_not_finished(make_replay, restored, tmp_path):
    replay = make_replay()
    number = replay.start_checkpoint(str(tmp_path))
    with pytest.raises(ValueError, match="parts remain"):
        replay.finish_checkpoint(number, 1)
    while replay.copy_part(number):
        pass
    assert not replay.copy_part(number)
    replay.finish_checkpoint(number, 1)
    assert contents(restored()) == contents(replay)


def test_a_second_one_ends_the_first(make_replay, restored, make_items, tmp_path):
    replay = make_replay(rate_limiter=FREE)
    first = replay.start_checkpoint(str(tmp_path))
    replay.copy_part(first)
    replay.insert("table", make_items(20, 22))
    saved = contents(replay)
    second = replay.start_checkpoint(str(tmp_path))
    replay.insert("table", make_items(22, 26))
    for call in (replay.copy_part, lambda n: replay.finish_checkpoint(n, 1)):
        with pytest.raises(
            ValueError, match=f"checkpoint {first} is not being written"
        ):
            call(first)
    while replay.copy_part(second):
        pass
    replay.insert("table", make_items(26, 29))
    path = replay.finish_checkpoint(second, 1)
    assert [str(path) for path in tmp_path.iterdir()] == [path]
    assert contents(restored(rate_limiter=FREE)) == saved


def test_one_that_is_copied_and_never_finished_leaves_nothing(make_replay, tmp_path):
    replay = make_replay()
    number = replay.start_checkpoint(str(tmp_path))
    while replay.copy_part(number):
        pass
    path = save_checkpoint(replay, str(tmp_path))
    assert [str(path) for path in tmp_path.iterdir()] == [path]


def test_what_was_never_begun_or_is_finished_is_refused(make_replay, tmp_path):
    replay = make_replay()
    with pytest.raises(ValueError, match="checkpoint 1 is not being written"):
        replay.copy_part(1)
    save_checkpoint(replay, str(tmp_path))
    with pytest.raises(ValueError, match="checkpoint 1 is not being written"):
        replay.finish_checkpoint(1, 1)
