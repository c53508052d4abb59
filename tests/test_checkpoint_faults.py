"""Checkpoints that cannot be written or read: the work goes on, and no wrong bit is read.

FASTEBM_FLIPS sets the number of flipped bits, 60 by default.
"""

import errno
import os
import random
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
from checkpointed_calls import called

import fastebm as fe
from fastebm._runtime import checkpoint as module
from fastebm._runtime.checkpoint import Checkpoint
from fastebm._runtime.resumable import resumable, save

N_FLIPS = int(os.environ.get("FASTEBM_FLIPS", "60"))
CALL, N_REPORTS = "hitting_distribution", 300  # a report and a save after each step


@pytest.fixture(autouse=True)
def saves(monkeypatch):
    monkeypatch.setattr(module, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(module, "WORK_PER_SAVE", 0.0)


def stop_at(n):
    calls = iter(range(1, n + 1))

    def callback(info):
        if next(calls) == n:
            raise KeyboardInterrupt

    return callback


def failing(monkeypatch, code, after=0):
    """Writes of checkpoints fail from now on, but for the first `after`."""
    written = []
    savez = np.savez

    def write(file, **arrays):
        written.append(1)
        if len(written) > after:
            raise OSError(code, os.strerror(code))
        savez(file, **arrays)

    monkeypatch.setattr(np, "savez", write)
    return written


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_checkpoint_that_cannot_be_written_is_one_warning(monkeypatch, tmp_path, code):
    path, written = tmp_path / "state", failing(monkeypatch, code)
    with pytest.warns(fe.CheckpointWarning) as seen:
        found = called(CALL, checkpoint=path)
    assert found == called(CALL)
    assert len(written) > 100 and len(seen) == 1 and not list(tmp_path.iterdir())
    text = str(seen[0].message)
    assert str(path) in text and os.strerror(code) in text and "the work goes on" in text
    assert seen[0].filename == called.__code__.co_filename


def test_the_earlier_checkpoint_stays(monkeypatch, tmp_path):
    path = tmp_path / "state"
    with monkeypatch.context() as patch:
        failing(patch, errno.ENOSPC, after=40)
        with pytest.warns(fe.CheckpointWarning), pytest.raises(fe.Interrupted) as stop:
            called(CALL, checkpoint=path, callback=stop_at(200))
    assert stop.value.partial.n_steps == 200
    assert [item.name for item in tmp_path.iterdir()] == ["state"]
    left = []
    assert called(CALL, checkpoint=path, callback=left.append) == called(CALL)
    assert len(left) == N_REPORTS - 40


def test_a_folder_that_goes_away(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()

    def remove(info):
        for item in folder.iterdir() if folder.exists() else ():
            item.unlink()
        if folder.exists():
            folder.rmdir()

    with pytest.warns(fe.CheckpointWarning, match="No such file"):
        found = called(CALL, checkpoint=folder / "state", callback=remove)
    assert found == called(CALL)


LIMITED = """
import resource, signal, sys, warnings
import checkpointed_calls as calls
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
calls.save_always()
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    found = calls.digest(calls.CALLS[sys.argv[1]](checkpoint=sys.argv[2], num_threads=1))
print(found, len(seen), seen[0].message)
"""


def test_a_limit_of_the_file_size(tmp_path):
    folder = os.path.dirname(called.__code__.co_filename)
    path = filter(None, [folder, os.environ.get("PYTHONPATH")])  # an empty one is this folder
    found = subprocess.run(
        [sys.executable, "-P", "-c", LIMITED, CALL, str(tmp_path / "state")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
    )
    digest, n_warnings, text = found.stdout.split(" ", 2)
    assert (digest, n_warnings) == (called(CALL), "1"), found.stderr
    assert "File too large" in text and "bytes" in text
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small file system")
def test_a_full_disk(tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "none", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount")
    try:
        with pytest.warns(fe.CheckpointWarning, match="No space left") as seen:
            assert called(CALL, checkpoint=tmp_path / "state") == called(CALL)
        assert len(seen) == 1 and not list(tmp_path.iterdir())
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


# --- the partial result ---------------------------------------------------------------------------


def interrupted(path, state, partial=lambda: "partial"):
    with resumable("call", path, lambda: "id", state=state, restore=print, partial=partial):
        save()
        raise KeyboardInterrupt


def raising(error):
    def state():
        raise error

    return state


@pytest.mark.parametrize(
    "error", [MemoryError(), KeyboardInterrupt(), OSError(errno.EIO, "broken")]
)
def test_the_partial_result_arrives_whatever_the_state_does(tmp_path, error):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the warning is shown then, and costs nothing either
        with pytest.raises(fe.Interrupted) as stop:
            interrupted(tmp_path / "state", raising(error))
    assert stop.value.partial == "partial" and not list(tmp_path.iterdir())


def test_ctrl_c_while_the_state_is_saved_at_ctrl_c(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "SAVE_EVERY_S", 1e9)

    def write(file, **arrays):
        file.write(b"half")
        os.kill(os.getpid(), signal.SIGINT)
        signal.sigpending()

    monkeypatch.setattr(np, "savez", write)
    with pytest.raises(fe.Interrupted) as stop:
        interrupted(tmp_path / "state", lambda: {"x": np.arange(3)})
    assert stop.value.partial == "partial" and not list(tmp_path.iterdir())


def test_ctrl_c_while_the_partial_result_is_made(tmp_path):
    calls = []

    def partial():
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return "partial"

    with pytest.raises(fe.Interrupted) as stop:
        interrupted(tmp_path / "state", lambda: {"x": np.arange(3)}, partial)
    assert stop.value.partial == "partial" and (tmp_path / "state").exists()


def test_a_partial_result_that_fails_says_so(tmp_path):
    with pytest.raises(fe.Interrupted, match="MemoryError") as stop:
        interrupted(tmp_path / "state", lambda: {"x": np.arange(3)}, raising(MemoryError()))
    assert stop.value.partial is None and (tmp_path / "state").exists()


# --- the start ------------------------------------------------------------------------------------


def test_a_place_where_nothing_can_be_written_is_an_error_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    for place, error in (
        (tmp_path, IsADirectoryError),
        (tmp_path / "file" / "state", OSError),
        (tmp_path / "pipe", OSError),
        ("/proc/none/state", OSError),
    ):
        with pytest.raises(error) as found:
            called(CALL, checkpoint=place, callback=lambda info: pytest.fail("work was done"))
        assert str(place).removesuffix("/state") in str(found.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_an_error_before_the_work(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        called(CALL, checkpoint=tmp_path / "state")


def test_drafts_of_killed_runs_are_removed_at_the_next_start(tmp_path):
    path = tmp_path / "state"
    draft = tmp_path / ".state.0123abcd.draft"
    draft.write_text("half")
    Checkpoint(path, "call", lambda: "mine")
    assert not list(tmp_path.iterdir())


# --- damaged files --------------------------------------------------------------------------------


def load(path):
    return Checkpoint(path, "call", lambda: "mine").load()


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "state"
    rng = np.random.default_rng(0)
    state = {"x": rng.standard_normal(60), "n": np.array(7), "text": np.array("words")}
    Checkpoint(path, "call", lambda: "mine").save(lambda: state, now=True)
    return path, path.read_bytes(), {name: array.tobytes() for name, array in state.items()}


def test_flipped_bits_and_cuts_are_refused_or_harmless(saved):
    path, whole, state = saved
    rng = random.Random(1)
    n_refused = 0
    for trial in range(N_FLIPS):
        data = bytearray(whole)
        if trial % 4 == 3:
            data = data[: rng.randrange(len(data))]
        else:
            at = rng.randrange(8 * len(data))
            data[at // 8] ^= 1 << at % 8
        path.write_bytes(data)
        try:
            found = load(path)
        except fe.InvalidChainError as error:
            n_refused += 1
            assert str(path) in str(error) and "remove it" in str(error)
        else:
            assert {name: array.tobytes() for name, array in found.items()} == state
    assert n_refused > N_FLIPS // 2


def test_an_archive_that_asks_for_much_memory_is_refused(saved):
    path, _, _ = saved
    with np.load(path) as file:
        entries = {name: file[name] for name in file.files}
    np.savez_compressed(path.with_suffix(".npz"), **entries | {"bomb": np.zeros(10**6)})
    path.write_bytes(path.with_suffix(".npz").read_bytes())
    with pytest.raises(fe.InvalidChainError, match="a size that does not fit"):
        load(path)


def test_an_archive_with_other_contents_is_refused(saved):
    """Whole as an archive, with sums that fit, but not what was saved."""
    path, _, _ = saved
    with np.load(path) as file:
        entries = {name: file[name] for name in file.files}
    entries["x"][3] += 1e-9
    np.savez(path.open("wb"), **entries)
    with pytest.raises(fe.InvalidChainError, match="checksum"):
        load(path)
