"""Dobrushin's coefficient: how far apart two rows of a chain can be."""

import numpy as np

from .._runtime.pacing import Pacer
from .._runtime.progress import interruptible
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import is_chain

# Up to this many states every pair of rows is compared: 0.5 s and 8 MB.
MAX_PAIRS = 1000
# Rows that are searched for a disjoint one, 64 in one pass: those of least degree, then those whose columns are shared least.
MAX_ROWS_SEARCHED = 256
# Passes from a row to the one that is farthest from it; each gains or is the last.
MAX_CLIMBS = 8
# Of a sum over one row, whose entries carry a few ulp each, or over the columns' least entries.
ROUNDING = 2e-14


@result
class DobrushinResult(Result):
    """Dobrushin's coefficient: the largest total variation between two rows of P.

    Attributes
    ----------
    lower, upper : float
        ``lower <= coefficient <= upper``: TV(mu P, nu P) <= coefficient TV(mu, nu) for all laws.
    lower_kind, upper_kind : str
        "rigorous" (rounding of 2e-14 is added), or "none" where the end is 0 or 1 and says nothing.
    coefficient : float or None
        Where it is known, to the rounding of a row's sum.
    is_exact : bool
    pair : tuple of int
        Two states whose rows are `lower` apart.
    method : str
        "all pairs", "disjoint rows" or "bounds": the farthest rows found below, Doeblin's minorisation 1 - sum_y min_x P(x, y) above.
    """

    lower: float
    upper: float
    lower_kind: str
    upper_kind: str
    coefficient: float | None
    is_exact: bool
    pair: tuple
    method: str


def dobrushin(chain, *, num_threads=None, progress=False, callback=None):
    """Dobrushin's ergodicity coefficient ``max_{x, y} TV(P(x, .), P(y, .))``.

    Parameters
    ----------
    chain : MarkovChain
        Any; it may be reducible or periodic.

    Returns
    -------
    DobrushinResult

    Raises
    ------
    Interrupted
        Ctrl-C; `partial` has the bounds so far.

    Notes
    -----
    Exact up to 1000 states, and for larger chains wherever two rows of disjoint support are found (the coefficient is then 1, as it
    is for nearly all sparse chains; take the coefficient of a power of P there); otherwise bounds of either side. Each pass reads
    the entries once, by rows, and holds two numbers a state: larger chains take 2 passes where no column is in every row, up to 15
    elsewhere.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> round(fe.dobrushin(fe.MarkovChain(np.array([[0.9, 0.1], [0.4, 0.6]]))).coefficient, 12)
    0.5
    """
    is_chain(chain)
    resolve_threads(num_threads)
    search = _Search(chain)
    with interruptible(
        "dobrushin", search.result, progress=progress, callback=callback
    ) as search.monitor:
        (search.all_pairs if chain.n_states <= MAX_PAIRS else search.run)()
    return search.result()


class _Search:
    """One call: the ends known so far, which `result` reports."""

    def __init__(self, chain):
        self.chain, self.n = chain, chain.n_states
        self.lower, self.upper, self.pair, self.method, self.n_passes = (
            0.0,
            1.0,
            (0, 0),
            "bounds",
            0,
        )

    def result(self):
        exact = self.method != "bounds"
        kinds = (
            "rigorous" if exact or self.lower > 0.0 else "none",
            "rigorous" if exact or self.upper < 1.0 else "none",
        )
        return DobrushinResult(
            self.lower,
            self.upper,
            *kinds,
            self.lower if exact else None,
            exact,
            self.pair,
            self.method,
        )

    def all_pairs(self):
        from scipy.spatial.distance import cdist  # heavy, and wanted here alone

        P, pace, begin, best = self.chain.to_scipy().toarray(), Pacer(16), 0, (-1.0, None)
        while begin < self.n:
            end = min(begin + pace.size, self.n)
            with pace:
                distance = 0.5 * cdist(P[begin:end], P, "cityblock")
            x, y = np.unravel_index(np.argmax(distance), distance.shape)
            best = max(
                best, (float(distance[x, y]), (begin + int(x), int(y))), key=lambda found: found[0]
            )
            self.lower, self.pair, begin = min(best[0], 1.0), best[1], end
            self.monitor(end)
        self.upper, self.method = self.lower, "all pairs"

    def run(self):
        stored = self.chain._scaled.pattern.is_stored
        if self._disjoint(
            _least(np.diff(self.chain._scaled.pattern.matrix.indptr), 64)
            if stored
            else np.arange(min(64, self.n))
        ):
            return
        count, least = self._columns()
        full = count == self.n
        self.upper = min(1.0 - float(least[full].sum()) + ROUNDING, 1.0)
        del least, full
        reach = self._gather(
            lambda P: np.add.reduceat(count[P.indices], P.indptr[:-1])
        )  # rows that share a column, once a column
        candidates = _least(reach, MAX_ROWS_SEARCHED)
        if not any(self._disjoint(candidates[i : i + 64]) for i in range(0, len(candidates), 64)):
            self._climb(int(candidates[0]))

    def _pieces(self):
        """(begin, P[begin:end]) over all rows, without entries that underflowed to zero."""
        for begin, end in self.chain._scaled.pattern.row_ranges():
            P = self.chain._scaled.row_range(begin, end)
            P.eliminate_zeros()
            yield begin, P
        self.n_passes += 1
        self.monitor(self.n_passes, lower=self.lower, upper=self.upper)

    def _gather(self, of_rows):
        return np.concatenate([of_rows(P) for _, P in self._pieces()])

    def _columns(self):
        """How many rows each column is in, and its least entry there."""
        count, least = np.zeros(self.n, np.int64), np.full(self.n, np.inf)
        for _, P in self._pieces():
            np.add.at(count, P.indices, 1)
            np.minimum.at(least, P.indices, P.data)
        return count, least

    def _row(self, x):
        P = self.chain._scaled.row_range(x, x + 1)
        P.eliminate_zeros()
        return P.indices, P.data

    def _disjoint(self, rows):
        """Whether one of at most 64 rows has no common column with some row of P: a bit of each in every column tells in one pass."""
        marks, everyone = np.zeros(self.n, np.uint64), np.uint64(2 ** len(rows) - 1)
        for j, x in enumerate(rows.tolist()):
            marks[self._row(x)[0]] |= np.uint64(1 << j)
        for begin, P in self._pieces():
            missing = np.bitwise_or.reduceat(marks[P.indices], P.indptr[:-1]) ^ everyone
            if missing.any():
                at = int(np.argmax(missing != 0))
                bit = int(missing[at])
                self.pair = int(rows[(bit & -bit).bit_length() - 1]), begin + at
                self.lower = self.upper = 1.0
                self.method = "disjoint rows"
                return True
        return False

    def _climb(self, x):
        """From x to the row farthest from it, and so on while the distance grows."""
        for _ in range(MAX_CLIMBS):
            own = np.zeros(self.n)
            columns, values = self._row(x)
            own[columns] = values
            common = self._gather(
                lambda P: np.add.reduceat(np.minimum(own[P.indices], P.data), P.indptr[:-1])
            )
            y = int(np.argmin(common))
            lower = max(1.0 - float(common[y]) - ROUNDING, 0.0)
            if lower <= self.lower:
                return
            self.lower, self.pair, x = lower, (x, y), y


def _least(numbers, n):
    """The positions of the n least, in order."""
    at = np.argpartition(numbers, n)[:n] if n < len(numbers) else np.arange(len(numbers))
    return at[np.lexsort((at, numbers[at]))]
