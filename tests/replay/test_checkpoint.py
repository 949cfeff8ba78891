"""Checkpoints: what is restored, although calls changed replay meanwhile."""

from __future__ import annotations

import numpy as np
import pytest

from acmelike.errors import NotReady
from acmelike.replay import (
    EpisodeEnd,
    Fifo,
    Items,
    Lifo,
    MaxHeap,
    MinHeap,
    MinSize,
    Prioritized,
    Queue,
    Replay,
    Uniform,
    Writer,
    save_checkpoint,
)
from acmelike.replay.message import Message, Steps
from acmelike.replay.service.sample_cursors import SampleCursor
from tests.replay.conftest import LIMITER, contents
from tests.replay.test_writer import frames, num_rows, windows, windows_config

SELECTORS = [Uniform(), Prioritized(exponent=1.0), Fifo(), Lifo(), MinHeap(), MaxHeap()]


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
    for what in ("counters", "limits", "max_priority", "random_state"):
        assert again.dump("table")[what] == replay.dump("table")[what]
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
    make_replay, restored, make_items, tmp_path
):
    replay = make_replay(
        sampler=Fifo(), rate_limiter=MinSize(min_size=1), part_bytes=10
    )  # A part is one item.
    before = contents(replay)
    number = replay.start_checkpoint(str(tmp_path))
    for n in range(40, 55):
        keys = replay.sample("table", 3).keys
        replay.update_priorities("table", np.repeat(keys, 2), np.full(6, n))
        replay.insert("table", make_items(n, n + 1), np.array([7.0]))
        replay.copy_part(number)
    replay.reset("table")
    while replay.copy_part(number):
        pass
    replay.finish_checkpoint(number, 1)
    again = restored(sampler=Fifo(), rate_limiter=MinSize(min_size=1))
    assert contents(again) == before
    assert again.num_env_steps() == 20
    held = again.dump("table")
    number_of = dict(zip(held["keys"], held["data"]["reward"].tolist(), strict=True))
    assert [number_of[key] for key in held["sampler_order"]] == [2, 3, 4, 5, 6, 7]


def test_shared_rows_come_back_once(tmp_path):
    tables = [windows_config(), windows_config("others", max_size=2)]
    replay = Replay(tables, seed=0, part_bytes=1)
    writer = Writer(replay)
    pairs = [(-1, 0), (0, 1), (1, 2), (1, 1)]
    steps = {"frame": frames(10, 11, 12, 13)}
    writer.write([windows(*pairs), windows((1, 2), table="others")], steps=steps)
    number = replay.start_checkpoint(str(tmp_path))
    for n in range(4, 30):  # The rows of before are given up, and used again.
        keep = {"frame": n}
        writer.write([windows((n, n))], steps={"frame": frames(n)}, keep_from=keep)
        replay.copy_part(number)
    while replay.copy_part(number):
        pass
    replay.finish_checkpoint(number, 1)
    again = Replay(tables, seed=0, restore=str(tmp_path))
    found = again.sample("windows", 4).data["frames"][:, :, 0].tolist()
    assert found == [[0, 10], [10, 11], [11, 12], [11, 11]]
    assert again.sample("others", 1).data["frames"][:, :, 0].tolist() == [[11, 12]]
    # 10, 11 and 12; not 13, which only the writer could have referred to.
    assert num_rows(again) == 3
    Writer(again).write([windows((0, 0))], steps={"frame": frames(99)})
    again.reset("windows")
    assert num_rows(again) == 3  # two of the others, one kept


def test_an_empty_table_comes_back_empty(make_config, restored, tmp_path):
    empty = Replay([make_config(rate_limiter=LIMITER, max_size=6)], seed=0)
    save_checkpoint(empty, str(tmp_path))
    assert restored().infos() == empty.infos()


def test_one_checkpoint_is_restored_by_its_own_path(make_replay, restored, tmp_path):
    replay = make_replay()
    path = save_checkpoint(replay, str(tmp_path))
    size = replay.info("table").size
    assert size > 0
    assert restored(folder=tmp_path / path).info("table").size == size


def test_without_a_checkpoint_it_begins_empty(restored, tmp_path):
    assert restored(folder=tmp_path / "none").info("table").size == 0


