"""A checkpoint belongs to one running call, to one version, and to arrays that fit."""

import os
import subprocess
import sys

import numpy as np
import pytest
from checkpointed_calls import called

import fastebm as fe
from fastebm._runtime import checkpoint as module
from fastebm._runtime.resumable import resumable

HOLD = """
import sys, time
from fastebm._runtime.resumable import resumable
with resumable("call", sys.argv[1], str, partial=lambda: None):
    print("held", flush=True)
    time.sleep(600)
"""


def run(path):
    with resumable("call", path, str, partial=lambda: None):
        return 1


def test_a_checkpoint_in_use_is_refused_by_name(tmp_path):
    path = tmp_path / "state.npz"
    with resumable("call", path, str, partial=lambda: None):
        with pytest.raises(fe.InvalidChainError, match=r"state\.npz is in use by another call"):
            run(path)
        link = tmp_path / "link"
        link.symlink_to(path)
        with pytest.raises(fe.InvalidChainError, match="link is in use by another call"):
            run(link)
        assert run(tmp_path / "other.npz") == 1
    assert run(path) == 1 and run(tmp_path / ("x" * 250)) == 1
    assert [item.name for item in tmp_path.iterdir()] == ["link"]


def test_a_process_that_dies_frees_its_checkpoint(tmp_path):
    path = tmp_path / "state.npz"
    command = [sys.executable, "-P", "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ}, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(fe.InvalidChainError, match="in use"):
            run(path)
        other.kill()
    assert run(path) == 1 and not list(tmp_path.iterdir())


def test_a_checkpoint_of_another_version_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "state.npz"
    monkeypatch.setattr(module, "__version__", "0.0.9")
    module.Checkpoint(path, "call", str).save(lambda: {"own|n": np.array(1)}, now=True)
    monkeypatch.undo()
    with pytest.raises(
        fe.InvalidChainError, match=r"state\.npz is a checkpoint of fastebm 0\.0\.9"
    ):
        run(path)
    assert path.exists()


def interrupted(path, name, n):
    seen = []

    def stop(info):
        seen.append(1)
        if len(seen) == n:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        called(name, checkpoint=path, callback=stop)


def test_arrays_of_another_length_are_refused_by_name(tmp_path):
    """Also where the checksum fits: somebody has made the file."""
    path = tmp_path / "state"
    interrupted(path, "mixing_curve", 3)
    state = module._read(path)
    name = max(state, key=lambda name: state[name].size)
    state[name] = state[name][:-1]
    with open(path, "wb") as file:
        np.savez(file, **state, checksum=np.array(module._checksum(state)))
    with pytest.raises(fe.InvalidChainError, match=f"{path}"):
        called("mixing_curve", checkpoint=path)


def test_errors_of_the_users_code_stay_in_a_resumed_call(tmp_path):
    path = tmp_path / "state"
    interrupted(path, "mixing_curve", 3)

    def fails(info):
        np.zeros(3) + np.zeros(2)

    with pytest.raises(ValueError, match="broadcast"):
        called("mixing_curve", checkpoint=path, callback=fails)
