"""Saved chains and pickles."""

import copy
import pickle
import shutil

import gallery
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from saved_folders import data_of, forge, forge_array, make_early
from small_chains import UNIFORM, P, assert_same_chain, chains, dense, every_chain, mapped

import fastebm as fe
from fastebm import InvalidChainError, MarkovChain


@every_chain
def test_save_and_load(name, tmp_path):
    chain = chains()[name]
    chain.save(tmp_path / "deep" / "chain")
    loaded = fe.load(str(tmp_path / "deep" / "chain"))
    assert_same_chain(chain, loaded)
    assert loaded.is_reversible == chain.is_reversible
    stored = loaded if name not in ("tilted", "tilted lazy", "hot", "sparse") else loaded.reference
    assert isinstance(stored._scaled.pattern.matrix.indices, np.memmap)
    assert not stored._scaled.pattern.matrix.indices.flags.writeable
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["chain"]  # nothing temporary is left
    assert len(list((tmp_path / "deep" / "chain").iterdir())) == 2


@every_chain
def test_pickle_and_copy(name, tmp_path):
    chain = chains()[name]
    for other in (pickle.loads(pickle.dumps(chain)), copy.copy(chain), copy.deepcopy(chain)):
        assert_same_chain(chain, other)


def test_labels_rewards_and_pi_are_saved(tmp_path):
    chain = MarkovChain(P, labels=["ä", "b", "c\n"], reward=[1.0, -2.0, 0.5], pi=reference.gth(P))
    chain.save(tmp_path / "chain")
    assert_same_chain(chain, fe.load(tmp_path / "chain"))
    assert_same_chain(chain, pickle.loads(pickle.dumps(chain)))


def test_saving_replaces_a_chain_even_while_it_is_mapped(tmp_path):
    path = tmp_path / "chain"
    MarkovChain(P, labels=list("abc")).save(path)
    first = fe.load(path)
    MarkovChain(UNIFORM).save(path)
    assert np.array_equal(dense(first), P)
    second = fe.load(path)
    assert np.array_equal(dense(second), UNIFORM) and second.labels is None
    second.lazy(0.5).save(path)
    np.testing.assert_allclose(dense(fe.load(path)), (UNIFORM + np.eye(3)) / 2, rtol=1e-15)


def test_saving_overwrites_nothing_but_chains(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text").write_text("years of work")
    (tmp_path / "file").write_text("more")
    for name in ("thesis", "file"):
        with pytest.raises(InvalidChainError, match="not a saved chain"):
            MarkovChain(P).save(tmp_path / name)
    assert (tmp_path / "thesis" / "text").read_text() == "years of work" and (
        tmp_path / "file"
    ).read_text() == "more"


def test_loading_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        fe.load(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidChainError, match="not a saved chain"):
        fe.load(tmp_path / "empty")


DAMAGE = {
    "gone": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-9]),
    "garbage": lambda file: file.write_bytes(b"\x00garbage" * 40),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize(
    "kind, name",
    [
        (kind, name)
        for kind, names in {
            "plain": ("chain.json", "indptr.npy", "values.npy", "shift.npy", "labels.txt"),
            "tilt": ("tilt0_reward.npy", "indices.npy"),
            "sparse": ("tilt0_indptr.npy", "tilt0_values.npy"),
        }.items()
        for name in names
    ],
)
def test_a_damaged_folder_is_refused(kind, name, damage, tmp_path):
    chain, path = MarkovChain(P, labels=list("abc")), tmp_path / "chain"
    if kind == "plain":
        chain.lazy(0.5).save(path)
    else:
        fe.tilt(chain, sp.csr_array(P) if kind == "sparse" else [0.0, 1.0, 2.0], 1.0).save(path)
    damage((path if name == "chain.json" else data_of(path)) / name)
    with pytest.raises(InvalidChainError, match=name):
        fe.load(path)
    chain.save(path)
    assert_same_chain(chain, fe.load(path))
    assert len(list(path.iterdir())) == 2  # the damaged data is gone


