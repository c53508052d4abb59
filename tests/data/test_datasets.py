"""The language-model chains, checked against the package that ships the models and against a naive
automaton."""

import math
import pickle
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from fastebm import datasets
from fastebm.datasets import HistoryLabels
from fastebm.errors import InvalidChainError
from fastebm.io.ngram_model import read_model

pocketsphinx = pytest.importorskip("pocketsphinx")

LOG_UNIT = math.log(1.0001)  # NGramModel.prob gives whole logarithms to this base
FILES = {"english-trigram": "en-us/en-us.lm.bin", "english-phones": "en-us/en-us-phone.lm.bin"}
SIZES = {"english-trigram": (2_124_089, 5_917_801, 72_547), "english-phones": (1_553, 24_914, 43)}


def model_path(name):
    return pocketsphinx.get_model_path(FILES[name])


class Automaton:
    def __init__(self, name):
        self.path = model_path(name)
        self.n_states, self.nnz, self.n_words = SIZES[name]
        self.parts = datasets._automaton(self.path)
        self.indptr, self.indices, self.values, self.labels = self.parts
        self.n_bigrams = self.n_states - self.n_words - 1
        self.P = sp.csr_array(
            (self.values, self.indices, self.indptr.astype(np.int32)), shape=(self.n_states,) * 2
        )


@pytest.fixture(scope="module")
def english():
    return Automaton("english-trigram")


@pytest.fixture(scope="module")
def phones():
    return Automaton("english-phones")


@pytest.fixture(params=FILES)
def automaton(request, english, phones):
    return {"english-trigram": english, "english-phones": phones}[request.param]


# --- the automaton --------------------------------------------------------------------------------


def test_counts_and_dtypes(automaton):
    assert automaton.indptr.shape == (automaton.n_states + 1,)
    assert automaton.indices.shape == automaton.values.shape == (automaton.nnz,)
    assert automaton.indptr[0] == 0 and automaton.indptr[-1] == automaton.nnz
    assert (automaton.indptr.dtype, automaton.indices.dtype, automaton.values.dtype) == (
        np.int64,
        np.int32,
        np.float64,
    )
    assert (
        len(automaton.labels) == automaton.n_states
        and len(automaton.labels.words) == automaton.n_words
    )


def test_rows_ascend_strictly_are_positive_and_sum_to_one(automaton):
    assert (np.diff(automaton.indptr) > 0).all()
    row = np.repeat(np.arange(automaton.n_states), np.diff(automaton.indptr))
    assert (np.diff(row * automaton.n_states + automaton.indices) > 0).all()
    assert automaton.values.min() > 0
    assert np.abs(automaton.P.sum(axis=1) - 1).max() < 1e-12


def test_one_communicating_class(automaton):
    assert connected_components(automaton.P, connection="strong")[0] == 1


def test_state_order(automaton):
    labels, n_bigrams = automaton.labels, automaton.n_bigrams
    history = (
        labels.first[:n_bigrams].astype(np.int64) * automaton.n_words + labels.last[:n_bigrams]
    )
    assert labels.first[:n_bigrams].min() >= 0 and (np.diff(history) > 0).all()
    assert (labels.first[n_bigrams:] == -1).all()
    np.testing.assert_array_equal(labels.last[n_bigrams:-1], np.arange(automaton.n_words))
    assert labels.last[-1] == -1


def test_every_transition_appends_a_word_or_backs_off(automaton):
    labels, P = automaton.labels, automaton.P.tocoo()
    source, target = P.coords
    first, last = (np.append(word[:-1], -1) for word in (labels.first, labels.last))
    appends = first[target] == last[source]  # (u, v) -> (v, w), v -> (v, w), empty -> w
    shorter = np.where(
        first[source] >= 0, automaton.n_bigrams + last[source], automaton.n_states - 1
    )
    backs_off = (target == shorter) & (source < automaton.n_states - 1)
    assert (appends ^ backs_off).all()
    # A row has at most one back-off arc; the phones' 16-bit tables leave 27 rows with nothing left
    # over.
    assert np.bincount(source[backs_off]).max() == 1
    assert backs_off.sum() == automaton.n_states - 1 - (27 if automaton.n_words == 43 else 0)


def log_probabilities(automaton, entries):
    """(stored, the package's own) log P of the entries, in the file's unit, before rows were
    divided by their sums."""
    model = pocketsphinx.NGramModel.readfile(automaton.path)
    labels = automaton.labels
    row = np.searchsorted(automaton.indptr, entries, side="right") - 1
    # The package wants the newest word first.
    ngrams = [
        [labels.words[labels.last[automaton.indices[k]]]]
        + ([] if labels[i] == "<empty>" else labels[i].split()[::-1])
        for i, k in zip(row, entries, strict=True)
    ]
    stored = np.log(automaton.values[entries]) / LOG_UNIT
    return stored, np.array([model.prob(ngram) for ngram in ngrams]), list(map(len, ngrams))


