"""Private keys: where they are while they are loaded, and that nothing is left."""

from __future__ import annotations

import os
import ssl
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from acmelike.rpc.sockets.identity import _load
from tests.rpc.sockets.serving import AUTHORITY, identity_of


class Loaded(NamedTuple):
    """What was loaded, as it was found at that moment.

    Attributes:
      path, mode, pem: of the file.
      files: in the folder for temporary files.
      is_in_memory: see there.
    """

    path: Path
    mode: int
    pem: bytes
    files: list[Path]
    is_in_memory: bool


def is_in_memory():
    """Whether this process has memory with a certificate (Linux only)."""
    folder, names = Path("/proc/self/fd"), []
    for link in list(folder.iterdir()) if folder.is_dir() else []:
        with suppress(OSError):  # That of the list itself.
            names.append(os.readlink(link))
    return any("memfd:acmelike-certificate" in name for name in names)


@pytest.fixture
def loads(tmp_path, monkeypatch):
    """What is loaded; `tmp_path` is the folder for temporary files."""
    real, found = ssl.SSLContext.load_cert_chain, []

    def load(context, name):
        path = Path(name)
        mode, pem = stat.S_IMODE(path.stat().st_mode), path.read_bytes()
        files = list(tmp_path.iterdir())
        found.append(Loaded(path, mode, pem, files, is_in_memory()))
        real(context, name)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return found


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="run on Linux")
def test_with_memfd_a_private_key_is_in_no_folder(loads):
    identity_of(AUTHORITY)
    assert loads
    for loaded in loads:
        assert loaded.path.parent == Path("/proc/self/fd")
        assert b"PRIVATE KEY" in loaded.pem
        assert loaded.is_in_memory
        assert loaded.files == []
    assert not is_in_memory()


def test_without_memfd_a_private_key_is_in_a_file_of_this_user_for_a_moment(
    loads, tmp_path, monkeypatch
):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    identity_of(AUTHORITY)
    assert loads
    for loaded in loads:
        assert loaded.files == [loaded.path]
        assert loaded.mode == 0o600
        assert b"PRIVATE KEY" in loaded.pem
        assert not loaded.is_in_memory
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("has_memfd", [True, False])
def test_nothing_is_left_of_a_private_key_that_cannot_be_loaded(
    loads, tmp_path, monkeypatch, has_memfd
):
    if not has_memfd:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(OSError):  # Mostly SSLError, which is one.
        _load(context, b"no PRIVATE KEY")
    assert [loaded.pem for loaded in loads] == [b"no PRIVATE KEY"]
    assert list(tmp_path.iterdir()) == []
    assert not is_in_memory()
