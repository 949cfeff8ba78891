"""Checkpoints: which limits a restored table has, and which signatures fit."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from dm_env import specs

from acmelike.errors import ConfigError, NotReady
from acmelike.replay import (
    Fifo,
    Lifo,
    MaxHeap,
    MinHeap,
    MinSize,
    Queue,
    Raw,
    Replay,
    Rows,
    SamplesPerInsert,
    Stack,
    Uniform,
    save_checkpoint,
)
from tests.replay.conftest import SIGNATURE, contents
from tests.replay.test_writer import windows_config

FREE = MinSize(min_size=1)
ITEM_BYTES = 6 + 4


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
    assert same.dump("table")["limits"] == replay.dump("table")["limits"]


def test_other_tables_than_were_saved_are_refused(make_replay, restored, tmp_path):
    save_checkpoint(make_replay(), str(tmp_path))
    with pytest.raises(ConfigError, match=r"expected tables \['b'\], got \['table'\]"):
        restored(name="b")


@pytest.mark.parametrize("sampler", [Uniform(), Fifo()], ids=str)
def test_items_that_were_sampled_too_often_for_the_code_go(
    make_config, make_items, restored, tmp_path, sampler
):
    settings = {"sampler": Fifo(), "replacement": False, "rate_limiter": FREE}
    replay = Replay([make_config(**settings)], seed=0)
    replay.insert("table", make_items(0, 4))
    for num_items in (1, 2, 3):  # item 0 three times, 1 twice, 2 once, 3 never
        replay.sample("table", num_items)
    save_checkpoint(replay, str(tmp_path))
    again = restored(sampler=sampler, rate_limiter=FREE, max_times_sampled=2)
    assert [row[::2] for row in contents(again)] == [(2.0, 1), (3.0, 0)]
    info = again.info("table")
    assert (info.size, info.num_deleted, info.num_sampled) == (2, 2, 6)
    left = again.sample("table", 3)
    assert sorted(left.data["reward"]) == [2, 3, 3]
    assert again.info("table").size == 0


def test_the_bytes_that_the_code_allows_are_not_passed(make_replay, restored, tmp_path):
    save_checkpoint(make_replay(), str(tmp_path))  # 2 to 7
    again = restored(max_bytes=3 * ITEM_BYTES + 1, rate_limiter=FREE)
    assert [row[0] for row in contents(again)] == [5, 6, 7]
    info = again.info("table")
    assert (info.num_bytes, info.num_deleted) == (3 * ITEM_BYTES, 5)


def test_all_limits_of_the_checkpoint_hold(make_replay, restored, make_items, tmp_path):
    limits = {
        "max_size": 5,
        "max_bytes": 4 * ITEM_BYTES,
        "max_times_sampled": 2,
        "replacement": False,
    }
    save_checkpoint(make_replay(**limits, sampler=Fifo()), str(tmp_path))
    again = restored("checkpoint", sampler=Fifo(), rate_limiter=FREE)
    assert again.info("table").max_size == 5
    again.sample("table", 1)  # 4, for the second time
    with pytest.raises(NotReady, match="3 items left to sample, of 4"):
        again.sample("table", 4)
    again.sample("table", 3)
    assert [row[0] for row in contents(again)] == [6, 7]
    again.insert("table", make_items(8, 11))
    assert [row[0] for row in contents(again)] == [7, 8, 9, 10]
    found = again.dump("table")["limits"]
    assert {name: found[name] for name in limits} == limits


@pytest.mark.parametrize(
    "limiter",
    [
        SamplesPerInsert(ratio=0.5, min_size=2, error_buffer=3),
        MinSize(min_size=2),
        Queue(size=9),
        Stack(size=9),
        Raw(samples_per_insert=2, min_size=1, min_diff=-math.inf, max_diff=50),
    ],
    ids=str,
)
def test_the_limiter_that_is_saved_is_the_one_that_held(
    make_replay, restored, make_items, tmp_path, limiter
):
    replay = make_replay()
    replay.set_rate_limiter("table", limiter)
    save_checkpoint(replay, str(tmp_path))
    again = restored("checkpoint", rate_limiter=FREE)
    found = again.dump("table")["limits"]
    assert (found["limiter"], found["settings"]) == (
        type(limiter).__name__,
        asdict(limiter),
    )
    for side in (replay, again):
        side.delete("table", np.array(side.dump("table")["keys"]))
    reasons = []
    for side in (replay, again):
        with pytest.raises(NotReady) as caught:
            side.sample("table", 1)
        num_inserted = 0
        try:
            for n in range(100):
                num_inserted += side.insert("table", make_items(n, n + 1))
        except NotReady as error:
            reasons.append(str(error))
        reasons += [str(caught.value), num_inserted]
    assert reasons[: len(reasons) // 2] == reasons[len(reasons) // 2 :]


def test_a_limiter_of_your_own_is_not_in_the_checkpoint(
    make_replay, restored, tmp_path
):
    class Mine:
        limits = FREE.limits

    save_checkpoint(make_replay(rate_limiter=Mine()), str(tmp_path))
    assert restored(rate_limiter=Mine()).info("table").size == 6
    with pytest.raises(ConfigError, match=r"table 'table': .* its rate limiter"):
        restored("checkpoint", rate_limiter=Mine())


def test_chance_and_first_priorities_go_on_as_they_would_have(
    make_replay, restored, make_items, tmp_path
):
    replay = make_replay(rate_limiter=FREE)
    save_checkpoint(replay, str(tmp_path))
    again = restored(rate_limiter=FREE)  # It was made with another seed.
    states = [side.dump("table")["random_state"] for side in (replay, again)]
    assert states[0] == states[1]
    for side in (replay, again):
        side.insert("table", make_items(8, 9))  # the largest so far: 3
    assert contents(again)[-1][1] == 3.0


@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        (
            {"reward": specs.Array((), np.int8)},
            r"expected items\['reward'\] to be int8 \[\], got float32 \[\]$",
        ),
        (
            {"reward": specs.Array((3,), np.float32)},
            r"expected items\['reward'\] to be float32 \[3\], got float32 \[\]$",
        ),
        (
            {"reward": Rows(column="r", row=specs.Array((), np.float32))},
            r"expected items\['reward'\] to be rows of 'r' \[\], got float32 \[\]$",
        ),
        (
            {"other": specs.Array((), np.float32)},
            r"expected leaves .*'other'.*, got \[\"items\['pixels'\]\", ",
        ),
    ],
    ids=["dtype", "shape", "rows", "leaves"],
)
def test_items_of_another_signature_are_refused(
    make_replay, restored, tmp_path, leaf, message
):
    save_checkpoint(make_replay(), str(tmp_path))
    with pytest.raises(ConfigError, match=f"replay-000001: table 'table': {message}"):
        restored(signature=SIGNATURE | leaf)


def test_leaves_that_swap_places_are_refused(make_config, restored, tmp_path):
    leaf = specs.Array((), np.float32)
    signature = {"b": leaf, "c": leaf}
    save_checkpoint(Replay([make_config(signature=signature)], seed=0), str(tmp_path))
    with pytest.raises(ConfigError, match="expected leaves"):
        restored(signature={"a": leaf, "b": leaf})


def test_rows_of_another_kind_are_refused(tmp_path):
    save_checkpoint(Replay([windows_config()], seed=0), str(tmp_path))
    row = specs.Array((2,), np.float32)
    frames = Rows(column="frame", row=row, length=2)
    other = windows_config()
    other = replace(other, signature=other.signature | {"frames": frames})
    with pytest.raises(
        ConfigError, match=r"column 'frame': expected rows to be float32 \[2\], got "
    ):
        Replay([other], seed=0, restore=str(tmp_path))
