"""The operator of an eigenvalue search, applied and never formed, and its random vectors."""

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime.types import FloatArray

OperatorKind: TypeAlias = Literal["right", "left", "multiplicative", "additive"]


class Operator:
    """S, S^T, S S^T or (S + S^T) / 2 on blocks of vectors (width, n_states); counts its products.

    Parameters
    ----------
    S : _core.Scaled
    kind : {"right", "left", "multiplicative", "additive"}
        S, S^T, S S^T or (S + S^T) / 2.
    symmetric : bool
        Whether the operator is symmetric; the last two kinds always are.
    threads : int

    Attributes
    ----------
    is_inverse : bool
        False: its eigenvalues are those that are wanted. (See `InverseOperator`.)
    per_vector : int
        Products with S or S^T for one vector.
    n_matvecs : int
        Products so far.
    """

    is_inverse = False

    def __init__(
        self, S: _core.Scaled, kind: OperatorKind, *, symmetric: bool, threads: int
    ) -> None:
        self._S, self.kind, self.symmetric, self.threads = S, kind, symmetric, threads
        self.n_states: int = S.kernel.n_states
        self.per_vector = 2 if kind in ("multiplicative", "additive") else 1
        self.n_matvecs = 0
        self._scratch: FloatArray = np.empty(0)

    def apply(self, x: FloatArray, y: FloatArray) -> None:
        """Write the images of the rows of x into y, both (width, n_states)."""
        size = x.size * (2 if self.kind == "multiplicative" else 1)
        if len(self._scratch) < size:
            self._scratch = np.empty(size)
        _core.composed_apply(self._S, self.kind, x, self._scratch, y, self.threads)
        self.n_matvecs += len(x) * self.per_vector


class RandomVectors:
    """Normal vectors that depend only on a key and on their number, so that a resumed call draws
    the same ones.

    Parameters
    ----------
    key : ndarray uint64 (2,)
        The key of a Philox generator.
    drawn : int
        How many have been drawn.
    """

    def __init__(self, key: npt.NDArray[np.uint64], drawn: int = 0) -> None:
        self.key, self.drawn = key, drawn

    def fill(self, out: FloatArray) -> None:
        """Draw the next vector into `out`."""
        stream = np.random.Philox(key=self.key, counter=[0, 0, 0, self.drawn])
        np.random.Generator(stream).standard_normal(out=out)
        self.drawn += 1
