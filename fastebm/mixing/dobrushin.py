"""Dobrushin's coefficient: how far apart two rows of a chain can be."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._runtime.pacing import Pacer, paced_ranges
from .._runtime.progress import Monitor, interruptible
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from .._runtime.types import Callback, FloatArray, Int32Array, IntArray
from ..chains.chain import MarkovChain, require_chain
from ..linalg.rounding import UNIT

# Up to this many states every pair of rows is compared: 0.5 s and 8 MB.
MAX_PAIRS = 1000
# Rows for which a disjoint row is searched, 64 in one pass: those with the fewest entries, then
# those whose columns are shared by the fewest rows.
MAX_ROWS_SEARCHED = 256
# Passes from a row to the one farthest from it; each gains or is the last.
MAX_CLIMBS = 8
# Rounding of the entries of two rows that sum to one, and of NumPy's pairwise sum of the columns'
# least entries; the sum over a row has an error of UNIT for each term besides.
ENTRY_ROUNDING = 80 * UNIT


@result
class DobrushinResult(Result):
    """Dobrushin's coefficient: the largest total variation between two rows of P.

    Attributes
    ----------
    lower, upper : float
        ``lower <= coefficient <= upper``: TV(mu P, nu P) <= coefficient TV(mu, nu) for all
        distributions.
    lower_kind, upper_kind : str
        "rigorous" (rounding is included, about 1e-16 for each entry of a row), or "none" if the
        bound is 0 or 1 and says nothing.
    coefficient : float or None
        The coefficient up to that rounding, or None if only bounds are known.
    is_exact : bool
        All pairs of rows were compared, or two have no column in common.
    pair : tuple of int
        Two states whose rows are at least `lower` apart.
    method : str
        "all pairs", "disjoint rows" or "bounds": the farthest rows found give the lower bound,
        Doeblin's minorisation 1 - sum_y min_x P(x, y) the upper one.
    """

    lower: float
    upper: float
    lower_kind: str
    upper_kind: str
    coefficient: float | None
    is_exact: bool
    pair: tuple[int, int]
    method: str


def dobrushin(
    chain: MarkovChain,
    *,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
) -> DobrushinResult:
    """Dobrushin's ergodicity coefficient ``max_{x, y} TV(P(x, .), P(y, .))``.

    Parameters
    ----------
    chain : MarkovChain
        Any chain; it may be reducible or periodic.
    num_threads, progress, callback
        As in `simulate_hitting_times`.

    Returns
    -------
    DobrushinResult

    Raises
    ------
    Interrupted
        Ctrl-C. `partial` has the bounds so far.

    Notes
    -----
    The result is exact up to 1000 states, and for larger chains whenever two rows of disjoint
    support are found. The coefficient is then 1, as it is for nearly all sparse chains; take the
    coefficient of a power of P instead. Otherwise there are bounds on both sides. Each pass reads
    the entries once, by rows, and holds two numbers per state. Larger chains take 2 passes if no
    column is in every row, up to 15 otherwise.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> round(fe.dobrushin(fe.MarkovChain(np.array([[0.9, 0.1], [0.4, 0.6]]))).coefficient, 12)
    0.5
    """
    require_chain(chain)
    resolve_threads(num_threads)
    search = _FarthestRows(chain)
    with interruptible("dobrushin", search.result, progress=progress, callback=callback) as monitor:
        if chain.n_states <= MAX_PAIRS:
            search.all_pairs(monitor)
        else:
            search.run(monitor)
    return search.result()


class _FarthestRows:
    """The bounds known so far, and the rows that attain the lower one."""

    def __init__(self, chain: MarkovChain) -> None:
        self.chain, self.n = chain, chain.n_states
        self.lower, self.upper = 0.0, 1.0
        self.pair, self.method, self.n_passes = (0, 0), "bounds", 0
        self.coefficient: float | None = None
        degree = min(chain._scaled.pattern.max_degree, self.n)
        self.rounding = ENTRY_ROUNDING + 2.0 * UNIT * degree

    def result(self) -> DobrushinResult:
        is_exact = self.method != "bounds"
        return DobrushinResult(
            lower=self.lower,
            upper=self.upper,
            lower_kind="rigorous" if is_exact or self.lower > 0.0 else "none",
            upper_kind="rigorous" if is_exact or self.upper < 1.0 else "none",
            coefficient=self.coefficient,
            is_exact=is_exact,
            pair=self.pair,
            method=self.method,
        )

    def all_pairs(self, monitor: Monitor) -> None:
        from scipy.spatial.distance import cdist  # slow to import and needed only here

        P, farthest = self.chain.to_scipy().toarray(), -1.0
        # each distance is a sum of n terms
        rounding = self.rounding + UNIT * self.n
        for begin, end in paced_ranges(self.n, Pacer(16)):
            distance = 0.5 * cdist(P[begin:end], P, "cityblock")
            x, y = np.unravel_index(np.argmax(distance), distance.shape)
            if distance[x, y] > farthest:
                farthest = float(distance[x, y])
                self.lower = max(min(farthest, 1.0) - rounding, 0.0)
                self.pair = begin + int(x), int(y)
            monitor(end)
        self.coefficient, self.method = min(max(farthest, 0.0), 1.0), "all pairs"
        self.upper = min(farthest + rounding, 1.0)

    def run(self, monitor: Monitor) -> None:
        self._monitor = monitor
        pattern = self.chain._scaled.pattern
        if pattern.is_stored:
            first = _smallest(np.diff(pattern.matrix.indptr), 64)
        else:
            first = np.arange(min(64, self.n))
        if self._find_disjoint(first):
            return
        count, least = self._columns()
        full = count == self.n
        self.upper = min(1.0 - float(least[full].sum()) + self.rounding, 1.0)
        del least, full
        # rows that share a column with each row, once for each such column
        shared = self._gather(lambda P: np.add.reduceat(count[P.indices], P.indptr[:-1]))
        candidates = _smallest(shared, MAX_ROWS_SEARCHED)
        for i in range(0, len(candidates), 64):
            if self._find_disjoint(candidates[i : i + 64]):
                return
        self._climb(int(candidates[0]))

    def _pieces(self) -> Iterator[tuple[int, sp.csr_array]]:
        """(begin, P[begin:end]) over all rows, without entries that underflowed to zero."""
        for begin, end in self.chain._scaled.pattern.row_ranges():
            P = self.chain._scaled.row_range(begin, end)
            P.eliminate_zeros()
            yield begin, P
        self.n_passes += 1
        self._monitor(self.n_passes, lower=self.lower, upper=self.upper)

    def _gather(self, of_rows: Callable[[sp.csr_array], Any]) -> Any:
        return np.concatenate([of_rows(P) for _, P in self._pieces()])

    def _columns(self) -> tuple[IntArray, FloatArray]:
        """(the number of rows that each column is in, the least entry of each column there)."""
        count, least = np.zeros(self.n, np.int64), np.full(self.n, np.inf)
        for _, P in self._pieces():
            np.add.at(count, P.indices, 1)
            np.minimum.at(least, P.indices, P.data)
        return count, least

    def _row(self, x: int) -> tuple[Int32Array, FloatArray]:
        P = self.chain._scaled.row_range(x, x + 1)
        P.eliminate_zeros()
        return P.indices, P.data

    def _find_disjoint(self, rows: IntArray) -> bool:
        """Whether one of at most 64 rows has no column in common with some row of P. One pass: each
        column has one bit for each of these rows."""
        marks, everyone = np.zeros(self.n, np.uint64), np.uint64(2 ** len(rows) - 1)
        for j, x in enumerate(rows.tolist()):
            marks[self._row(x)[0]] |= np.uint64(1 << j)
        for begin, P in self._pieces():
            missing = np.bitwise_or.reduceat(marks[P.indices], P.indptr[:-1]) ^ everyone
            if missing.any():
                at = int(np.argmax(missing != 0))
                bit = int(missing[at])
                self.pair = int(rows[(bit & -bit).bit_length() - 1]), begin + at
                self.lower = self.upper = self.coefficient = 1.0
                self.method = "disjoint rows"
                return True
        return False

    def _climb(self, x: int) -> None:
        """From x to the row farthest from it, and so on while the distance grows."""
        for _ in range(MAX_CLIMBS):
            own = np.zeros(self.n)
            columns, values = self._row(x)
            own[columns] = values
            common = self._common(own)
            y = int(np.argmin(common))
            lower = max(1.0 - float(common[y]) - self.rounding, 0.0)
            if lower <= self.lower:
                return
            self.lower, self.pair, x = lower, (x, y), y

    def _common(self, own: FloatArray) -> FloatArray:
        """sum_y min(own(y), P(x, y)) of every row x."""
        common: FloatArray = self._gather(
            lambda P: np.add.reduceat(np.minimum(own[P.indices], P.data), P.indptr[:-1])
        )
        return common


def _smallest(numbers: IntArray, n: int) -> IntArray:
    """The positions of the n smallest, in order."""
    at = np.argpartition(numbers, n)[:n] if n < len(numbers) else np.arange(len(numbers))
    return at[np.lexsort((at, numbers[at]))]
