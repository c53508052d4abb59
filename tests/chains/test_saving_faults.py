"""Saved chains under kill -9, several processes, flipped bits and faults of the system.

The long runs: FASTEBM_KILLS=100 and FASTEBM_FLIPS=1000 in the environment.
"""

import contextlib
import errno
import multiprocessing
import os
import pathlib
import time

import example_rules
import numpy as np
import pytest
import scipy.sparse as sp
from saved_folders import contents_of, data_of, files_of, forge, forge_array
from small_chains import P, dense

import fastebm as fe
from fastebm.chains import array_files
from fastebm.cli import main

KILLS = int(os.environ.get("FASTEBM_KILLS", "5"))
FLIPS = int(os.environ.get("FASTEBM_FLIPS", "250"))
N = 60_000
TRUST = "example_rules"
FORK = multiprocessing.get_context("fork")


def ring(seed, n=N):
    """A chain of n states with random weights and labels."""
    rng, states = np.random.default_rng(seed), np.arange(n)
    return fe.MarkovChain.from_edges(
        np.tile(states, 3),
        np.concatenate([(states + 1) % n, (states - 1) % n, (states + 7) % n]),
        rng.random(3 * n),
        labels=[f"{seed}:{x}" for x in states],
    )


def save_forever(chains, path):
    while True:
        for chain in chains:
            chain.save(path)


def loaded_fingerprint(path):
    chain = fe.load(path, verify=True)
    return chain.fingerprint(), chain.labels[0]


def identity(chain):
    return chain.fingerprint(), chain.labels[0]


def test_killed_while_it_replaces_a_chain(tmp_path):
    path, pair = tmp_path / "chain", [ring(0), ring(1)]
    known = {identity(chain) for chain in pair}
    begin = time.perf_counter()
    pair[0].save(path)
    duration = time.perf_counter() - begin
    rng = np.random.default_rng()
    for _ in range(KILLS):
        saver = FORK.Process(target=save_forever, args=(pair[::-1], path))
        saver.start()
        time.sleep(rng.uniform(0.0, 3.0 * duration))
        saver.kill()
        saver.join()
        assert loaded_fingerprint(path) in known
    pair[0].save(path)
    assert loaded_fingerprint(path) == identity(pair[0])
    assert sorted(os.listdir(path)) == ["chain.json", data_of(path).name]  # nothing is left


def test_killed_while_it_saves_a_chain_for_the_first_time(tmp_path):
    chain, rng = ring(0), np.random.default_rng()
    for k in range(KILLS):
        path = tmp_path / "folder" / f"chain{k}"
        saver = FORK.Process(target=save_forever, args=([chain], path))
        saver.start()
        time.sleep(rng.uniform(0.0, 0.15))
        saver.kill()
        saver.join()
        if (path / "chain.json").exists():
            assert loaded_fingerprint(path) == identity(chain)
        chain.save(path)
        assert loaded_fingerprint(path) == identity(chain)
        assert len(os.listdir(path)) == 2


@pytest.mark.parametrize("step", ["data", "pointer", "stale"])
def test_what_a_killed_saver_leaves_is_removed(step, tmp_path, monkeypatch):
    """A kill at each step, put in place of chance: os._exit ends a process as SIGKILL does."""
    path, old, new = tmp_path / "chain", ring(0, 50), ring(1, 50)

    def save():
        real = pathlib.Path.replace if step != "data" else pathlib.Path.rename
        name = "replace" if step != "data" else "rename"

        def dying(self, target):
            if step == "stale":
                real(self, target)
            os._exit(9)

        monkeypatch.setattr(pathlib.Path, name, dying)
        new.save(path)

    old.save(path)
    saver = FORK.Process(target=save)
    saver.start()
    saver.join()
    assert saver.exitcode == 9 and len(os.listdir(path)) > 2
    assert loaded_fingerprint(path) == identity(new if step == "stale" else old)
    old.save(path)
    assert len(os.listdir(path)) == 2


def save_often(chain, path, times):
    for _ in range(times):
        chain.save(path)


def test_two_savers_and_a_reader(tmp_path):
    path, pair = tmp_path / "chain", [ring(0, 3000), ring(1, 3000)]
    known = {identity(chain) for chain in pair}
    pair[0].save(path)
    savers = [FORK.Process(target=save_often, args=(chain, path, 40)) for chain in pair]
    for saver in savers:
        saver.start()
    seen = set()
    while any(saver.is_alive() for saver in savers) or not seen:
        seen.add(loaded_fingerprint(path))
    for saver in savers:
        saver.join()
    assert [saver.exitcode for saver in savers] == [0, 0]
    assert seen <= known and loaded_fingerprint(path) in known
    assert sorted(os.listdir(path)) == ["chain.json", data_of(path).name]


def test_a_data_folder_in_use_is_left_alone(tmp_path):
    """Another saver's folder, which is not named yet, is locked."""
    path, chain = tmp_path / "chain", ring(0, 50)
    chain.save(path)
    ready, go = FORK.Event(), FORK.Event()

    def slow():
        real = os.fsync

        def waiting(handle):
            ready.set()
            go.wait(60)
            real(handle)

        os.fsync = waiting
        ring(1, 50).save(path)

    saver = FORK.Process(target=slow)
    saver.start()
    assert ready.wait(60)
    ring(2, 50).save(path)
    assert len(os.listdir(path)) == 3
    go.set()
    saver.join()
    assert saver.exitcode == 0
    assert loaded_fingerprint(path) == identity(ring(1, 50))
    assert len(os.listdir(path)) == 2


def saved_kinds():
    labelled = fe.MarkovChain(P, labels=["a", "b\n", "\\n"], reward=[1.0, 2.0, 3.0])
    return {
        "plain": fe.MarkovChain(P).lazy(0.25),
        "labelled": labelled,
        "tilt": fe.tilt(labelled, [0.0, 1.0, -1.0], 0.5),
        "sparse tilt": fe.tilt(labelled, sp.csr_array(P), 0.5),
        "lattice": fe.Torus((3, 4), holding=0.25),
        "rule": fe.row_kernel(example_rules.birth_death, 5, 2, data=(0.5, 0.25, 5)),
    }


@pytest.mark.parametrize("kind", saved_kinds())
def test_a_flipped_bit_is_refused_by_name(kind, tmp_path):
    path, rng = tmp_path / "chain", np.random.default_rng(sum(map(ord, kind)))
    saved_kinds()[kind].save(path)
    files = files_of(path)
    sizes = np.array([file.stat().st_size for file in files])
    for k in range(FLIPS // 6):
        # half of them anywhere, the others in each file in turn
        file = files[
            rng.choice(len(files), p=sizes / sizes.sum()) if k % 2 else k // 2 % len(files)
        ]
        good = file.read_bytes()
        bad, at = bytearray(good), int(rng.integers(8 * len(good)))
        bad[at // 8] ^= 1 << at % 8
        file.write_bytes(bad)
        with pytest.raises(fe.InvalidChainError) as caught:
            fe.load(path, trust=TRUST)
        assert file.name in str(caught.value) and "; restore it" in str(caught.value)
        file.write_bytes(good)
    fe.load(path, trust=TRUST, verify=True)


def test_large_arrays_are_checked_when_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(array_files, "MAX_CHECKED", 1000)
    chain, path = ring(0, 500), tmp_path / "chain"
    chain.save(path)
    file = data_of(path) / "values.npy"
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)
    assert fe.load(path).fingerprint() == fe.load(path, verify=False).fingerprint()
    with pytest.raises(fe.InvalidChainError, match=r"values\.npy is damaged: its checksum"):
        fe.load(path, verify=True)
    assert main(["info", str(path)]) == 0
    assert main(["info", str(path), "--verify"]) == 2
    error = capsys.readouterr().err
    assert "values.npy is damaged" in error and error.count("\n") == 1
    with pytest.raises(fe.InvalidChainError, match="verify must be"):
        fe.load(path, verify="no")


FAULTS = {
    "array": (np.lib.format, "write_array_header_1_0"),
    "folder": (pathlib.Path, "mkdir"),
    "sync": (os, "fsync"),
    "data": (pathlib.Path, "rename"),
    "pointer": (pathlib.Path, "replace"),
}


@pytest.mark.parametrize("is_new", [False, True], ids=["old", "new"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_an_error_of_the_system_changes_nothing(fault, number, is_new, tmp_path, monkeypatch):
    path, old = tmp_path / "deep" / "chain", fe.MarkovChain(P)
    if not is_new:
        old.save(path)
        before = {file: file.read_bytes() for file in files_of(path)}

    def failing(*args, **options):
        raise OSError(number, os.strerror(number), "inner name")

    with monkeypatch.context() as patch:
        patch.setattr(*FAULTS[fault], failing)
        with pytest.raises(OSError) as caught:
            ring(0, 100).save(path)
    assert caught.value.errno == number and str(path.parent) in str(caught.value)
    if number != errno.EIO:
        assert "bytes" in str(caught.value) and "free" in str(caught.value)
    if is_new:
        assert os.listdir(tmp_path) == []
    else:
        assert {file: file.read_bytes() for file in files_of(path)} == before
        assert np.array_equal(dense(fe.load(path, verify=True)), P)


def test_ctrl_c_at_any_step_changes_nothing_or_all(tmp_path, monkeypatch):
    path, old, new = tmp_path / "chain", ring(0, 50), ring(1, 50)
    real, calls = os.fsync, [0]
    old.save(path)
    for at in range(1, 40):
        calls[0] = 0

        def interrupted(handle, at=at):
            calls[0] += 1
            if calls[0] == at:
                raise KeyboardInterrupt
            real(handle)

        monkeypatch.setattr(os, "fsync", interrupted)
        try:
            new.save(path)
            break
        except KeyboardInterrupt:
            pass
        assert loaded_fingerprint(path) in (identity(old), identity(new))
        assert sorted(os.listdir(path)) == ["chain.json", contents_of(path)["data"]]
    assert at > 5 and loaded_fingerprint(path) == identity(new)


def test_where_the_file_system_has_no_locks(tmp_path, monkeypatch):
    import fcntl

    def unsupported(handle, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    path = tmp_path / "chain"
    for k in range(3):
        ring(k, 50).save(path)
        assert loaded_fingerprint(path) == identity(ring(k, 50))
        assert len(os.listdir(path)) == 2


@pytest.mark.parametrize("forgery", ["symmetric", "nan", "negative"])
def test_forged_numbers_do_not_end_the_process(forgery, tmp_path):
    """What a checksum that fits cannot show; the core must not write beyond its arrays."""
    rng, path = np.random.default_rng(0), tmp_path / "chain"
    A = sp.random_array((60, 60), density=0.2, rng=rng) + sp.eye_array(60)
    fe.MarkovChain(A, normalize=True).save(path)
    values = np.load(data_of(path) / "values.npy")
    if forgery == "symmetric":
        forge(path, lambda contents: contents["facts"].update(symmetric=True))
    else:
        values[rng.integers(values.size, size=20)] = np.nan if forgery == "nan" else -1.0
        forge_array(path, "values", values)

    def analyse():
        chain = fe.load(path)
        for call in (
            lambda: chain.is_reversible,
            lambda: fe.stationary(chain, max_iter=100),
            lambda: fe.hitting_times(chain, [0], max_iter=100),
            lambda: fe.spectral_gap(chain, rng=0, max_matvecs=100),
        ):
            with contextlib.suppress(ValueError, ArithmeticError, RuntimeError):
                call()

    process = FORK.Process(target=analyse)
    process.start()
    process.join()
    assert process.exitcode >= 0  # not by a signal
