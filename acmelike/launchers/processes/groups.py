"""Process groups that are killed when this process is gone, however it ended."""

from __future__ import annotations

import subprocess
import threading
from contextlib import suppress

# Each line has all groups. Those of the last line are killed when the pipe ends, or
# when a line says "end", as another process may keep the pipe open.
_SHELL = """
while read -r line && [ "$line" != end ]; do groups=$line; done
[ -z "$groups" ] || kill -s KILL -- $groups
"""
_END_SECONDS = 5.0


class ProcessGroups:
    """Process groups that are killed when this process ends, even if it was killed.

    Linux then kills the processes of nodes, but not the processes that these have
    started, such as those of an environment. So a shell in a session of its own reads
    the groups from a pipe. The pipe ends with this process, and the shell kills them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: set[int] = set()
        self._shell: subprocess.Popen[bytes] | None = None

    def add(self, group: int) -> None:
        """Adds a group, which is killed when this process ends."""
        with self._lock:
            self._groups.add(group)
            self._tell()

    def discard(self, group: int) -> None:
        """Removes a group whose processes have ended; its number may be used again."""
        with self._lock:
            self._groups.discard(group)
            self._tell()

    def close(self) -> None:
        """Kills the groups that are left, and waits until the shell has ended."""
        with self._lock:
            if self._shell is None:
                return
            assert self._shell.stdin is not None
            with suppress(OSError):
                self._shell.stdin.write(b"end\n")
                self._shell.stdin.close()
            try:
                self._shell.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:  # It is stopped, say.
                self._shell.kill()
                self._shell.wait()
            self._shell = None

    def _tell(self) -> None:
        # A shell that fails is no error: it matters only if this process is killed.
        with suppress(OSError):
            if self._shell is None:
                self._shell = _start_shell()
            assert self._shell.stdin is not None
            line = " ".join(f"-{group}" for group in sorted(self._groups))
            self._shell.stdin.write(f"{line}\n".encode())


def _start_shell() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", _SHELL],
        bufsize=0,
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
