"""Which files of a folder are sent to the hosts of a Ray cluster, without Ray."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from unittest.mock import MagicMock

import pytest

from acmelike import RayConfig
from acmelike.launchers.ray.broker import Broker, CannotServe, _environment

MB = 10**6
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="install git")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder in no checkout, whatever it is in."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.delenv("RAY_RUNTIME_ENV_IGNORE_GITIGNORE", raising=False)
    (folder := tmp_path / "project").mkdir()
    return folder


def fill(folder, sizes, ignored=""):
    """Writes files of these sizes, which take no room, and what is to be ignored."""
    for name, size in sizes.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)
    if ignored:
        (folder / ".gitignore").write_text(ignored)


def git(folder, *args):
    subprocess.run(["git", *args], cwd=folder, check=True, capture_output=True)


@needs_git
def test_what_git_ignores_is_not_counted(folder):
    git(folder, "init")
    sizes = {"train.py": 1, "data/images.bin": 600 * MB, "nets/old.pt": 600 * MB}
    fill(folder, sizes, "data/\n*.pt\n")
    assert _environment(str(folder))["working_dir"] == str(folder)


@needs_git
def test_what_git_keeps_may_be_too_large(folder):
    git(folder, "init")
    fill(folder, {f"data/train/{number}": 20 * MB for number in range(30)})
    fill(folder, {"model.pt": 90 * MB, "train.py": 1, "ignored": 900 * MB}, "ignored\n")
    git(folder, "add", "--intent-to-add", "train.py", "data")
    with pytest.raises(CannotServe) as caught:
        _environment(str(folder))
    said = str(caught.value)
    assert "has more than 500 MB" in said
    assert "(the largest in it: data/train (600 MB), model.pt (90 MB))" in said
    assert "name what nodes do not need in its .gitignore" in said


@needs_git
def test_a_checkout_in_the_checkout_has_its_own_rules(folder):
    inner = folder / "library"
    fill(folder, {"train.py": 1})
    fill(inner, {"code.py": 1, "data.bin": 600 * MB}, "data.bin\n")
    for checkout in (folder, inner):
        git(checkout, "init")
    _environment(str(folder))
    fill(inner, {"other.bin": 600 * MB})
    words = r"largest in it: library/other\.bin \(600 MB\)"
    with pytest.raises(CannotServe, match=words):
        _environment(str(folder))


@needs_git
def test_what_git_ignores_is_counted_if_ray_is_told_to_send_it(folder, monkeypatch):
    git(folder, "init")
    fill(folder, {"train.py": 1, "built.so": 600 * MB}, "*.so\n")
    _environment(str(folder))
    monkeypatch.setenv("RAY_RUNTIME_ENV_IGNORE_GITIGNORE", "1")
    with pytest.raises(CannotServe, match=r"built\.so \(600 MB\)"):
        _environment(str(folder))


@needs_git
def test_a_folder_that_git_ignores_as_a_whole_is_counted(folder):
    git(folder, "init")
    fill(folder, {"scratch/train.py": 1, "scratch/net.pt": 600 * MB}, "scratch/\n")
    with pytest.raises(CannotServe, match=r"net\.pt \(600 MB\)"):
        _environment(str(folder / "scratch"))


@pytest.mark.parametrize("has_git", [True, False])
def test_without_a_checkout_all_is_counted_but_what_no_host_needs(
    folder, has_git, monkeypatch
):
    if not has_git:
        monkeypatch.setenv("PATH", str(folder))
    names = (".venv/lib", "venv/lib", "runs/x", ".mypy_cache/x", "a/__pycache__/b")
    fill(folder, {"train.py": 1, **dict.fromkeys(names, 600 * MB)})
    _environment(str(folder))
    fill(folder, {"data/images.bin": 600 * MB})
    words = r"data/images\.bin \(600 MB\)\): .* from a git checkout, .* --no-ray-send"
    with pytest.raises(CannotServe, match=words):
        _environment(str(folder))


@pytest.mark.parametrize("is_job", [False, True])
def test_a_job_of_ray_finds_its_cluster_and_sends_nothing_again(
    folder, is_job, monkeypatch
):
    ray = MagicMock()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        # What `ray job submit` sets for the command.
        monkeypatch.setenv("RAY_ADDRESS", address)
        if is_job:
            monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
        config = RayConfig(working_dir=str(folder))
        Broker(MagicMock())._join_cluster(config.find_cluster(), config.working_dir)
    settings = ray.init.call_args.kwargs
    assert settings["address"] == address
    sent = settings["runtime_env"].get("working_dir")
    assert sent == (None if is_job else str(folder))
