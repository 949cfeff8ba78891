"""Checkpoints: what comes back, although traffic went on, and what is refused."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from acmelike.errors import CheckpointDamaged, ConfigError
from acmelike.replay import (
    Fifo,
    Lifo,
    MaxHeap,
    MinHeap,
    MinSize,
    Prioritized,
    Replay,
    SamplesPerInsert,
    Uniform,
    Writer,
    save_checkpoint,
)
from acmelike.replay.checkpoint import Saved
from tests.replay.test_writer import frames, windows, windows_config

SELECTORS = [Uniform(), Prioritized(exponent=1.0), Fifo(), Lifo(), MinHeap(), MaxHeap()]
LIMITER = SamplesPerInsert(ratio=1, min_size=3, error_buffer=9)


def contents(replay, table="table"):
    """Everything that a table holds: numbers with priorities and counts."""
    inner = replay._tables[table]
    slots = inner._slots.held()
    rows = zip(
        inner._contents.take(slots)["reward"].tolist(),
        inner._priorities[slots].tolist(),
        inner._quotas.times(slots).tolist(),
        strict=True,
    )
    return sorted(rows)


@pytest.fixture
def make_replay(make_config, make_items):
    def make(**changes):
        settings = {"rate_limiter": LIMITER, "max_size": 6} | changes
        replay = Replay([make_config(**settings)], seed=0)
        for start in (0, 4):
            replay.insert(
                "table",
                make_items(start, start + 4),
                np.array([3.0, 1.0, 2.0, 1.0]),
                num_env_steps=10,
            )
        replay.sample("table", 2)
        return replay

    return make


@pytest.fixture
def restored(make_config, tmp_path):
    def restore(limits="code", folder=tmp_path, **changes):
        settings = {"rate_limiter": LIMITER, "max_size": 6} | changes
        return Replay(
            [make_config(**settings)], seed=1, restore=str(folder), limits=limits
        )

    return restore


@pytest.mark.parametrize("sampler", SELECTORS, ids=str)
@pytest.mark.parametrize("remover", SELECTORS, ids=str)
def test_everything_comes_back(
    make_replay, restored, make_items, tmp_path, sampler, remover
):
    changes = {"sampler": sampler, "remover": remover}
    replay = make_replay(**changes)
    save_checkpoint(replay, str(tmp_path))
    again = restored(**changes)
    assert contents(again) == contents(replay)
    assert again.infos() == replay.infos()
    assert again.num_env_steps() == replay.num_env_steps() == 20
    for num_items in range(1, 20):
        tables = replay._tables["table"], again._tables["table"]
        for ask in ("blocks_insert", "blocks_sample"):
            verdicts = [getattr(table.limiter, ask)(num_items) for table in tables]
            assert verdicts[0] == verdicts[1]
    # What is not left to chance goes on as it would have gone.
    for side in (replay, again):
        side.insert("table", make_items(20, 23), np.array([1.0, 9.0, 1.0]))
    if not isinstance(remover, Uniform | Prioritized):
        kept = [[row[:2] for row in contents(side)] for side in (replay, again)]
        assert kept[0] == kept[1]
        if not isinstance(sampler, Uniform | Prioritized):
            samples = [
                side.sample("table", 1).data["reward"] for side in (replay, again)
            ]
            assert samples[0] == samples[1]


def test_old_keys_name_nothing_any_more(make_replay, restored, make_items, tmp_path):
    replay = make_replay()
    keys = replay.sample("table", 6).keys
    save_checkpoint(replay, str(tmp_path))
    again = restored()
    assert again.update_priorities("table", keys, np.ones(6)) == 0
    again.reset("table")
    again.insert("table", make_items(0, 6))
    assert again.delete("table", keys) == 0


def test_it_is_what_was_there_when_it_began(
    monkeypatch, make_replay, restored, make_items, tmp_path
):
    monkeypatch.setattr("acmelike.replay.service.PART_BYTES", 10)  # one item
    replay = make_replay(sampler=Fifo(), rate_limiter=MinSize(min_size=1))
    before = contents(replay)
    replay.begin_checkpoint(str(tmp_path))
    for n in range(40, 55):
        replay.insert("table", make_items(n, n + 1), np.array([7.0]))
        replay.copy_part()
    replay.reset("table")
    while replay.copy_part():
        pass
    replay.finish_checkpoint(1)
    again = restored(sampler=Fifo(), rate_limiter=MinSize(min_size=1))
    assert contents(again) == before
    assert again.num_env_steps() == 20


def test_shared_rows_come_back_once(monkeypatch, tmp_path):
    monkeypatch.setattr("acmelike.replay.service.PART_BYTES", 1)
    tables = [windows_config(), windows_config("others", max_size=2)]
    replay = Replay(tables, seed=0)
    writer = Writer(replay)
    pairs = [(-1, 0), (0, 1), (1, 2), (1, 1)]
    steps = {"frame": frames(10, 11, 12, 13)}
    writer.write([windows(*pairs), windows((1, 2), table="others")], steps=steps)
    replay.begin_checkpoint(str(tmp_path))
    for n in range(4, 30):  # The rows of before are given up, and used again.
        keep = {"frame": n}
        writer.write([windows((n, n))], steps={"frame": frames(n)}, keep_from=keep)
        replay.copy_part()
    while replay.copy_part():
        pass
    replay.finish_checkpoint(1)
    again = Replay(tables, seed=0, restore=str(tmp_path))
    found = again.sample("windows", 4).data["frames"][:, :, 0].tolist()
    assert found == [[0, 10], [10, 11], [11, 12], [11, 11]]
    assert again.sample("others", 1).data["frames"][:, :, 0].tolist() == [[11, 12]]
    # 10, 11 and 12; not 13, which only the writer could have referred to.
    assert again._shared["frame"].num_rows == 3
    Writer(again).write([windows((0, 0))], steps={"frame": frames(99)})
    again.reset("windows")
    assert again._shared["frame"].num_rows == 3  # two of the others, one kept


def test_an_empty_table_comes_back_empty(make_config, restored, tmp_path):
    empty = Replay([make_config(rate_limiter=LIMITER, max_size=6)], seed=0)
    save_checkpoint(empty, str(tmp_path))
    assert restored().infos() == empty.infos()


def test_without_a_checkpoint_it_begins_empty(restored, tmp_path):
    assert restored(folder=tmp_path / "none").info("table").size == 0


def test_only_the_newest_are_kept_and_nothing_else_is_touched(make_replay, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "replay-mine").mkdir()
    (tmp_path / "replay-000001.tmp").mkdir()  # of somebody who was killed
    replay = make_replay()
    made = [save_checkpoint(replay, str(tmp_path), num_keep=2) for _ in range(4)]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["notes", "replay-000003", "replay-000004", "replay-mine"]
    assert made[-1] == str(tmp_path / "replay-000004")


@pytest.mark.parametrize("damage", ["cut", "changed", "missing", "facts", "no facts"])
def test_a_damaged_one_is_named_and_the_one_before_it_used(
    make_replay, restored, make_items, tmp_path, caplog, damage
):
    replay = make_replay(rate_limiter=MinSize(min_size=1))
    save_checkpoint(replay, str(tmp_path))
    before = contents(replay)
    replay.insert("table", make_items(30, 31))
    newest = tmp_path / "replay-000002"
    save_checkpoint(replay, str(tmp_path))
    file = newest / "table-1.npy"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "changed":
        file.write_bytes(file.read_bytes()[:-1] + b"!")
    elif damage == "missing":
        file.unlink()
    elif damage == "facts":
        facts = newest / "facts.json"
        outer = json.loads(facts.read_text())
        outer["facts"] = outer["facts"].replace(
            '"num_env_steps": 20', '"num_env_steps": 9'
        )
        facts.write_text(json.dumps(outer))
    else:
        (newest / "facts.json").unlink()
    name = "facts.json" if "facts" in damage else "table-1.npy"
    with pytest.raises(CheckpointDamaged, match=rf"replay-000002: {name} "):
        Saved(newest)
    with caplog.at_level(logging.WARNING, "acmelike"):
        again = restored(rate_limiter=MinSize(min_size=1))
    assert contents(again) == before
    assert "replay-000002" in caplog.text
    assert "replay-000001" not in caplog.text


@pytest.mark.parametrize(
    ("remover", "left"),
    [(Fifo(), [6, 7]), (Lifo(), [2, 3]), (MinHeap(), [4, 6]), (MaxHeap(), [5, 7])],
    ids=str,
)
def test_the_limits_of_the_code_hold_or_those_of_the_checkpoint(
    make_replay, restored, tmp_path, remover, left
):
    replay = make_replay(remover=Fifo())  # 2 to 7 are left
    save_checkpoint(replay, str(tmp_path))
    small = restored(max_size=2, rate_limiter=MinSize(min_size=1), remover=remover)
    assert [int(row[0]) for row in contents(small)] == left
    info = small.info("table")
    assert (info.size, info.num_inserted, info.num_deleted) == (2, 8, 6)
    same = restored("checkpoint", max_size=2, rate_limiter=MinSize(min_size=1))
    assert same.info("table").max_size == 6
    assert contents(same) == contents(replay)
    assert same._tables["table"].limiter.blocks_insert(100) is not None


def test_other_tables_than_were_saved_are_refused(make_replay, restored, tmp_path):
    save_checkpoint(make_replay(), str(tmp_path))
    with pytest.raises(ConfigError, match=r"expected tables \['b'\], got \['table'\]"):
        restored(name="b")


def test_what_was_drawn_ahead_of_need_counts_as_before(make_replay, restored, tmp_path):
    replay = make_replay(max_times_sampled=3, sampler=Fifo())
    save_checkpoint(replay, str(tmp_path))
    again = restored(max_times_sampled=3, sampler=Fifo())
    assert again._tables["table"].blocks_sample(17) == (
        replay._tables["table"].blocks_sample(17)
    )
    assert again._tables["table"]._quotas.num_left() == 6 * 3 - 2
