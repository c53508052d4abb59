"""What a contender is given and what it returns.

A problem is stored in a folder, so that another process or another interpreter can solve it.
"""

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

import fastebm as fe


class Unavailable(Exception):
    """A contender that cannot run here, with the reason."""


@dataclass
class Answer:
    """The answer of one contender.

    value : the number or array of the question.
    vector : an eigenvector for the judge, if one was computed.
    products : operator products, counted by the contender or by an operator around its matrix.
    steps : walker steps, where a rate says more than a time.
    seconds, peak_bytes : measured by the contender itself if it runs in its own processes.
    note : anything else the reader of the table must know.
    """

    value: Any
    vector: np.ndarray | None = None
    products: int | None = None
    steps: int = 0
    seconds: float | None = None
    peak_bytes: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is as accurate as the case requires, and how accurate it is, in words."""

    ok: bool
    text: str


class Problem:
    """A folder: chain (pickle), arrays (.npy), sparse matrices (three .npy), options (JSON)."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.options = json.loads((self.folder / "options.json").read_text())

    @classmethod
    def write(cls, folder, chain, options, inputs):
        """inputs: name -> array or csr_array."""
        folder = Path(folder)
        (folder / "chain.pickle").write_bytes(pickle.dumps(chain, protocol=5))
        (folder / "options.json").write_text(json.dumps(options))
        for name, value in inputs.items():
            parts = (
                {"": value}
                if not sp.issparse(value)
                else {
                    "_data": value.data,
                    "_indices": value.indices.astype(np.int32),
                    "_indptr": value.indptr.astype(np.int64),
                }
            )
            for suffix, array in parts.items():
                np.save(folder / f"{name}{suffix}.npy", array)
        return cls(folder)

    @property
    def chain(self):
        """A copy of the chain, with stationary law and classes known and all pages in memory."""
        chain = pickle.loads((self.folder / "chain.pickle").read_bytes())
        _ = chain.log_pi
        fe.structure(chain)  # found with the law, and not part of a pickle
        _ = chain @ np.ones(chain.n_states)  # touches all pages
        return chain

    def array(self, name):
        return np.load(self.folder / f"{name}.npy")

    def matrix(self, name):
        """A csr_array with int32 indices, which SciPy handles fastest."""
        indptr = self.array(f"{name}_indptr")
        indptr = indptr.astype(np.int32) if indptr[-1] < 2**31 else indptr
        return sp.csr_array(
            (self.array(f"{name}_data"), self.array(f"{name}_indices"), indptr),
            shape=(len(indptr) - 1,) * 2,
        )