def test_probabilities_are_those_of_the_package(english):
    explicit = np.ones(english.nnz, dtype=bool)
    explicit[english.indptr[1:-1] - 1] = False  # back-off arcs are the last of their rows
    sample = np.random.default_rng(1).choice(np.flatnonzero(explicit), 20_000, replace=False)
    stored, expected, orders = log_probabilities(english, sample)
    assert min(map(orders.count, (1, 2, 3))) > 100
    assert np.abs(stored - expected).max() <= 1.0  # the package drops the fraction


def test_probabilities_of_all_phones(phones):
    backs_off = phones.indices[phones.indptr[1:-1] - 1] >= phones.n_bigrams
    explicit = np.ones(phones.nnz, dtype=bool)
    explicit[phones.indptr[1:-1][backs_off] - 1] = False
    stored, expected, orders = log_probabilities(phones, np.flatnonzero(explicit))
    assert [orders.count(k) for k in (1, 2, 3)] == [43, 1_509, 21_837]
    # Rows of mass up to 1.0002 were divided by it: up to 2.3 units.
    assert -3.5 < (stored - expected).min() and (stored - expected).max() <= 1.0


def test_the_back_off_arc_has_the_remaining_probability(english):
    labels = english.labels
    model = pocketsphinx.NGramModel.readfile(english.path)
    state = labels.index("of the")
    row = slice(english.indptr[state], english.indptr[state + 1])
    *explicit, back_off = english.indices[row]
    assert labels[back_off] == "the"
    mass = sum(
        math.exp(model.prob([labels[j].split()[1], "the", "of"]) * LOG_UNIT) for j in explicit
    )
    assert english.values[row][-1] == pytest.approx(1 - mass, abs=1e-4)
    assert len(explicit) > 1_000


def test_end_of_sentence_returns_to_the_empty_history(english):
    state = english.labels.index("</s>")
    row = english.P[[state]]
    assert row.nnz == 1 and row[0, -1] == 1.0


def test_known_mass_of_the_empty_history(english):
    model = pocketsphinx.NGramModel.readfile(english.path)
    state = english.labels.index("the")
    raw = math.exp(model.prob(["the"]) * LOG_UNIT)
    assert english.P[english.n_states - 1, state] == pytest.approx(
        raw / 0.9999988, rel=1.1e-4, abs=0.0
    )


# --- the labels -----------------------------------------------------------------------------------


def test_label_strings(english):
    labels = english.labels
    assert labels[-1] == labels[english.n_states - 1] == "<empty>"
    assert labels[english.n_bigrams] == labels.words[0] == "'bout"
    assert labels[np.int64(english.n_bigrams + 1)] == "'cause"
    for name in ("new york", "york", "<s> the", "<empty>"):
        assert labels[labels.index(name)] == name and name in labels
    assert labels[labels.index("new york")] != labels[labels.index("york")]


@pytest.mark.parametrize("name", ["zyzzyva", "york new york", "the zyzzyva", "", 7])
def test_unknown_label(phones, english, name):
    assert name not in english.labels
    with pytest.raises(ValueError, match="not the name of a state"):
        english.labels.index(name)


def test_labels_are_a_sequence(phones):
    labels = phones.labels
    as_list = list(labels)
    assert len(as_list) == len(set(as_list)) == len(labels) == 1_553
    mask = labels.last == labels.words.index("AH")
    for subset in (slice(3, 40, 7), np.array([5, 2, -1]), mask):
        part = labels[subset]
        assert isinstance(part, HistoryLabels)
        assert list(part) == list(np.array(as_list)[subset])
    assert {label.split()[-1] for label in labels[mask]} == {"AH"}
    assert labels.index("AH", 1_500) == as_list.index("AH", 1_500)
    with pytest.raises(ValueError):
        labels.index("AH", 0, 100)
    with pytest.raises(IndexError):
        labels[1_553]
    assert list(pickle.loads(pickle.dumps(labels))) == as_list
    assert repr(labels) == "HistoryLabels(n_states=1553, n_words=43)"


# --- load -----------------------------------------------------------------------------------------


def test_names():
    assert datasets.names() == (*FILES, "smollm2-words", "smollm2-sums")


@pytest.fixture
def bare_chain(monkeypatch):
    """`load` without the chain's own work: the arguments that it would be made of."""

    class Bare:
        def __init__(self, matrix, **attributes):
            self.matrix = matrix
            self.__dict__.update(attributes)

    monkeypatch.setattr(datasets, "MarkovChain", Bare)


def test_reward_of_words_is_the_vader_valence_of_the_last(english, bare_chain, monkeypatch):
    vader = pytest.importorskip("vaderSentiment.vaderSentiment")
    monkeypatch.setattr(datasets, "_automaton", lambda path: english.parts)
    chain = datasets.load("english-trigram")
    lexicon = vader.SentimentIntensityAnalyzer().lexicon
    assert chain.reward.shape == (english.n_states,) and chain.reward.dtype == np.float64
    for name in ("good", "very good", "no good", "terrible", "of the", "</s>"):
        assert chain.reward[chain.labels.index(name)] == lexicon.get(name.split()[-1], 0.0)
    assert (
        chain.reward[chain.labels.index("good")] > 0 > chain.reward[chain.labels.index("terrible")]
    )
    assert chain.reward[-1] == 0.0
    rated = np.array([word in lexicon for word in chain.labels.words])
    assert rated.sum() == 4_258
    assert (chain.reward[:-1][~rated[chain.labels.last[:-1]]] == 0).all()


