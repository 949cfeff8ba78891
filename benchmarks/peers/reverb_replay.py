"""The trials of dm-reverb in the replay benchmark, each job by its fastest ways."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import reverb
import tensorflow as tf

from benchmarks import replay_load as load
from benchmarks.machine import resident_bytes

TRANSITION = {
    name: tf.TensorSpec(shape, dtype) for name, (shape, dtype) in load.COLUMNS.items()
}
SEQUENCE = {"frames": tf.TensorSpec(load.FRAMES, tf.uint8)}
# Steps that a writer keeps, of which it may put as many into one compressed chunk. One
# is the fastest to sample: nothing is decompressed for another's sake.
KEPT = (1, 64)
# Items after which a writer waits for the server, which it should not leave behind.
FLUSH_EVERY = 128
# Workers of a dataset, and the batches that they have under way together.
DATASETS = ((1, 1), (4, 1), (4, 2))


def _server(signatures: Mapping[str, Any], size: int) -> reverb.Server:
    """A table for each signature, drawn by priority if it is named so."""
    tables = [
        reverb.Table(
            name=name,
            sampler=(
                reverb.selectors.Prioritized(load.PRIORITY_EXPONENT)
                if name == "prioritized"
                else reverb.selectors.Uniform()
            ),
            remover=reverb.selectors.Fifo(),
            max_size=size,
            rate_limiter=reverb.rate_limiters.MinSize(1),
            signature=signature,
        )
        for name, signature in signatures.items()
    ]
    return reverb.Server(tables=tables, port=None)


def _serve(signatures: Mapping[str, Any], size: int, pipe: Connection) -> None:
    """The process of a server: tells its port, and stays until it is asked to go."""
    server = _server(signatures, size)
    pipe.send(server.port)
    pipe.recv()


@contextmanager
def _serving(signatures: Mapping[str, Any], size: int, where: str) -> Iterator[str]:
    """The address of a server in this process, or in another."""
    if where == "in process":
        server = _server(signatures, size)
        yield f"localhost:{server.port}"
        server.stop()
        return
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(signatures, size, there))
    process.start()
    yield f"localhost:{here.recv()}"
    here.send("go")
    process.join(10)
    process.kill()


def _write(
    client: reverb.Client,
    table: str,
    steps: list[dict[str, Any]],
    priorities: list[float],
    num_kept: int,
) -> float:
    """Writes an item for every step; returns items per second, until all are there."""
    started = time.perf_counter()
    with client.trajectory_writer(num_keep_alive_refs=num_kept) as writer:
        for index, (step, priority) in enumerate(zip(steps, priorities, strict=True)):
            writer.append(step)
            item = {name: column[-1] for name, column in writer.history.items()}
            writer.create_item(table, priority, item)
            if index % FLUSH_EVERY == 0:
                writer.flush(block_until_num_items=FLUSH_EVERY)
        writer.flush()
        return len(steps) / (time.perf_counter() - started)


def _sampled(address: str, table: str, batch: int, seconds: float) -> dict[str, float]:
    """Items per second by each way to sample batches."""
    client, rates = reverb.Client(address), {}

    def sample() -> int:
        return len(list(client.sample(table, batch, emit_timesteps=False)))

    rates["client"] = load.per_second(sample, seconds)
    for num_workers, num_batches in DATASETS:
        dataset = reverb.TrajectoryDataset.from_table_signature(
            address,
            table,
            max_in_flight_samples_per_worker=num_batches * batch // num_workers,
            num_workers_per_iterator=num_workers,
        )
        iterator = iter(dataset.batch(batch, drop_remainder=True))

        def take(iterator: Iterator[Any] = iterator) -> int:
            next(iterator)
            return batch

        way = f"dataset, workers: {num_workers}, batches: {num_batches}"
        rates[way] = load.per_second(take, seconds)
    return rates


def small_items(*, where: str, num_items: int, seconds: float) -> dict[str, Any]:
    """Items per second of each job, by its ways, and bytes per item; a trial."""
    columns = load.transitions(num_items)
    steps = [
        {name: column[index] for name, column in columns.items()}
        for index in range(num_items)
    ]
    ones, priorities = [1.0] * num_items, load.priorities(num_items).tolist()
    tables = dict.fromkeys(("uniform", "in chunks", "prioritized"), TRANSITION)
    with _serving(tables, num_items, where) as address:
        client = reverb.Client(address)
        _write(client, "prioritized", steps[:1000], ones[:1000], 1)
        inserted, grown = {}, []
        for kept, table in zip(KEPT, ("uniform", "in chunks"), strict=True):
            before = resident_bytes()
            inserted[f"{kept} kept"] = _write(client, table, steps, ones, kept)
            grown.append(resident_bytes() - before)
        _write(client, "prioritized", steps, priorities, 1)
        found = client.sample("prioritized", load.READ_BATCH, emit_timesteps=False)
        keys = [sample.info.key for sample in found]
        new_priorities = load.priorities(load.READ_BATCH)

        def update() -> int:
            pairs = zip(keys, new_priorities.tolist(), strict=True)
            client.mutate_priorities("prioritized", dict(pairs))
            return len(keys)

        batch = load.READ_BATCH
        return {
            "rates": {
                "insert": inserted,
                "sample uniformly": _sampled(address, "uniform", batch, seconds),
                "sample by priority": _sampled(address, "prioritized", batch, seconds),
                "update priorities": {"dict": load.per_second(update, seconds)},
            },
            "bytes_per_item": min(grown) / num_items,
        }


def sequences(*, where: str, num_items: int, seconds: float) -> dict[str, float]:
    """Bytes per second sampled, by way; a trial."""
    length = load.FRAMES[0]
    with _serving({"sequences": SEQUENCE}, num_items, where) as address:
        client = reverb.Client(address)
        with client.trajectory_writer(num_keep_alive_refs=length) as writer:
            # A chunk for each sequence: none is decompressed for another's sake.
            writer.configure(
                ("frame",), num_keep_alive_refs=length, max_chunk_length=length
            )
            for frames in load.sequences(num_items):
                for frame in frames:
                    writer.append({"frame": frame})
                item = {"frames": writer.history["frame"][-length:]}
                writer.create_item("sequences", 1.0, item)
                writer.end_episode()
        rates = _sampled(address, "sequences", load.SEQUENCE_BATCH, seconds)
        return {way: load.SEQUENCE_BYTES * rate for way, rate in rates.items()}
