"""Many processes use one replay node, and some of them are killed meanwhile."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

import acmelike
from acmelike import Node, Program, launch
from acmelike.replay import Message, Replay, Steps, Writer
from acmelike.rpc.sockets.frames import CALL, encode
from acmelike.rpc.sockets.greeting import greeting
from tests.replay import stress_client
from tests.replay.stress_client import BATCH, END, MESSAGE, QUEUE_SIZE, TABLES

LIMIT = 60.0


@contextmanager
def launched():
    """Replay in a process of its own; yields a client and its address and key."""
    program = Program("stress")
    handle = program.add_node(Node(Replay, TABLES, seed=0), label="replay")
    with launch(program, "processes") as run:
        # A killed node ends its run, so the processes to be killed are not nodes.
        channel = run._nodes._peers._channel_to("replay")
        yield run.client(handle), (channel.address, channel._credentials)


class Crew:
    """The processes that write and sample."""

    def __init__(self, stack, folder, address):
        self._stack, self._folder = stack, folder
        self._address = pickle.dumps(address).hex()
        self._num = 0

    def add(self, role, number=0, num_messages=0):
        """Starts a process; returns it and the file of its notes."""
        self._num += 1
        notes = self._folder / f"{self._num}-{role}"
        root = str(Path(acmelike.__file__).parents[1])
        words = [role, self._address, str(number), str(num_messages), str(notes)]
        process = subprocess.Popen(
            [sys.executable, stress_client.__file__, *words],
            env=os.environ | {"PYTHONPATH": root},
        )
        self._stack.callback(end, process)
        return process, notes


def end(process):
    """Waits for the end of a process, and kills it if it does not end."""
    try:
        process.wait(LIMIT)
    finally:
        process.kill()
        process.wait()


def read(files):
    """The notes of some processes: (writer, number) pairs."""
    lines = [line for file in files for line in file.read_text().splitlines()]
    return [tuple(map(int, line.split())) for line in lines]


def check_limits(replay):
    """Checks that the counters are within the limits, as at any moment."""
    once, often = replay.infos()
    assert 0 <= once.num_inserted - once.num_sampled <= QUEUE_SIZE
    assert once.num_deleted == once.num_sampled
    assert often.size == min(often.num_inserted, often.max_size)
    diff = often.num_inserted * 1.5 - often.num_sampled
    assert 0 <= diff <= 24


def run_and_kill(folder, num_writers, num_samplers, num_messages, *, samplers_die):
    """Checks that written items arrive complete and once, although some are killed."""
    num_killed = num_writers // 3
    num_robbers = num_samplers // 3 if samplers_die else 0
    with ExitStack() as stack, launched() as (replay, address):
        crew = Crew(stack, folder, address)
        samplers = [crew.add("once") for _ in range(num_samplers - num_samplers // 3)]
        others = [crew.add("often") for _ in range(num_samplers // 3)]
        # These are killed after a batch or more, of which they note what they can.
        robbers = [crew.add("once") for _ in range(num_robbers)]
        robbers += [crew.add("often") for _ in range(num_robbers)]
        # These would write for ever.
        doomed = [crew.add("write", number=k + 1) for k in range(num_killed)]
        writers = [
            crew.add("write", number=k + 1, num_messages=num_messages)
            for k in range(num_killed, num_writers)
        ]
        for process, notes in robbers:
            while not notes.exists() or not read([notes]):
                assert process.poll() is None
                check_limits(replay)
            process.kill()
            process.wait()
        for k, (process, notes) in enumerate(doomed):
            while not notes.exists() or len(read([notes])) < 5 * (k + 1) * MESSAGE:
                assert process.poll() is None
                check_limits(replay)
            process.kill()
            process.wait()
        while any(process.poll() is None for process, _ in writers):
            check_limits(replay)
        finish(replay, len(samplers))
        while any(process.poll() is None for process, _ in samplers):
            check_limits(replay)
        num_env_steps = replay.num_env_steps()
    ended = [process.returncode for process, _ in samplers + others + writers]
    assert ended == [0] * len(ended)
    robbed = [notes for _, notes in robbers[:num_robbers]]
    taken = Counter(read([*(notes for _, notes in samplers), *robbed]))
    told = set(read(notes for _, notes in writers + doomed))
    assert set(taken.values()) == {1}, "something came twice"
    # Who is killed while it samples may have taken a batch and not noted it; where no
    # sampler is, nothing at all may be lost.
    num_lost = len(told - set(taken))
    assert num_lost <= num_robbers * BATCH, "something that was acknowledged is lost"
    assert len(told) >= (num_writers - num_killed) * num_messages * MESSAGE
    lost = {pair for pair in set(taken) - told if pair[0] != END}
    # Of a writer that was killed, the message that it was at may have come.
    assert {writer for writer, _ in lost} <= set(range(1, num_killed + 1))
    assert len(lost) <= num_killed * MESSAGE
    assert len(told) <= num_env_steps <= len(told) + num_killed * MESSAGE


def finish(replay, num_samplers):
    """Ends the samplers: writes a batch of END for each, after the last items."""
    num_left = -replay.info("once").num_inserted % BATCH
    numbers = np.arange(num_left + BATCH * num_samplers)
    Writer(replay).write(
        [stress_client.items("once", END, numbers)],
        steps={"row": stress_client.rows(END, numbers)},
    )


@pytest.mark.long
@pytest.mark.parametrize("samplers_die", [False, True])
def test_nothing_acknowledged_is_lost_torn_or_doubled(tmp_path, samplers_die):
    run_and_kill(tmp_path, 3, 3, num_messages=30, samplers_die=samplers_die)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("samplers_die", [False, True])
def test_nothing_acknowledged_is_lost_torn_or_doubled_by_many(tmp_path, samplers_die):
    run_and_kill(tmp_path, 8, 8, num_messages=500, samplers_die=samplers_die)


@pytest.mark.long
def test_of_a_message_that_breaks_off_nothing_arrives():
    numbers = np.arange(MESSAGE)
    message = Message(
        writer=1,
        number=1,
        steps={"row": Steps(0, stress_client.rows(1, numbers))},
        items=[stress_client.items("once", 1, numbers)],
        keep_from={},
        num_env_steps=MESSAGE,
    )
    call = ("replay", "write", (message,), {}, None, "outside")
    frame = b"".join(encode(CALL, 0, call).pieces)
    with launched() as (replay, address):
        for num_bytes in (3, 100, len(frame) // 2, len(frame) - 1):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.connect(address[0].path)
                hello, _ = greeting(address[1].key, address[0].path)
                sock.sendall(hello + frame[:num_bytes])
        # Of another writer: one that had come would hide its repetition.
        assert replay.write(message._replace(writer=2)) == MESSAGE
        assert replay.info("once").num_inserted == MESSAGE
        assert replay.num_env_steps() == MESSAGE
        stress_client.check(replay.sample("once", MESSAGE).data)
