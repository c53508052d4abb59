"""Real chains by name: the back-off automata of the n-gram models that the PyPI package `pocketsphinx` ships."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from .chains.chain import MarkovChain
from .errors import InvalidChainError

_REMEDY = 'pip install "fastebm[demo]"'
_EMPTY = "<empty>"  # the label of the state without a history
_MAGIC = b"Trie Language Model"
_LOG_BASE = np.log(1.0001)  # the file's logarithms are to this base
_N_BINS = 65536  # probabilities and back-off weights are 16-bit indices into tables
_VOWELS = frozenset("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split())  # of ARPAbet


@dataclass(frozen=True, eq=False, repr=False)
class HistoryLabels(Sequence):
    """The names of states that are word histories: a read-only sequence of strings, made when asked for.

    An integer index gives a string ("w1 w2" for a two-word history, "w" for a one-word history, "<empty>" for the
    empty one); a slice, an integer array or a bool mask gives the `HistoryLabels` of those states. Eight bytes a
    state beside the word list, where a list of strings takes about eighty.

    Attributes
    ----------
    words : tuple of str, length n_words
        The vocabulary.
    first, last : ndarray of int32, shape (n_states,)
        Index into `words` of the first and the last word of each history; -1 where there is none: in `first` for
        histories of fewer than two words, in `last` for the empty history.

    Examples
    --------
    >>> labels = HistoryLabels(("new", "york"), np.array([0, -1, -1]), np.array([1, 0, -1]))
    >>> list(labels)
    ['new york', 'new', '<empty>']
    >>> labels.index("new york")
    0
    """

    words: tuple
    first: np.ndarray
    last: np.ndarray

    def __len__(self):
        return len(self.last)

    def __getitem__(self, index):
        try:
            state = operator.index(index)
        except TypeError:
            return HistoryLabels(self.words, self.first[index], self.last[index])
        history = (self.first[state], self.last[state])
        return " ".join(self.words[word] for word in history if word >= 0) or _EMPTY

    def index(self, label, start=0, stop=None):
        """The state whose name is `label`, in one vectorised search.

        Parameters
        ----------
        label : str
        start, stop : int, optional
            Search only the states of this slice.

        Returns
        -------
        int

        Raises
        ------
        ValueError
            No state has that name.
        """
        try:
            history = () if label == _EMPTY else tuple(map(self.words.index, label.split(" ")))
            first, last = (-1,) * (2 - len(history)) + history
            match = (self.first[start:stop] == first) & (self.last[start:stop] == last)
            return range(len(self))[start:stop][np.flatnonzero(match)[0]]
        except (AttributeError, IndexError, ValueError):
            raise ValueError(f"{label!r} is not the name of a state") from None

    def __contains__(self, label):
        try:
            self.index(label)
        except ValueError:
            return False
        return True

    def __repr__(self):
        return f"HistoryLabels(n_states={len(self)}, n_words={len(self.words)})"


def names():
    """The data sets that `load` knows.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> names()
    ('english-trigram', 'english-phones')
    """
    return tuple(_DATASETS)


def load(name):
    """A real Markov chain with labels and a reward.

    A state is what the language model remembers: a two-word history, a one-word history or the empty history. A
    trigram leads from (w1, w2) to (w2, w3), a bigram from w to (w, v), a unigram from the empty history to w. What
    probability remains to a history goes to its back-off arc: (w1, w2) -> w2 and w -> the empty history. The
    two-word histories come first, in the order of (first word, last word), then the words, then the empty history.

    Parameters
    ----------
    name : {"english-trigram", "english-phones"}
        "english-trigram": 72,547 English words, 2,124,089 states, 5,917,801 transitions, one communicating class.
        The reward of a state is the VADER valence of its last word, 0 where VADER has none.
        "english-phones": 43 phones of English, 1,553 states, 24,914 transitions. The reward is 1 where the last
        phone is a vowel, else 0 (VADER has no valence for phones).

    Returns
    -------
    MarkovChain
        With `labels` (a `HistoryLabels`) and `reward` (float64, shape (n_states,)).

    Raises
    ------
    ValueError
        No data set has that name.
    ImportError
        A package that holds the data is missing; the text names the remedy.
    InvalidChainError
        The installed `pocketsphinx` ships a file of another format.

    Notes
    -----
    The model gives the sentence start "<s>" the probability 1e-99. The chain is irreducible all the same, but the
    stationary mass of states that are reached through it only is down to 1e-108: keep them out of starts and
    targets, and expect bounds over the worst start to say nothing there.

    Examples
    --------
    >>> import fastebm as fe
    >>> chain = fe.datasets.load("english-phones")
    >>> chain.n_states, chain.labels[0], chain.labels[-1]
    (1553, '</s> <s>', '<empty>')
    """
    try:
        file_name, word_reward = _DATASETS[name]
    except (KeyError, TypeError):
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(names())}") from None
    try:
        from pocketsphinx import get_model_path
    except ImportError as error:
        raise ImportError(
            f"the data set {name!r} needs the package pocketsphinx: {_REMEDY}"
        ) from error
    *matrix, labels = _automaton(get_model_path(f"en-us/{file_name}"))
    # The last entry is for the empty history, whose last word is -1.
    reward = np.array([*word_reward(labels.words), 0.0])[labels.last]
    return MarkovChain(tuple(matrix), labels=labels, reward=reward)


def _valence(words):
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError as error:
        raise ImportError(
            f"the reward of words needs the package vaderSentiment: {_REMEDY}"
        ) from error
    lexicon = SentimentIntensityAnalyzer().lexicon
    return [lexicon.get(word, 0.0) for word in words]


def _is_vowel(words):
    return [float(word in _VOWELS) for word in words]


_DATASETS = {
    "english-trigram": ("en-us.lm.bin", _valence),
    "english-phones": ("en-us-phone.lm.bin", _is_vowel),
}


def _automaton(path):
    """The back-off automaton of a trigram model: (indptr, indices, values) with rows that sum to 1, and the labels."""
    model = _read_model(path)
    n_words, n_bigrams = len(model.words), len(model.bigram_first)
    empty = n_bigrams + n_words
    n_states = empty + 1

    # The file sorts bigrams by their last word. By their first word, the successors of a history are neighbours, and
    # the rows of words come out in ascending order; so do those of trigrams by (first word, target).
    first, last, order = _sorted_pairs(
        path, model.bigram_first, model.bigram_last, np.arange(n_bigrams), (n_words, n_words)
    )
    rank = np.empty(n_bigrams, np.int64)
    rank[order] = np.arange(n_bigrams)
    trigram_first, target, trigram_log = _sorted_pairs(
        path,
        model.trigram_first,
        rank[model.trigram_bigram],
        model.trigram_log,
        (n_words, n_bigrams),
    )
    key, history = first * n_words + last, trigram_first * n_words + first[target]
    source = np.minimum(np.searchsorted(key, history), n_bigrams - 1)
    if not np.array_equal(key[source], history):
        raise _bad_model(path, "a trigram whose history is no bigram")

    words = n_bigrams + np.arange(n_words)
    source = np.concatenate([source, n_bigrams + first, np.full(n_words, empty)])
    target = np.concatenate([target, np.arange(n_bigrams), words])
    log_value = np.concatenate([trigram_log, model.bigram_log[order], model.unigram_log])
    value = np.exp(log_value * _LOG_BASE)

    mass = np.bincount(source, value, n_states)
    left_over = 1.0 - mass
    # The 16-bit tables leave some rows with a mass just above 1: those have no back-off arc.
    backs_off = left_over > 0
    backs_off[empty] = False
    value /= np.where(backs_off, 1.0, mass)[source]

    # Back-off targets are numbered above the explicit targets of their row, so appending keeps rows ascending.
    end = np.cumsum(np.bincount(source, minlength=n_states))
    back_off = np.concatenate([n_bigrams + last, np.full(n_words + 1, empty)])
    indptr = np.concatenate([[0], end + np.cumsum(backs_off)])
    indices = np.insert(target.astype(np.int32), end[backs_off], back_off[backs_off])
    values = np.insert(value, end[backs_off], left_over[backs_off])

    none = np.full(n_words + 1, -1)
    labels = HistoryLabels(
        model.words,
        np.concatenate([first, none]).astype(np.int32),
        np.concatenate([last, words - n_bigrams, [-1]]).astype(np.int32),
    )
    return indptr, indices, values, labels


def _sorted_pairs(path, row, column, value, shape):
    """(row, column, value), sorted by row, then by column: two counting sorts, a third of the time of a comparing one."""
    pairs = sp.coo_array((value, (row, column)), shape=shape).tocsc().tocsr()
    if pairs.nnz != len(value):
        raise _bad_model(path, "an n-gram that is listed twice")
    return np.repeat(np.arange(shape[0]), np.diff(pairs.indptr)), pairs.indices, pairs.data


@dataclass(frozen=True, eq=False)
class _Model:
    """The n-grams of a file, in its order. Logarithms to the base 1.0001, words and bigrams by their index."""

    words: tuple
    unigram_log: np.ndarray
    bigram_first: np.ndarray
    bigram_last: np.ndarray
    bigram_log: np.ndarray
    trigram_first: np.ndarray
    trigram_bigram: np.ndarray  # the bigram of its last two words
    trigram_log: np.ndarray


def _bad_model(path, found):
    return InvalidChainError(
        f"{path}: {found}; fastebm reads the 16-bit trigram models of pocketsphinx 5: {_REMEDY} --force-reinstall"
    )


def _read_model(path):
    """Read a binary trigram model of pocketsphinx.

    The trie is stored backwards: the children of the unigram w are the bigrams (v, w), their children the trigrams
    (u, v, w). Unigrams are plain records; bigrams and trigrams are packed bit by bit, least significant bit first:
    [word, 16-bit back-off weight, 16-bit log probability, first child] and [word, 16-bit log probability].
    """
    data = np.fromfile(path, np.uint8)
    position = 0

    def take(dtype, count):
        nonlocal position
        begin, position = position, position + np.dtype(dtype).itemsize * count
        if position > len(data):
            raise _bad_model(path, "the file is cut short")
        return data[begin:position].view(dtype)

    if take(np.uint8, len(_MAGIC)).tobytes() != _MAGIC:
        raise _bad_model(path, "not a binary language model")
    if (order := take(np.uint8, 1)[0]) != 3:
        raise _bad_model(path, f"a model of order {order}")
    n_words, n_bigram_records, n_trigrams, quantisation = map(int, take("<u4", 4))
    if quantisation != 1:
        raise _bad_model(path, f"quantisation {quantisation}")
    bigram_log, _, trigram_log = take("<f4", 3 * _N_BINS).astype(float).reshape(3, _N_BINS)
    unigrams = take([("log", "<f4"), ("back_off", "<f4"), ("child", "<u4")], n_words + 1)

    word_bits, child_bits = n_words.bit_length(), n_trigrams.bit_length()

    def take_packed(count, *widths):
        """The fields of `count` records, one int64 array each; an end record and 8 bytes of padding follow them."""
        size = sum(widths)
        block = take(np.uint8, ((count + 1) * size + 7) // 8 + 8)
        window = np.ndarray(
            len(block) - 7, "<u8", block, strides=(1,)
        )  # the 64 bits from every byte on
        bit = np.arange(count + 1) * size
        for width in widths:
            shift = (bit & 7).astype(np.uint64)
            yield ((window[bit >> 3] >> shift) & np.uint64((1 << width) - 1)).astype(np.int64)
            bit += width

    first, _, log_bin, child = take_packed(n_bigram_records, word_bits, 16, 16, child_bits)
    trigram_first, trigram_bin = take_packed(n_trigrams, word_bits, 16)
    text = take(np.uint8, int(take("<u4", 1)[0])).tobytes()
    words = tuple(text.decode(errors="replace").split("\0")[:-1])

    n_bigrams = int(unigrams["child"][-1])  # the header can count records that no unigram owns
    first, log_bin, child = first[:n_bigrams], log_bin[:n_bigrams], child[: n_bigrams + 1]
    trigram_first, trigram_bin = trigram_first[:n_trigrams], trigram_bin[:n_trigrams]
    n_children, n_grandchildren = np.diff(unigrams["child"].astype(np.int64)), np.diff(child)
    if (
        (len(words), len(first)) != (n_words, n_bigrams)
        or min(n_children.min(), n_grandchildren.min()) < 0
        or (n_children.sum(), n_grandchildren.sum()) != (n_bigrams, n_trigrams)
        or max(first.max(initial=0), trigram_first.max(initial=0)) >= n_words
    ):
        raise _bad_model(path, "counts that contradict each other")
    return _Model(
        words=words,
        unigram_log=unigrams["log"][:-1].astype(float),
        bigram_first=first,
        bigram_last=np.repeat(np.arange(n_words), n_children),
        bigram_log=bigram_log[log_bin],
        trigram_first=trigram_first,
        trigram_bigram=np.repeat(np.arange(n_bigrams), n_grandchildren),
        trigram_log=trigram_log[trigram_bin],
    )
