"""Sets up JAX for the tests, and fails a test that leaves something running."""

import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

# Before any import of JAX, and for the processes that tests start as well. Networks are
# small here, so that to optimise their code takes longer than to run it; and what one
# test has compiled is kept for other processes and for the next run of the tests.
# Without fusion emitters XLA compiles in half the time. JAX 0.10 has the flag; other
# versions, such as 0.12 (seen December 2026), do not know it and would not start.
COMPILED = Path(__file__).parents[1] / ".pytest_cache" / "jax"
with suppress(PackageNotFoundError):
    if version("jaxlib").startswith("0.10."):
        os.environ["XLA_FLAGS"] = (
            "--xla_cpu_use_fusion_emitters=false --xla_cpu_multi_thread_eigen=false"
        )
os.environ |= {
    "JAX_PLATFORMS": "cpu",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_COMPILATION_CACHE_DIR": str(COMPILED),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}

# The folders whose files take longest. They go first, so that none of the processes
# that share the tests is left with a long file at the end. The last have short tests.
LONG = ("rpc", "programs", "topologies", "docs", "agents", "experiments", "launchers")

GRACE = 2.0  # seconds that a test's threads, processes and sockets have to end
NOT_OURS = ("Dummy-", "jax", "pytest_timeout")  # threads of the interpreter and tools


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the files by their folders, the longest first."""
    folders = {name: place for place, name in enumerate(LONG)}
    root = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        return folders.get(item.path.relative_to(root).parts[0], len(LONG))

    items.sort(key=place)


@pytest.fixture(autouse=True, scope="module")
def collects_quickly() -> None:
    """What earlier tests left, JAX's caches above all, is no longer looked through."""
    gc.freeze()


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test after which new threads, child processes or sockets remain."""
    before = _running()
    failures = request.session.testsfailed
    yield
    if request.session.testsfailed > failures:
        return  # its traceback may hold sockets, and it is reported already
    left = _running() - before
    if left:
        gc.collect()
        left = _wait_for_end(before)
    if left:
        names = sorted(map(_describe, left))
        pytest.fail("the test left behind " + ", ".join(names), pytrace=False)


@pytest.fixture(autouse=True)
def stays_in_its_folder() -> Iterator[None]:
    """Fails a test that leaves the tests in another working directory."""
    before = os.getcwd()
    yield
    after = "a folder that is gone"
    with suppress(FileNotFoundError):
        after = os.getcwd()
    if after != before:
        os.chdir(before)
        pytest.fail(f"the test left the tests in {after}", pytrace=False)


def _wait_for_end(before: set[threading.Thread | str]) -> set[threading.Thread | str]:
    deadline = time.monotonic() + GRACE
    while left := _running() - before:
        if time.monotonic() > deadline:
            break
        threads = [item for item in left if isinstance(item, threading.Thread)]
        if threads:
            threads[0].join(deadline - time.monotonic())
        else:
            time.sleep(0.01)
    return left


def _running() -> set[threading.Thread | str]:
    """Threads as objects, since their numbers are used again; the rest by name."""
    threads = (t for t in threading.enumerate() if not t.name.startswith(NOT_OURS))
    return {*threads, *_children(), *_sockets()}


def _describe(item: threading.Thread | str) -> str:
    return item if isinstance(item, str) else f"thread {item.name!r}"


def _children() -> Iterator[str]:
    """The child processes, except the one that multiprocessing keeps (Linux only)."""
    kept = str(getattr(resource_tracker._resource_tracker, "_pid", None))
    for task in _listed("/proc/self/task"):
        with suppress(OSError), open(f"/proc/self/task/{task}/children") as file:
            yield from (f"process {pid}" for pid in file.read().split() if pid != kept)


def _sockets() -> Iterator[str]:
    """The open sockets, by the system's number for each (Linux only)."""
    for number in _listed("/proc/self/fd"):
        with suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{number}")
            if target.startswith("socket:"):
                yield target


def _listed(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []
