"""The checkpoints of long calls."""

import dataclasses

import numpy as np
import pytest

import fastebm as fe
from fastebm._runtime.checkpoint import Checkpoint, fingerprint


def test_no_path_does_nothing():
    checkpoint = Checkpoint(None, "call", lambda: pytest.fail("no identity is needed"))
    checkpoint.save(lambda: pytest.fail("no state is needed"), now=True)
    assert checkpoint.load() is None
    checkpoint.discard()


def test_state_comes_back_bit_for_bit(tmp_path):
    path = tmp_path / "deep" / "state.npz"
    checkpoint = Checkpoint(path, "call", lambda: "mine")
    assert checkpoint.load() is None
    checkpoint.save(lambda: pytest.fail("too early to be written"))
    state = {"v": np.array([0.1, np.inf, np.nan, 5e-324]), "n": np.array(7)}
    checkpoint.save(lambda: state, now=True)
    found = Checkpoint(path, "call", lambda: "mine").load()
    assert found["v"].tobytes() == state["v"].tobytes() and int(found["n"]) == 7
    assert [p.name for p in path.parent.iterdir()] == ["state.npz"]
    checkpoint.discard()
    assert not path.exists()


@pytest.mark.parametrize("call, identity", [("other", "mine"), ("call", "yours")])
def test_a_foreign_file_is_refused(tmp_path, call, identity):
    path = tmp_path / "state.npz"
    Checkpoint(path, "call", lambda: "mine").save(dict, now=True)
    with pytest.raises(fe.InvalidChainError, match="another call"):
        Checkpoint(path, call, lambda: identity).load()


def test_a_damaged_file_is_refused_and_kept(tmp_path):
    path = tmp_path / "state.npz"
    path.write_bytes(b"not an archive")
    with pytest.raises(fe.InvalidChainError, match="not a checkpoint"):
        Checkpoint(path, "call", lambda: "mine").load()
    assert path.exists()


def test_nothing_to_save_writes_nothing(tmp_path):
    checkpoint = Checkpoint(tmp_path / "state.npz", "call", lambda: "mine")
    checkpoint.save(lambda: None, now=True)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_state(tmp_path):
    path = tmp_path / "state.npz"
    checkpoint = Checkpoint(path, "call", lambda: "mine")
    checkpoint.save(lambda: {"n": np.array(1)}, now=True)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(lambda: (_ for _ in ()).throw(KeyboardInterrupt), now=True)
    assert int(Checkpoint(path, "call", lambda: "mine").load()["n"]) == 1


def test_fingerprints_tell_apart():
    x = np.arange(4.0)
    prints = {
        fingerprint(*parts)
        for parts in (
            [x],
            [x.astype(np.float32)],
            [x.reshape(2, 2)],
            [x, None],
            [x, 1],
            [x, "1"],
            [x, 1, 23],
            [x, 12, 3],
            [x, "1", "23"],
            [x + 1e-16 * (x > 2)],
        )
    }
    assert len(prints) == 9  # the last adds less than rounding to 3.0: the same bits
    gap = fe.spectral_gap(fe.MarkovChain(np.array([[0.5, 0.5], [0.25, 0.75]])))
    other = dataclasses.replace(gap, gap=np.nextafter(gap.gap, 1.0))
    assert repr(gap) == repr(other) and fingerprint(gap) != fingerprint(other)
    assert fingerprint(gap) == fingerprint(dataclasses.replace(gap, wall_s=9.0))
    chain = fe.MarkovChain(np.array([[0.5, 0.5], [0.25, 0.75]]))
    assert (
        chain.fingerprint()
        == fe.MarkovChain(np.array([[0.5, 0.5], [0.25, 0.75]])).fingerprint()
        != chain.lazy(0.5).fingerprint()
    )


def test_fingerprints_of_strong_tilts_differ_where_all_transitions_underflow():
    P = np.array([[0.5, 0.5, 0.0], [0.25, 0.5, 0.25], [0.0, 0.5, 0.5]])
    cold, colder = (fe.tilt(fe.MarkovChain(P), np.arange(3.0), beta) for beta in (1e-3, 1e-4))
    np.testing.assert_array_equal(cold.to_scipy().toarray(), colder.to_scipy().toarray())
    assert cold.fingerprint() != colder.fingerprint()


def test_objects_are_refused_without_the_advice_of_numpy(tmp_path):
    path = tmp_path / "state"
    with open(path, "wb") as file:
        np.save(file, np.array([{}], dtype=object))
    with pytest.raises(fe.InvalidChainError) as caught:
        fe.hitting_times(fe.Hypercube(3), [0], checkpoint=path)
    assert "allow_pickle" not in str(caught.value) and "\n" not in str(caught.value)