def test_what_was_drawn_ahead_of_need_counts_as_before(make_replay, restored, tmp_path):
    replay = make_replay(max_times_sampled=4, sampler=Fifo())
    replay.sample("table", 1, SampleCursor(1, num_used=0))
    save_checkpoint(replay, str(tmp_path))
    again = restored(max_times_sampled=4, sampler=Fifo())
    reasons = []
    for side in (replay, again):
        with pytest.raises(NotReady) as caught:
            side.sample("table", 17)
        reasons.append(str(caught.value))
    assert reasons[0] == reasons[1]
    info = again.info("table")
    assert (info.num_sampled, info.num_prefetched) == (3, 0)
    assert again.dump("table")["num_remaining"] == 6 * 4 - 3


def test_the_order_of_equal_priorities_comes_back(
    make_config, make_items, restored, tmp_path
):
    settings = {"sampler": MinHeap(), "rate_limiter": MinSize(min_size=1)}
    replay = Replay([make_config(**settings)], seed=0)
    replay.insert("table", make_items(0, 3), np.ones(3))
    keys = replay.sample("table", 1).keys  # of item 0, which now becomes the last
    replay.update_priorities("table", keys, np.ones(1))
    save_checkpoint(replay, str(tmp_path))
    again = restored(**settings)
    for item in (1, 2, 0):
        sample = again.sample("table", 1)
        assert sample.data["reward"] == item
        again.delete("table", sample.keys)


def test_a_message_that_it_has_is_not_taken_again(tmp_path):
    replay = Replay([windows_config()], seed=0)
    steps = {"frame": Steps(0, frames(10, 11))}
    message = Message(7, 1, steps, [windows((0, 1))], {}, 5)
    assert replay.write(message) == 1
    save_checkpoint(replay, str(tmp_path))
    again = Replay([windows_config()], seed=0, restore=str(tmp_path))
    assert again.write(message) == 1
    assert (again.info("windows").num_inserted, again.num_env_steps()) == (1, 5)
    steps = {"frame": Steps(2, frames(12, 13))}
    assert again.write(Message(7, 2, steps, [windows((2, 3))], {}, 5)) == 1
    found = again.sample("windows", 2).data["frames"][:, :, 0].tolist()
    assert found == [[10, 11], [12, 13]]
    assert again.num_env_steps() == 10


def test_the_counts_of_episodes_come_back(tmp_path):
    replay = Replay([windows_config()], seed=0)
    steps = {"frame": Steps(0, frames(10, 11))}
    ends = [EpisodeEnd(3.0, 2), EpisodeEnd(0.0, 0, is_dropped=True)]
    replay.write(Message(7, 1, steps, [windows((0, 1))], {}, 5, ends))
    assert replay.episodes() == (1, 3.0, 2.0, 0.0, 1)
    save_checkpoint(replay, str(tmp_path))
    again = Replay([windows_config()], seed=0, restore=str(tmp_path))
    assert again.episodes() == (1, None, None, None, 1)


def test_of_half_a_message_the_rest_comes_once_or_is_said_to_be_lost(
    make_config, make_items, tmp_path
):
    config = make_config(
        sampler=Fifo(),
        max_times_sampled=1,
        replacement=False,
        rate_limiter=Queue(size=2),
    )
    replay = Replay([config], seed=0)
    whole = Message(7, 1, {}, [Items("table", make_items(0, 3))], {}, 5)
    assert replay.write(whole) == 2
    save_checkpoint(replay, str(tmp_path))
    once = Replay([config], seed=1, restore=str(tmp_path))
    save_checkpoint(once, str(tmp_path))  # Before its writer is heard of again.
    again = Replay([config], seed=1, restore=str(tmp_path))
    # Its writer asks for the rest, which nobody has.
    rest = whole._replace(items=(), is_continuation=True)
    with pytest.raises(ValueError, match=r"does not know the message.* are lost"):
        again.write(rest)
    # Or it has seen no reply.
    assert again.sample("table", 2).data["reward"].tolist() == [0, 1]
    assert again.write(whole) == 3
    assert again.sample("table", 1).data["reward"].tolist() == [2]
    assert again.num_env_steps() == 5
    assert again.write(whole._replace(number=2)) == 2
    assert again.num_env_steps() == 10


def test_settings_may_be_numbers_of_numpy(make_config, tmp_path):
    limiter = MinSize(min_size=np.int64(1))
    config = make_config(max_size=np.int64(8), rate_limiter=limiter)
    replay = Replay([config], seed=0)
    replay.insert(
        "table",
        {"pixels": np.zeros((1, 2, 3), np.uint8), "reward": np.zeros(1, np.float32)},
        num_env_steps=np.int64(4),
    )
    replay.sample("table", np.int64(1))
    save_checkpoint(replay, str(tmp_path))
    again = Replay([config], seed=0, restore=str(tmp_path), limits="checkpoint")
    assert again.num_env_steps() == 4
