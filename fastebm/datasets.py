"""Real chains by name: the back-off automata of the n-gram models in the PyPI package
`pocketsphinx`, and the word associations of a transformer, which were recorded."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from ._runtime.types import FloatArray, Int32Array, IntArray
from .chains.chain import MarkovChain
from .chains.words import WordChain
from .io.ngram_model import REMEDY, bad_model, read_model

_EMPTY = "<empty>"  # the label of the state with an empty history
_LOG_BASE = np.log(1.0001)  # the file's logarithms are to this base
_VOWELS = frozenset("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split())  # of ARPAbet


@dataclass(frozen=True, eq=False, repr=False)
class HistoryLabels(Sequence[str]):
    """The names of states that are word histories: a read-only sequence of strings, which are made
    when they are needed.

    An integer index gives a string ("w1 w2" for a two-word history, "w" for a one-word history,
    "<empty>" for the empty one); a slice, an integer array or a bool mask gives the `HistoryLabels`
    of those states. It takes eight bytes a state in addition to the word list; a list of strings
    would take about eighty.

    Attributes
    ----------
    words : tuple of str, length n_words
        The vocabulary.
    first, last : ndarray of int32, shape (n_states,)
        Index into `words` of the first and the last word of each history. It is -1 in `first` for
        histories of fewer than two words, and in `last` for the empty history.

    Examples
    --------
    >>> labels = HistoryLabels(("new", "york"), np.array([0, -1, -1]), np.array([1, 0, -1]))
    >>> list(labels)
    ['new york', 'new', '<empty>']
    >>> labels.index("new york")
    0
    """

    words: tuple[str, ...]
    first: Int32Array
    last: Int32Array

    def __len__(self) -> int:
        return len(self.last)

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> str: ...
    @overload
    def __getitem__(self, index: slice | npt.NDArray[Any]) -> "HistoryLabels": ...
    def __getitem__(self, index: Any) -> "str | HistoryLabels":
        try:
            state = operator.index(index)
        except TypeError:
            return HistoryLabels(self.words, self.first[index], self.last[index])
        history = (self.first[state], self.last[state])
        return " ".join(self.words[word] for word in history if word >= 0) or _EMPTY

    def index(self, label: str, start: int = 0, stop: int | None = None) -> int:
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
            return range(len(self))[start:stop][int(np.flatnonzero(match)[0])]
        except (AttributeError, IndexError, ValueError):
            raise ValueError(f"{label!r} is not the name of a state") from None

    def __contains__(self, label: object) -> bool:
        try:
            self.index(label)  # type: ignore[arg-type]  # refuses what is not a string
        except ValueError:
            return False
        return True

    def __repr__(self) -> str:
        return f"HistoryLabels(n_states={len(self)}, n_words={len(self.words)})"


def names() -> tuple[str, ...]:
    """The names of the data sets that `load` accepts.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> names()
    ('english-trigram', 'english-phones', 'smollm2-words', 'smollm2-sums')
    """
    return (*_DATASETS, *_RECORDED)


def load(name: str) -> MarkovChain:
    """A real Markov chain with labels and a reward.

    A state of the English chains is what the language model remembers: a two-word history, a
    one-word history or the empty history. A trigram leads from (w1, w2) to (w2, w3), a bigram from
    w to (w, v), a unigram from the empty history to w. The remaining probability of a history goes
    to its back-off arc: (w1, w2) -> w2 and w -> the empty history. The two-word histories come
    first, in the order of (first word, last word), then the words, then the empty history.

    Parameters
    ----------
    name : {"english-trigram", "english-phones", "smollm2-words", "smollm2-sums"}
        "english-trigram": 72,547 English words, 2,124,089 states, 5,917,801 transitions, one
        communicating class. The reward of a state is the VADER valence of its last word, 0 if VADER
        has none.
        "english-phones": 43 phones of English, 1,553 states, 24,914 transitions. The reward is 1 if
        the last phone is a vowel, else 0 (VADER has no valence for phones).
        "smollm2-words": 400 English words, all 160,000 transitions: which word the transformer
        SmolLM2-135M-Instruct (Apache-2.0) says after "Free association: night -> dark, bread ->
        butter, doctor -> nurse, WORD ->", computed by `fastebm.llm.word_chain` and recorded in this
        package. It needs no model and no other package. Entries are rounded to 2.5e-4 of
        themselves. The reward is the VADER valence of the word.
        "smollm2-sums": what the same model answers to ten sums after four worked ones, as the
        merged trees of its answers (`fastebm.llm.merged_chain`), one closed set of states for each
        sum. The states labelled "17 + 5 =" are the prompts; labels of other states begin with their
        prompt. The reward is 1 in the absorbing states of right answers. What was not decided, at
        most 0.002 of the mass, ends in the states "... (frontier)".

    Returns
    -------
    MarkovChain
        With `labels` (a `HistoryLabels`, or a list of words) and `reward` (float64, shape
        (n_states,)). "smollm2-words" is a `WordChain`, with the `leak` of each row.

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
    The model gives the sentence start "<s>" the probability 1e-99. The chain is irreducible
    nevertheless, but states that are reached only through it have a stationary mass of down to
    1e-108. Do not use them as starts or targets, and expect bounds over the worst start to be
    useless on them.

    Examples
    --------
    >>> import fastebm as fe
    >>> chain = fe.datasets.load("english-phones")
    >>> chain.n_states, chain.labels[0], chain.labels[-1]
    (1553, '</s> <s>', '<empty>')
    """
    if isinstance(name, str) and name in _RECORDED:
        return _RECORDED[name](Path(__file__).parent / "data" / f"{name}.npz")
    try:
        file_name, word_reward = _DATASETS[name]
    except (KeyError, TypeError):
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(names())}") from None
    try:
        from pocketsphinx import get_model_path
    except ImportError as error:
        raise ImportError(
            f"the data set {name!r} needs the package pocketsphinx: {REMEDY}"
        ) from error
    indptr, indices, values, labels = _automaton(get_model_path(f"en-us/{file_name}"))
    # The last entry is for the empty history, whose last word is -1.
    reward = np.array([*word_reward(labels.words), 0.0])[labels.last]
    return MarkovChain((indptr, indices, values), labels=labels, reward=reward)


def valence(words: Sequence[str]) -> list[float]:
    """The VADER valence of words, from -4 to 4; 0 for a word that VADER does not know.

    Parameters
    ----------
    words : sequence of str

    Returns
    -------
    list of float

    Raises
    ------
    ImportError
        The package vaderSentiment is missing; the text names the remedy.

    Examples
    --------
    >>> valence(["happy", "table", "war"])
    [2.7, 0.0, -2.9]
    """
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError as error:
        raise ImportError(
            f"the reward of words needs the package vaderSentiment: {REMEDY}"
        ) from error
    lexicon = SentimentIntensityAnalyzer().lexicon
    return [lexicon.get(word, 0.0) for word in words]


def _is_vowel(words: Sequence[str]) -> list[float]:
    return [float(word in _VOWELS) for word in words]


_DATASETS: dict[str, tuple[str, Callable[[Sequence[str]], list[float]]]] = {
    "english-trigram": ("en-us.lm.bin", valence),
    "english-phones": ("en-us-phone.lm.bin", _is_vowel),
}


def _recorded_words(path: Path) -> WordChain:
    """The kernel of a recorded file; its logarithms are multiples of a step."""
    with np.load(path) as file:
        kernel = np.exp(-float(file["step"]) * file["code"])
        words, reward = file["words"].tolist(), file["reward"]
        unresolved, model = file["unresolved"], str(file["model"])
        n_passes = int(file["n_passes"])
    leak = np.maximum(1 - kernel.sum(axis=1), 0.0)
    chain = MarkovChain(kernel, labels=words, reward=reward, normalize=True)
    return WordChain._of(chain, leak, unresolved, model=model, n_passes=n_passes)


def _recorded_sums(path: Path) -> MarkovChain:
    with np.load(path) as file:
        matrix = file["indptr"], file["indices"], file["data"]
        return MarkovChain(matrix, labels=file["labels"].tolist(), reward=file["reward"])


#: Written by benchmarks/smollm2_words.py and smollm2_sums.py into the folder data.
_RECORDED: dict[str, Callable[[Path], MarkovChain]] = {
    "smollm2-words": _recorded_words,
    "smollm2-sums": _recorded_sums,
}


#: (indptr, indices, values, labels).
Automaton: TypeAlias = tuple[IntArray, Int32Array, FloatArray, HistoryLabels]


def _automaton(path: str) -> Automaton:
    """The back-off automaton of a trigram model: (indptr, indices, values) with rows that sum to 1,
    and the labels."""
    model = read_model(path)
    n_words, n_bigrams = len(model.words), len(model.bigram_first)
    empty = n_bigrams + n_words
    n_states = empty + 1

    # The file sorts bigrams by their last word. Sorted by their first word, the successors of a
    # history are neighbours, and the rows of words come out in ascending order; so do those of
    # trigrams if they are sorted by (first word, target).
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
        raise bad_model(path, "a trigram whose history is no bigram")

    words = n_bigrams + np.arange(n_words)
    source = np.concatenate([source, n_bigrams + first, np.full(n_words, empty)])
    target = np.concatenate([target, np.arange(n_bigrams), words])
    log_value = np.concatenate([trigram_log, model.bigram_log[order], model.unigram_log])
    value = np.exp(log_value * _LOG_BASE)

    mass = np.bincount(source, value, n_states)
    left_over = 1.0 - mass
    # The tables of 16-bit indices leave some rows with a mass just above 1: those have no back-off
    # arc.
    backs_off = left_over > 0
    backs_off[empty] = False
    value /= np.where(backs_off, 1.0, mass)[source]

    # Back-off targets have higher numbers than the explicit targets of their row, so appending them
    # keeps the rows ascending.
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


def _sorted_pairs(
    path: str,
    row: npt.NDArray[Any],
    column: npt.NDArray[Any],
    value: npt.NDArray[Any],
    shape: tuple[int, int],
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """(row, column, value), sorted by row, then by column, by two counting sorts. They take a third
    of the time of a comparison sort."""
    pairs: Any = sp.coo_array((value, (row, column)), shape=shape).tocsc().tocsr()
    if pairs.nnz != len(value):
        raise bad_model(path, "an n-gram that is listed twice")
    return np.repeat(np.arange(shape[0]), np.diff(pairs.indptr)), pairs.indices, pairs.data
