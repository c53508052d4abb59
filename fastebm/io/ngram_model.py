"""The binary trigram models of pocketsphinx 5."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._runtime.types import FloatArray, IntArray
from ..errors import InvalidChainError

REMEDY = 'pip install "fastebm[demo]"'
_MAGIC = b"Trie Language Model"
_N_BINS = 65536  # probabilities and back-off weights are 16-bit indices into tables


@dataclass(frozen=True, eq=False)
class NGramModel:
    """The n-grams of a file, in its order. Logarithms are to the base 1.0001, words and bigrams are
    given by their index."""

    words: tuple[str, ...]
    unigram_log: FloatArray
    bigram_first: IntArray
    bigram_last: IntArray
    bigram_log: FloatArray
    trigram_first: IntArray
    trigram_bigram: IntArray  # the bigram of its last two words
    trigram_log: FloatArray


def bad_model(path: str, found: str) -> InvalidChainError:
    return InvalidChainError(
        f"{path}: {found}; fastebm reads the 16-bit trigram models of pocketsphinx 5: "
        f"{REMEDY} --force-reinstall"
    )


def read_model(path: str) -> NGramModel:
    """Read a binary trigram model of pocketsphinx.

    The trie is stored backwards: the children of the unigram w are the bigrams (v, w), and their
    children are the trigrams (u, v, w). Unigrams are plain records. Bigrams and trigrams are packed
    bit by bit, least significant bit first: [word, 16-bit back-off weight, 16-bit log probability,
    first child] and [word, 16-bit log probability].
    """
    data = np.fromfile(path, np.uint8)
    position = 0

    def take(dtype: Any, count: int) -> npt.NDArray[Any]:
        nonlocal position
        begin, position = position, position + np.dtype(dtype).itemsize * count
        if position > len(data):
            raise bad_model(path, "the file is cut short")
        return data[begin:position].view(dtype)

    if take(np.uint8, len(_MAGIC)).tobytes() != _MAGIC:
        raise bad_model(path, "not a binary language model")
    if (order := take(np.uint8, 1)[0]) != 3:
        raise bad_model(path, f"a model of order {order}")
    n_words, n_bigram_records, n_trigrams, quantisation = map(int, take("<u4", 4))
    if quantisation != 1:
        raise bad_model(path, f"quantisation {quantisation}")
    bigram_log, _, trigram_log = take("<f4", 3 * _N_BINS).astype(float).reshape(3, _N_BINS)
    unigrams = take([("log", "<f4"), ("back_off", "<f4"), ("child", "<u4")], n_words + 1)

    word_bits, child_bits = n_words.bit_length(), n_trigrams.bit_length()

    def take_packed(count: int, *widths: int) -> Iterator[IntArray]:
        """The fields of `count` records, one int64 array each. They are followed by an end record
        and 8 bytes of padding."""
        size = sum(widths)
        block = take(np.uint8, ((count + 1) * size + 7) // 8 + 8)
        # the 64 bits that begin at every byte
        window: npt.NDArray[np.uint64] = np.ndarray((len(block) - 7,), "<u8", block, strides=(1,))
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
    children: Any = unigrams["child"].astype(np.int64)
    n_children = np.diff(children)
    n_grandchildren = np.diff(child)
    if (
        (len(words), len(first)) != (n_words, n_bigrams)
        or min(n_children.min(), n_grandchildren.min()) < 0
        or (n_children.sum(), n_grandchildren.sum()) != (n_bigrams, n_trigrams)
        or max(first.max(initial=0), trigram_first.max(initial=0)) >= n_words
    ):
        raise bad_model(path, "counts that contradict each other")
    return NGramModel(
        words=words,
        unigram_log=unigrams["log"][:-1].astype(float),
        bigram_first=first,
        bigram_last=np.repeat(np.arange(n_words), n_children),
        bigram_log=bigram_log[log_bin],
        trigram_first=trigram_first,
        trigram_bigram=np.repeat(np.arange(n_bigrams), n_grandchildren),
        trigram_log=trigram_log[trigram_bin],
    )
