"""Strong lumpability of a partition of the states, and the coarse chain on its sets.

One pass, state by state in the order of the sets (`ebm_lump` in csrc). Each set needs one number
for each set that it reaches, and nothing is sorted. After Ctrl-C the defect of the states checked
so far is a lower bound.
"""

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.labelled import in_state_order
from .._runtime.pacing import Pacer, paced_ranges, run_paced
from .._runtime.results import Result, result
from .._runtime.resumable import Resumable, resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import Callback, FloatArray, Int32Array, IntArray, Path
from ..chains.chain import MarkovChain, require_chain
from ..chains.law import StationaryLaw
from ..equilibrium.structure import closed_class
from ..errors import InvalidChainError


@result
class LumpabilityResult(Result):
    """How far a partition is from strong lumpability.

    Attributes
    ----------
    is_lumpable : bool or None
        defect <= tol: then the sequence of sets visited is a Markov chain from every start (Kemeny
        & Snell 1960, theorem 6.3.2). None if an interruption left this open.
    defect : float
        Largest |P(x, B) - P(y, B)| over x, y in one set and sets B, up to the rounding of a sum
        over a row (1e-16 for each of its entries). After an interruption it is the
        maximum over the first `n_checked` states, hence a lower bound.
    states : tuple of int
        x, y that attain it; equal if the defect is 0.
    set : int
        The set of x and y.
    into : int
        B.
    chain : MarkovChain or None
        The coarse chain with weights pi: the exact one if the partition is lumpable, otherwise that
        of the stationary process. States of a transient set have equal weights. None after an
        interruption, and where it would rest on a pi that did not converge.
    mass : ndarray (k,)
        pi of the sets.
    n_checked : int
        Number of states checked, in the order of their sets: n_states unless interrupted.
    converged : bool
        The stationary distribution did. The defect does not depend on it.
    """

    is_lumpable: bool | None
    defect: float
    states: tuple[int, int]
    set: int
    into: int
    chain: MarkovChain | None
    mass: FloatArray
    n_checked: int
    converged: bool


