"""A process that writes to replay or samples from it, and notes each reply.

    python stress_client.py ROLE ADDRESS NUMBER NUM_MESSAGES NOTES

A note is in the file at once, so it is there even if the process is killed.
"""

from __future__ import annotations

import itertools
import os
import pickle
import sys

import numpy as np
from dm_env import specs

from acmelike.errors import RpcClosed
from acmelike.replay import (
    PADDING,
    Fifo,
    Items,
    Queue,
    Rows,
    SamplesPerInsert,
    TableConfig,
    Uniform,
    Writer,
)
from acmelike.rpc import Channel, Client, RemoteTarget

# Rows of 64 KiB, so that a message does not fit into the buffer of a socket.
ROW = specs.Array((8192,), np.int64)
SIGNATURE = {
    "writer": specs.Array((), np.int64),
    "number": specs.Array((), np.int64),
    "copies": specs.Array((32,), np.int64),
    "rows": Rows(column="row", row=ROW, length=3),
}
QUEUE_SIZE, BATCH, MESSAGE = 24, 4, 6
END = 0  # Not a writer: a sampler stops when it gets this number.
TABLES = [
    TableConfig(
        name="once",
        signature=SIGNATURE,
        max_size=QUEUE_SIZE,
        sampler=Fifo(),
        rate_limiter=Queue(size=QUEUE_SIZE),
        max_times_sampled=1,
    ),
    TableConfig(
        name="often",
        signature=SIGNATURE,
        max_size=32,
        sampler=Uniform(),
        rate_limiter=SamplesPerInsert(ratio=1.5, min_size=8, error_buffer=12),
        replacement=False,
    ),
]


def items(table, writer, numbers):
    """Items, each of which refers to its own step and the two before it."""
    pairs = np.asarray(numbers)[:, None] + np.arange(-2, 1)
    data = {
        "writer": np.full(len(numbers), writer),
        "number": np.asarray(numbers),
        "copies": np.repeat(stamp(writer, numbers)[:, None], 32, axis=1),
        "rows": np.where(pairs < 0, PADDING, pairs),
    }
    return Items(table, data)


def stamp(writer, numbers):
    """The number that fills a row, and an item's `copies`."""
    return writer * 10**9 + np.asarray(numbers) + 1


def rows(writer, numbers):
    return np.repeat(stamp(writer, numbers)[:, None], ROW.shape[0], axis=1)


def check(data):
    """Checks that each item is complete, and that its parts belong together."""
    own = stamp(data["writer"], data["number"])
    assert (data["copies"] == own[:, None]).all()
    numbers = data["number"][:, None] + np.arange(-2, 1)
    expected = np.where(numbers < 0, 0, own[:, None] + np.arange(-2, 1))
    assert (data["rows"] == expected[:, :, None]).all()


def write(replay, number, num_messages, note):
    """Writes `num_messages`, or with 0 until it is killed; notes each written item."""
    writer = Writer(replay)
    turns = range(num_messages) if num_messages else itertools.count()
    for turn in turns:
        numbers = np.arange(turn * MESSAGE, (turn + 1) * MESSAGE)
        writer.write(
            [items(table.name, number, numbers) for table in TABLES],
            steps={"row": rows(number, numbers)},
            keep_from={"row": int(numbers[-1]) - 1},
            num_env_steps=MESSAGE,
        )
        note([(number, n) for n in numbers])
    writer.close()


def sample_once(replay, note):
    """Samples from the queue until it gets END; notes each item."""
    is_over = False
    while not is_over:
        data = replay.sample("once", BATCH).data
        check(data)
        note(zip(data["writer"], data["number"], strict=True))
        is_over = END in data["writer"]


def sample_often(replay, note):
    """Samples until the run ends; notes each item."""
    while True:
        try:
            sample = replay.sample("often", BATCH)
        except RpcClosed:
            return
        check(sample.data)
        assert len(set(sample.keys.tolist())) == BATCH
        note(zip(sample.keys, sample.times_sampled, strict=True))


def connect(address, credentials):
    channel = Channel(address, credentials, lambda: None)
    return Client(RemoteTarget("replay", lambda: channel))


def main(role, address, number, num_messages, notes):
    replay = connect(*pickle.loads(bytes.fromhex(address)))
    file = os.open(notes, os.O_WRONLY | os.O_CREAT)

    def note(pairs):
        os.write(file, "".join(f"{w} {n}\n" for w, n in pairs).encode())

    if role == "write":
        write(replay, int(number), int(num_messages), note)
    elif role == "once":
        sample_once(replay, note)
    else:
        sample_often(replay, note)


if __name__ == "__main__":
    main(*sys.argv[1:])