def test_reward_of_phones_is_one_for_vowels(bare_chain):
    chain = datasets.load("english-phones")
    for name, reward in {"AH": 1, "K AE": 1, "AE K": 0, "SIL": 0, "</s>": 0, "<empty>": 0}.items():
        assert chain.reward[chain.labels.index(name)] == reward
    assert (
        len(
            {
                label
                for label, reward in zip(chain.labels, chain.reward, strict=True)
                if reward and " " not in label
            }
        )
        == 15
    )


def test_load_gives_a_chain(phones):
    chain = datasets.load("english-phones")
    assert (chain.n_states, chain.nnz) == SIZES["english-phones"][:2]
    assert chain.labels[-1] == "<empty>" and chain.reward.shape == (1_553,)
    assert abs(chain.to_scipy() - phones.P).max() < 1e-14


def test_unknown_name_lists_the_known():
    for name in ("english", None, ["english-phones"]):
        with pytest.raises(ValueError, match="known: english-trigram, english-phones"):
            datasets.load(name)


@pytest.mark.parametrize("package", ["pocketsphinx", "vaderSentiment.vaderSentiment"])
def test_missing_package_names_the_remedy(phones, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(datasets, "_automaton", lambda path: phones.parts)
    with pytest.raises(
        ImportError,
        match=rf'needs the package {package.split(".")[0]}: pip install "fastebm\[demo\]"',
    ):
        datasets.load("english-trigram")


# --- files of another format ----------------------------------------------------------------------


UNIGRAMS = (
    36 + 3 * 65_536 * 4
)  # where the records (log, back-off, first child) of the unigrams begin


def changed(data, position, value):
    return data[:position] + value + data[position + len(value) :]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda data: b"", "cut short"),
        (lambda data: b"\\data\\\nngram 1=43\nngram 2=1509\n", "not a binary language model"),
        (lambda data: changed(data, 19, b"\2"), "order 2"),
        (lambda data: changed(data, 32, b"\0\0\0\0"), "quantisation 0"),
        (lambda data: data[:-1], "cut short"),
        (lambda data: data[:800_000], "cut short"),
        (lambda data: changed(data, 24, (1_508).to_bytes(4, "little")), "fastebm reads"),
        (lambda data: changed(data, 28, (21_836).to_bytes(4, "little")), "fastebm reads"),
        (lambda data: changed(data, len(data) - 3, b"\0"), "counts that contradict"),
        (lambda data: changed(data, UNIGRAMS + 5 * 12 + 9, b"\5"), "counts that contradict"),
        # The first words without bigrams now begin at bigram 1, so no word owns bigram 0.
        (
            lambda data: changed(changed(data, UNIGRAMS + 8, b"\1"), UNIGRAMS + 20, b"\1"),
            "counts that contradict",
        ),
    ],
    ids=(
        "empty arpa order quantisation last-byte tail bigrams trigrams words descending orphan"
    ).split(),
)
def test_file_of_another_format(tmp_path, change, problem):
    path = tmp_path / "model.bin"
    with open(model_path("english-phones"), "rb") as file:
        path.write_bytes(change(file.read()))
    with pytest.raises(InvalidChainError, match=problem) as info:
        datasets._automaton(path)
    assert str(path) in str(info.value) and "fastebm[demo]" in str(info.value)


def test_naive_automaton_of_the_phones(phones):
    """The same chain built n-gram by n-gram from the package's probabilities."""
    model = pocketsphinx.NGramModel.readfile(phones.path)
    labels = list(phones.labels)
    number = {label: state for state, label in enumerate(labels)}
    explicit = {label: {} for label in labels}
    for label in labels[:-1]:
        *history, word = label.split()
        explicit[" ".join(history) or "<empty>"][label] = math.exp(
            model.prob([word, *history]) * LOG_UNIT
        )
    trigrams = read_model(phones.path)
    for u, b in zip(trigrams.trigram_first, trigrams.trigram_bigram, strict=True):
        u, v, w = (
            trigrams.words[k] for k in (u, trigrams.bigram_first[b], trigrams.bigram_last[b])
        )
        explicit[f"{u} {v}"][f"{v} {w}"] = math.exp(model.prob([w, v, u]) * LOG_UNIT)
    P = np.zeros((len(labels), len(labels)))
    for label, successors in explicit.items():
        for target, probability in successors.items():
            P[number[label], number[target]] = probability
        mass = sum(successors.values())
        if label == "<empty>" or mass >= 1:
            P[number[label]] /= mass
        else:
            P[number[label], number[label.split()[1] if " " in label else "<empty>"]] = 1 - mass
    assert np.abs(phones.P.toarray() - P).max() < 2e-4