@pytest.mark.parametrize(
    "name, array, word",
    [
        ("indptr", np.array([0, 2, 9, 7]), "indptr"),
        ("indptr", np.array([0, 2, 7]), "indptr"),
        ("indptr", np.array([1, 2, 4, 7]), "indptr"),
        ("indptr", np.array([0, 2, 4, 7], np.int32), "indptr"),
        ("indices", np.array([1, 2, 0, 1, 0, 1, 3], np.int32), "index"),
        ("indices", np.array([1, 2, 0, 1, 0, 1, -1], np.int32), "index"),
        ("indices", np.array([1, 2, 0, 1, 0, 1, 2], np.int64), "indices"),
        ("indices", np.array([2, 1, 0, 1, 0, 1, 2], np.int32), "indices do not ascend"),
        ("indices", np.array([1, 2, 0, 1, 0, 2, 1], np.int32), "indices do not ascend"),
        ("values", np.ones(6), "values"),
        ("values", np.ones(7, int), "values"),
        ("values", np.ones(7, np.complex128), "type"),
        ("row", np.ones(2), "row"),
        ("shift", np.ones((3, 3)), "shift"),
        ("shift", np.ones(3, np.float32), "shift"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(name, array, word, tmp_path):
    MarkovChain(P).lazy(0.5).save(tmp_path / "chain")
    forge_array(tmp_path / "chain", name, array)
    with pytest.raises(InvalidChainError, match=word):
        fe.load(tmp_path / "chain", verify=False)


def test_a_newer_format_is_refused(tmp_path):
    MarkovChain(P).save(tmp_path / "chain")
    forge(tmp_path / "chain", lambda contents: contents.update(format=99))
    with pytest.raises(InvalidChainError, match="update fastebm"):
        fe.load(tmp_path / "chain")


def test_any_text_is_a_label(tmp_path):
    for labels in (
        ["\\n", "a\nb", "\\"],
        ["", "\r", "\ud800"],
        ["\n", "", "\x00"],
        ["ä\u2028", " ", "b"],
    ):
        MarkovChain(P, labels=labels).save(tmp_path / "chain")
        assert fe.load(tmp_path / "chain").labels == labels


def test_a_tilt_of_a_tilt(tmp_path):
    chain = MarkovChain(P, labels=list("abc"))
    for k in range(30):
        chain = fe.tilt(chain, sp.csr_array(P) if k % 2 else [0.0, 0.1, 0.2], 0.5 + k)
    chain.save(tmp_path / "chain")
    found = fe.load(tmp_path / "chain")
    assert_same_chain(chain, found)
    assert found.beta == chain.beta and found.reference.beta == chain.reference.beta


@pytest.mark.parametrize("reward", (None, "dense"))
def test_pickles_of_memory_mapped_chains_are_tiny(reward, tmp_path):
    case = gallery.random_reversible(500, 0.1, 0)
    MarkovChain(case.P, reward=None if reward is None else np.arange(500.0)).save(
        tmp_path / "chain"
    )
    loaded = fe.load(tmp_path / "chain")
    data = pickle.dumps(loaded)
    assert len(data) < 2000 < loaded.nbytes / 100
    other = pickle.loads(data)
    assert isinstance(other._scaled.pattern.matrix.values, np.memmap)
    assert_same_chain(loaded, other)


def test_pickles_of_the_users_own_memory_maps_are_small(tmp_path):
    A = gallery.random_reversible(500, 0.1, 0).P
    arrays = [
        mapped(a, tmp_path / f"{i}.npy")
        for i, a in enumerate((A.indptr.astype(np.int64), A.indices.astype(np.int32), A.data))
    ]
    chain = MarkovChain(tuple(arrays))
    data = pickle.dumps(chain)
    assert len(data) < 8 * 500 + 2000  # a scaling of the rows, and three file names
    assert_same_chain(chain, pickle.loads(data))


def test_a_slice_of_a_memory_map_is_pickled_by_value(tmp_path):
    """NumPy's memmap does not know the offset of a slice in the file."""
    A = sp.csr_array(P)
    whole = mapped(np.append(np.full(5, 7.0), A.data), tmp_path / "values.npy")
    chain = MarkovChain((A.indptr.astype(np.int64), A.indices, whole[5:]))
    assert np.array_equal(dense(pickle.loads(pickle.dumps(chain))), P)


def test_a_pickle_is_not_read_from_a_file_that_was_replaced(tmp_path):
    MarkovChain(P).save(tmp_path / "chain")
    loaded = fe.load(tmp_path / "chain")
    data = pickle.dumps(loaded)
    MarkovChain(UNIFORM).save(tmp_path / "chain")
    with pytest.raises(InvalidChainError, match=r"indptr\.npy is gone, .*; pickle the chain again"):
        pickle.loads(data)
    # its own files are gone, the maps are not
    assert_same_chain(MarkovChain(P), pickle.loads(pickle.dumps(loaded)))


def test_a_pickle_is_not_read_from_a_file_that_was_changed(tmp_path):
    A = sp.csr_array(P)
    whole = mapped(A.data, tmp_path / "values.npy")
    chain = MarkovChain((A.indptr.astype(np.int64), A.indices, whole))
    data = pickle.dumps(chain)
    new = tmp_path / "new.npy"
    np.save(new, A.data[::-1])
    new.replace(tmp_path / "values.npy")
    # also if it was replaced before the chain was pickled
    for pickled in (data, pickle.dumps(chain)):
        with pytest.raises(InvalidChainError, match="has changed since the chain was pickled"):
            pickle.loads(pickled)
    np.save(tmp_path / "values.npy", A.data[:3])
    with pytest.raises(InvalidChainError, match="has changed"):
        pickle.loads(data)


@pytest.mark.parametrize("name", ["lazy uniform", "tilted lazy", "generator"])
def test_a_folder_of_format_1(name, tmp_path):
    path, chain = tmp_path / "chain", chains()[name]
    chain.labels = getattr(chain, "reference", chain).labels = ["a", "\u00e4", ""]
    chain.save(path)
    make_early(path)
    loaded = fe.load(path)
    assert_same_chain(chain, loaded)
    with pytest.raises(InvalidChainError, match="has no checksums"):
        fe.load(path, verify=True)
    loaded.save(path)
    assert_same_chain(chain, fe.load(path, verify=True))
    assert len(list(path.iterdir())) == 2


def test_a_hostile_folder_of_format_1(tmp_path):
    path = tmp_path / "chain"
    np.save(tmp_path / "outside.npy", np.array([0.5, 0.25, 0.125]))
    for change in (
        lambda facts: facts["arrays"].append("../outside"),
        lambda facts: facts["arrays"].append(str(tmp_path / "outside")),
        lambda facts: facts.update(n_states="3"),
        lambda facts: facts.update(arrays=None),
        lambda facts: facts.pop("n_states"),
    ):
        MarkovChain(P).save(path)
        make_early(path, change)
        with pytest.raises(InvalidChainError, match=str(path)):
            fe.load(path)
        shutil.rmtree(path)
