"""Finds values that import JAX where they are unpickled."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Mapping

# Reads the search path and the pickles. The last line that it prints is empty, or has
# the name of the first value that imports JAX, and the modules by which it does.
_SCRIPT = """
import pickle
import sys

modules = []  # Each one imports the next, and the last one imports JAX.


class Watch:
    # Python asks a finder for each module that it is about to import.
    def find_spec(self, name, path=None, target=None):
        frame = sys._getframe() if name == "jax" else None
        while frame is not None:
            module = frame.f_globals.get("__name__", "?")
            is_python = "importlib" in frame.f_code.co_filename
            if module not in ["__main__", *modules] and not is_python:
                modules.insert(0, module)
            frame = frame.f_back


sys.path[:], pickles = pickle.load(sys.stdin.buffer)
sys.meta_path.insert(0, Watch())
found = ""
for name, data in pickles.items():
    try:
        pickle.loads(data)
    except Exception as error:
        sys.exit(f"{name} returned: {type(error).__name__}: {error}")
    if "jax" in sys.modules:
        found = f"{name} returned: " + " -> ".join([*modules, "jax"])
        break
print()
print(found)
"""


def first_with_jax(pickles: Mapping[str, bytes]) -> str:
    """Unpickles values in a fresh interpreter, as a new process of a run does.

    Args:
      pickles: by the names of the functions that returned the values.

    Returns:
      Which function returned the first value that imports JAX, and the modules by which
      it does, such as "make_adder returned: mine.adder -> flax -> jax". Empty if no
      value does.

    Raises:
      AssertionError: a value cannot be unpickled there.
    """
    sent = pickle.dumps((sys.path, dict(pickles)))
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT], input=sent, capture_output=True
    )
    if ended.returncode != 0:
        reason = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise AssertionError(
            f"an actor in another process cannot unpickle what {reason}; take classes "
            "and functions from modules that can be imported there"
        )
    return ended.stdout.decode(errors="replace").splitlines()[-1]