def lumpability(
    chain: MarkovChain,
    partition: npt.ArrayLike,
    *,
    tol: float = 1e-12,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> LumpabilityResult:
    """The largest violation of strong lumpability of a partition, the states that attain it, and
    the coarse chain.

    Parameters
    ----------
    chain : MarkovChain
        With one closed class; reversible or not.
    partition : int or bool array (n_states,)
        The set of each state, 0..k-1, none empty.
    tol : float
        The partition counts as lumpable if its defect is at most this.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps
        the search for the stationary distribution; the pass that follows starts anew.

    Returns
    -------
    LumpabilityResult

    Raises
    ------
    ReducibleChainError
        More than one closed class.
    InvalidChainError
        A partition of another shape, or sets that are not numbered 0..k-1 without gaps.
    TypeError
        Set numbers that are not integers.
    Interrupted
        Ctrl-C. `partial` is the LumpabilityResult of the states checked so far, or None while the
        stationary distribution is computed.

    Notes
    -----
    One pass over the entries after the stationary distribution is known, and 52 bytes per set.

    Examples
    --------
    >>> import fastebm as fe
    >>> cycle = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True)
    >>> fe.lumpability(cycle, [0, 1, 2, 1]).is_lumpable, fe.lumpability(cycle, [0, 0, 0, 1]).defect
    (True, 0.5)
    """
    n = require_chain(chain).n_states
    labels, size = _sets(partition, chain)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    threads = resolve_threads(num_threads)
    closed_class(chain)
    search: _DefectSearch | None = None
    with resumable(
        "lumpability",
        checkpoint,
        lambda: fingerprint(chain.fingerprint(), labels, tol),
        partial=lambda: None if search is None else search.result(),
        total=n,
        progress=progress,
        callback=callback,
    ) as monitor:
        search = _DefectSearch(chain, labels, size, chain._law.take(threads), tol)
        found = search.result(search.run(monitor))
    return found


class _DefectSearch:
    """The defect over the states seen so far, and the flows between the sets."""

    def __init__(
        self, chain: MarkovChain, labels: Int32Array, size: IntArray, law: StationaryLaw, tol: float
    ) -> None:
        self.chain, self.labels, self.size, self.law, self.tol = chain, labels, size, law, tol
        self.mass: FloatArray = np.bincount(labels, law.pi, minlength=len(size)).astype(np.float64)
        self._pass: _core.Lump | None = None

    def run(self, monitor: Resumable) -> MarkovChain:
        """The coarse chain."""
        order = _by_set(self.labels, self.size)
        scaled = self.chain._scaled
        search = self._pass = _core.Lump(
            scaled.pattern.matrix,
            scaled.row,
            scaled.col,
            scaled.shift,
            self.labels,
            order,
            len(self.size),
            _weights(self.law.log_pi, self.labels, order, self.size),
        )
        flows = []

        def expand(size: int) -> bool:
            done = search.expand(size)
            flows.append(search.take())
            monitor(search.n_seen, defect=search.defect[0])
            return done

        run_paced(expand, Pacer())
        into = np.concatenate([columns for columns, _ in flows])
        flow = np.concatenate([values for _, values in flows])
        indptr = np.concatenate([[0], np.cumsum(search.degree)])
        coarse = MarkovChain((indptr, into, flow), normalize=True, **self.chain._clock)
        coarse.rate = self.chain.rate
        return coarse

    def result(self, coarse: MarkovChain | None = None) -> LumpabilityResult:
        defect, x, y, into = (0.0, -1, -1, -1) if self._pass is None else self._pass.defect
        if x < 0:
            x = y = 0
            into = int(self.labels[0])
        is_open = coarse is None and defect <= self.tol
        if not (self.law.converged or defect <= self.tol):
            coarse = None
        return LumpabilityResult(
            is_lumpable=None if is_open else defect <= self.tol,
            defect=defect,
            states=(x, y),
            set=int(self.labels[x]),
            into=into,
            chain=coarse,
            mass=self.mass,
            n_checked=0 if self._pass is None else self._pass.n_seen,
            converged=self.law.converged,
        )


def _sets(partition: npt.ArrayLike, chain: MarkovChain) -> tuple[Int32Array, IntArray]:
    """(labels, sizes of the sets) of a valid partition."""
    n = chain.n_states
    labels = np.asarray(in_state_order(partition, chain.labels, "partition"))
    if labels.shape != (n,):
        raise InvalidChainError(f"partition must have shape ({n},), got {labels.shape}")
    if labels.dtype.kind not in "biu":
        raise TypeError(f"partition must hold set numbers, not dtype {labels.dtype}")
    if labels.min() < 0 or labels.max() >= n:
        at = int(np.argmax((labels < 0) | (labels >= n)))
        raise InvalidChainError(
            f"partition[{at}] = {labels[at]} is not a set; number the sets from 0 to at most "
            f"{n - 1}"
        )
    labels = labels.astype(np.int32)
    size = np.bincount(labels)
    if (size == 0).any():
        raise InvalidChainError(
            f"set {int(np.argmin(size))} of partition is empty; number the sets 0..k-1 without gaps"
        )
    return labels, size


def _by_set(labels: Int32Array, size: IntArray) -> Int32Array:
    """The states in the order of their sets."""
    order, place = np.empty(len(labels), np.int32), np.concatenate([[0], np.cumsum(size)[:-1]])
    for begin, end in paced_ranges(len(labels), Pacer()):
        _core.lump_order(labels, begin, end, place, order)
    return order


def _weights(
    log_pi: FloatArray, labels: Int32Array, order: Int32Array, size: IntArray
) -> FloatArray:
    """pi divided by its largest value in the set, which underflows to zero in no set as a whole. In
    a set of transient states all weights are equal."""
    top = np.maximum.reduceat(log_pi[order], np.concatenate([[0], np.cumsum(size)[:-1]]))[labels]
    return np.where(np.isfinite(top), np.exp(log_pi - np.where(np.isfinite(top), top, 0.0)), 1.0)
