"""The operator of an eigenvalue search, applied and never formed, and its random vectors."""

import numpy as np

from .. import _core

# The words of the compiled core.
CORE_KINDS = {"right": "right", "left": "left", "multiplicative": "fold", "additive": "mean"}


class Operator:
    """S, S^T, S S^T or (S + S^T) / 2 on blocks of vectors (width, n_states), counting its products.

    kind : {"right", "left", "multiplicative", "additive"}
    symmetric : bool
        Whether the operator is; "multiplicative" and "additive" always are.
    """

    def __init__(self, S, kind, *, symmetric, threads):
        self._S, self.kind, self.symmetric, self.threads = S, kind, symmetric, threads
        self.n_states = S.kernel.n_states
        self.per_vector = 2 if kind in ("multiplicative", "additive") else 1
        self.n_matvecs = 0
        self._scratch = np.empty(0)

    def apply(self, x, y):
        size = x.size * (2 if self.kind == "multiplicative" else 1)
        if len(self._scratch) < size:
            self._scratch = np.empty(size)
        _core.compose_apply(self._S, CORE_KINDS[self.kind], x, self._scratch, y, self.threads)
        self.n_matvecs += len(x) * self.per_vector


class RandomVectors:
    """Normal vectors that depend on a key and their number alone, so that a resumed call draws the same ones."""

    def __init__(self, key, drawn=0):
        self.key, self.drawn = key, drawn

    def fill(self, out):
        stream = np.random.Philox(key=self.key, counter=[0, 0, 0, self.drawn])
        np.random.Generator(stream).standard_normal(out=out)
        self.drawn += 1
