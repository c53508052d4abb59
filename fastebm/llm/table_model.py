"""An n-gram table as a language model: exact, in NumPy, for tests and examples."""

import zlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from .._runtime.types import Float32Array
from ..errors import InvalidChainError
from .model import MASS_ERROR, Tokens


class TableModel:
    """A language model in which the law of the next token depends on the last few tokens.

    Parameters
    ----------
    tokens : sequence of str, length n_vocab
        The text of each token. Texts are encoded by their longest leading token.
    table : array_like, shape (n_vocab,) * (order + 1)
        ``table[a, b]`` is the law of the token after ``... a b``. Tokens before the beginning of a
        context count as token 0.
    end : iterable of int, default ()
        The tokens that end a text; their text is empty.

    Raises
    ------
    InvalidChainError
        The shape does not fit, or a row is not a distribution.

    Examples
    --------
    >>> table = [[0.5, 0.3, 0.2], [0.9, 0, 0.1], [0, 0, 1]]
    >>> model = TableModel(["a", "b", "<end>"], table, end=[2])
    >>> model.encode("abba")
    [0, 1, 1, 0]
    >>> np.exp(model.next_log_probs([[0, 1]])).round(3).tolist()
    [[0.8999999761581421, 0.0, 0.10000000149011612]]
    """

    def __init__(
        self, tokens: Sequence[str], table: npt.ArrayLike, *, end: Iterable[int] = ()
    ) -> None:
        self.tokens = tuple(tokens)
        self.n_vocab = len(self.tokens)
        self.end = tuple(end)
        law = np.array(table, np.float64)
        if not self.n_vocab or law.ndim == 0 or set(law.shape) != {self.n_vocab}:
            raise InvalidChainError(
                f"each side of the table must have the {self.n_vocab} tokens, its shape is"
                f" {law.shape}"
            )
        if any(token not in range(self.n_vocab) for token in self.end):
            raise InvalidChainError(f"end must be tokens below {self.n_vocab}, got {self.end}")
        off = ~((law >= 0).all(axis=-1) & (np.abs(law.sum(axis=-1) - 1) <= MASS_ERROR))
        if off.any():
            row = tuple(int(i) for i in np.argwhere(off)[0])
            raise InvalidChainError(
                f"row {row} of the table is not a distribution: its sum is {law[row].sum():.6g},"
                f" its smallest entry {law[row].min():.6g}"
            )
        self._order = law.ndim - 1
        with np.errstate(divide="ignore"):  # a probability of 0 is a logarithm of -inf
            self._log_table: Float32Array = np.log(law).astype(np.float32)
        contents = repr(self.tokens).encode() + self._log_table.tobytes()
        self.name = f"table-{zlib.crc32(contents):08x}"

    def encode(self, text: str, *, start: bool = True) -> list[int]:
        """The tokens of a text: the longest token at its beginning, again and again."""
        found, at = [], 0
        usable = [i for i, token in enumerate(self.tokens) if token and i not in self.end]
        usable.sort(key=lambda i: -len(self.tokens[i]))
        while at < len(text):
            token = next((i for i in usable if text.startswith(self.tokens[i], at)), None)
            if token is None:
                raise InvalidChainError(f"no token of the table begins {text[at : at + 20]!r}")
            found.append(token)
            at += len(self.tokens[token])
        return found

    def decode(self, tokens: Tokens) -> str:
        """The texts of the tokens one after the other; end tokens are left out."""
        return "".join(self.tokens[token] for token in tokens if token not in self.end)

    def next_log_probs(self, contexts: Sequence[Tokens]) -> Float32Array:
        """Rows of the table."""
        rows = np.zeros((self._order, len(contexts)), np.intp)
        for i, context in enumerate(contexts):
            last = list(context)[-self._order :] if self._order else []
            rows[self._order - len(last) :, i] = last
        if not self._order:
            return np.tile(self._log_table, (len(contexts), 1))
        return self._log_table[tuple(rows)]
