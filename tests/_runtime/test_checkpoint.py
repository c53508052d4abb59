"""The file that long calls resume from."""

import numpy as np
import pytest

import fastebm as fe
from fastebm._runtime.checkpoint import Checkpoint, fingerprint


def test_no_path_does_nothing():
    keeper = Checkpoint(None, "call", lambda: pytest.fail("asked for an identity"))
    keeper.save(lambda: pytest.fail("asked for a state"), now=True)
    assert keeper.load() is None
    keeper.discard()


def test_state_comes_back_bit_for_bit(tmp_path):
    path = tmp_path / "deep" / "state.npz"
    keeper = Checkpoint(path, "call", lambda: "mine")
    assert keeper.load() is None
    keeper.save(lambda: pytest.fail("too early to be written"))
    state = {"v": np.array([0.1, np.inf, np.nan, 5e-324]), "n": np.array(7)}
    keeper.save(lambda: state, now=True)
    found = Checkpoint(path, "call", lambda: "mine").load()
    assert found["v"].tobytes() == state["v"].tobytes() and int(found["n"]) == 7
    assert [p.name for p in path.parent.iterdir()] == ["state.npz"]
    keeper.discard()
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


def test_a_failed_write_leaves_the_old_state(tmp_path):
    path = tmp_path / "state.npz"
    keeper = Checkpoint(path, "call", lambda: "mine")
    keeper.save(lambda: {"n": np.array(1)}, now=True)
    with pytest.raises(KeyboardInterrupt):
        keeper.save(lambda: (_ for _ in ()).throw(KeyboardInterrupt), now=True)
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
            [x + 1e-16 * (x > 2)],
        )
    }
    assert len(prints) == 6  # the last adds less than rounding to 3.0: the same bits
    chain = fe.MarkovChain(np.array([[0.5, 0.5], [0.25, 0.75]]))
    assert (
        chain.fingerprint()
        == fe.MarkovChain(np.array([[0.5, 0.5], [0.25, 0.75]])).fingerprint()
        != chain.lazy(0.5).fingerprint()
    )
