"""The part of a chain that makes no other chain: its size, products with P, and the stationary law
if it is known."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .._runtime.checkpoint import fingerprint
from .._runtime.labelled import in_state_order
from .._runtime.time_unit import Clock
from .._runtime.types import FloatArray, Labels
from ..patterns.scaled_pattern import ScaledPattern
from .foreign import data_frame, directed_graph
from .law import DEFAULT_LAW_TOL, KnownLaw

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator


class ChainOperator:
    """Base of `MarkovChain`: the pattern with its scalings, and the stationary law if known."""

    # makes NumPy leave `array @ chain` to `__rmatmul__`
    __array_ufunc__ = None
    #: Steps per unit of time of a uniformised continuous-time chain, whose generator is
    #: rate (P - 1); None in discrete time. A derived chain has it where that still holds.
    rate: float | None = None
    #: Steps of the data in one step of the chain, if it was estimated at a lag. Times are in steps
    #: of the chain: t of them are lag t steps of the data.
    lag: int = 1
    #: The physical time of one step of the data, such as "0.2 ns", if it is known: t steps of the
    #: chain take t lag times as long.
    time_unit: str | None = None
    #: Names of the states, or None.
    labels: Labels | None
    #: A score of each state, or None; of a tilted chain also of each transition.
    reward: FloatArray | sp.csr_array | None
    _scaled: ScaledPattern
    _law: KnownLaw

    @property
    def _clock(self) -> Clock:
        """What one step of the chain is in time, which derived chains keep."""
        return {"lag": self.lag, "time_unit": self.time_unit}

    # --- size and storage -------------------------------------------------------------------------

    @property
    def n_states(self) -> int:
        """Number of states."""
        return self._scaled.n_states

    @property
    def shape(self) -> tuple[int, int]:
        """(n_states, n_states)."""
        return self.n_states, self.n_states

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values (float64 if none are stored); all sums are in float64."""
        return self._scaled.pattern.dtype

    @property
    def nnz(self) -> int:
        """Entries of A, stored or computed. The shift is not counted."""
        return self._scaled.pattern.nnz

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays of this chain, including the walkers' tables once they exist. The
        pattern's arrays are shared with every chain derived from it."""
        return self._scaled.pattern.nbytes + self._scaled.nbytes + self._law.nbytes

    @property
    def storage(self) -> str:
        """What is stored, in words."""
        return self._scaled.storage

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__}: {self.n_states} states, {self.nnz} entries, {self.storage}>"
        )

    def to_dict(self) -> dict[str, Any]:
        """The chain as plain Python values that `json.dumps` accepts: every transition as a source,
        a target and a probability, with the labels, `rate`, `lag` and `time_unit`. `save` keeps
        more, in less space."""
        entries = self.to_scipy().tocoo()
        return {
            "n_states": self.n_states,
            "source": entries.row.tolist(),
            "target": entries.col.tolist(),
            "probability": entries.data.tolist(),
            "labels": None if self.labels is None else [str(label) for label in self.labels],
            "rate": self.rate,
            "lag": self.lag,
            "time_unit": self.time_unit,
        }

    # --- operators --------------------------------------------------------------------------------

    def __matmul__(self, x: npt.ArrayLike) -> FloatArray:
        """``P x`` for x (n_states,) or a block (n_states, k)."""
        return self._scaled.apply(np.asarray(in_state_order(x, self.labels, "the operand")))

    def __rmatmul__(self, x: npt.ArrayLike) -> FloatArray:
        """``x P`` for x (n_states,) or (k, n_states)."""
        return self._scaled.apply(
            np.asarray(in_state_order(x, self.labels, "the operand", axis=-1)).T, transposed=True
        ).T

    def as_linear_operator(self) -> "LinearOperator":
        """A `scipy.sparse.linalg.LinearOperator` of P; its adjoint gives left products."""
        from scipy.sparse.linalg import LinearOperator

        def right(x: FloatArray) -> FloatArray:
            return self._scaled.apply(x)

        def left(x: FloatArray) -> FloatArray:
            return self._scaled.apply(x, transposed=True)

        return LinearOperator(
            self.shape, matvec=right, rmatvec=left, matmat=right, rmatmat=left, dtype=np.float64
        )

    def to_scipy(self) -> sp.csr_array:
        """P as a `scipy.sparse.csr_array` of float64, a copy; repeated edges are summed."""
        return self._scaled.to_scipy()

    def to_pandas(self) -> Any:
        """P as a dense pandas.DataFrame whose index and columns are the labels of the states.
        `MarkovChain` makes the chain again of it. Needs pandas, and n_states^2 doubles."""
        return data_frame(self.to_scipy(), self.labels)

    def to_networkx(self) -> Any:
        """The transitions as a networkx.DiGraph: nodes are the labels of the states (their numbers
        if there are none), the attribute "weight" is the probability. `MarkovChain` makes the chain
        again of it. Needs networkx, and about 500 bytes a transition."""
        return directed_graph(self.to_scipy(), self.labels)

    # --- stationary law ---------------------------------------------------------------------------

    @property
    def is_reversible(self) -> bool:
        """Whether the stored entries satisfy detailed balance edge by edge, to the rounding of
        float64 (Kolmogorov's criterion along a spanning forest), whatever type they are stored in.
        `detailed_balance` measures how far a chain is from it, and where."""
        return self._scaled.pattern.potential is not None

    @property
    def log_pi(self) -> FloatArray | None:
        """log of the stationary distribution, float64 (n_states,), if it is known: given and found
        right by elimination, found by `stationary` to its default tolerance or better, or in closed
        form because the chain is reversible and irreducible. Otherwise None: call
        `stationary(chain)`."""
        law = self._law.within(DEFAULT_LAW_TOL)
        return None if law is None else law.log_pi

    @property
    def pi(self) -> FloatArray | None:
        """The stationary distribution, float64 (n_states,), or None if it is not known yet (see
        `log_pi`)."""
        return None if self.log_pi is None else np.exp(self.log_pi)

    def fingerprint(self) -> str:
        """A short text that changes with any bit of P, and of the logarithms of transitions that
        underflow; checkpoints recognise their chain by it."""
        return fingerprint(*self._scaled.identity)
