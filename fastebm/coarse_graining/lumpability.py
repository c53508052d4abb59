"""Strong lumpability of a partition of the states, and the coarse chain on its sets."""

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.pacing import Pacer
from .._runtime.progress import interruptible
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import MarkovChain, is_chain
from ..equilibrium.stationary import stationary
from ..equilibrium.structure import closed_class
from ..errors import InvalidChainError


@result
class LumpabilityResult(Result):
    """How far a partition is from a strong lumping.

    Attributes
    ----------
    is_lumpable : bool or None
        defect <= tol: then the sets visited are a Markov chain from every start (Kemeny & Snell 1960, theorem 6.3.2). None after an
        interruption that left it open.
    defect : float
        Largest |P(x, B) - P(y, B)| over x, y of one set and sets B; after an interruption over the first `n_checked` states, hence a
        lower bound.
    states : tuple of int
        x, y that show it; equal where the defect is 0.
    set : int
        Their set.
    into : int
        B.
    chain : MarkovChain or None
        The pi-weighted coarse chain: the exact one of a lumpable partition, and otherwise that of the stationary process. A set of
        transient states counts them alike. None after an interruption.
    mass : ndarray (k,)
        pi of the sets.
    n_checked : int
        States that were looked at, in the order of their sets: n_states, but after an interruption.
    """

    is_lumpable: bool | None
    defect: float
    states: tuple
    set: int
    into: int
    chain: object
    mass: np.ndarray
    n_checked: int


def lumpability(chain, partition, *, tol=1e-12, num_threads=None, progress=False, callback=None):
    """The largest defect of strong lumpability of a partition, the states that show it, and the coarse chain.

    Parameters
    ----------
    chain : MarkovChain
        With one closed class; reversible or not.
    partition : int or bool array (n_states,)
        The set of each state, 0..k-1, none empty.
    tol : float
        Defect up to which the partition counts as a lumping.

    Raises
    ------
    ReducibleChainError, InvalidChainError, TypeError
    Interrupted
        Ctrl-C; `partial` is the LumpabilityResult of the states looked at (what `stationary` has, while that is found).

    Notes
    -----
    One pass over the entries after the stationary law is found, and 52 bytes for each set.

    Examples
    --------
    >>> import fastebm as fe
    >>> cycle = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True)
    >>> fe.lumpability(cycle, [0, 1, 2, 1]).is_lumpable, fe.lumpability(cycle, [0, 0, 0, 1]).defect
    (True, 0.5)
    """
    n = is_chain(chain).n_states
    labels, size = _sets(partition, n)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    threads = resolve_threads(num_threads)
    closed_class(chain)
    law = stationary(chain, num_threads=threads)
    mass = np.bincount(labels, law.pi, minlength=len(size))
    search, flows, done = None, [], False

    def found(coarse=None):
        defect, x, y, into = (0.0, -1, -1, -1) if search is None else search.defect
        if x < 0:
            x = y = 0
            into = int(labels[0])
        is_lumpable = None if coarse is None and defect <= tol else defect <= tol
        return LumpabilityResult(
            is_lumpable=is_lumpable,
            defect=defect,
            states=(x, y),
            set=int(labels[x]),
            into=into,
            chain=coarse,
            mass=mass,
            n_checked=0 if search is None else search.n_seen,
        )

    with interruptible(
        "lumpability", found, total=n, progress=progress, callback=callback
    ) as monitor:
        order = _by_set(labels, size)
        search = _core.Lump(
            chain._scaled.pattern.matrix,
            chain._scaled.row,
            chain._scaled.col,
            chain._scaled.shift,
            labels,
            order,
            len(size),
            _weights(law.log_pi, labels, order, size),
        )
        pace = Pacer()
        while not done:
            with pace:
                done = search.expand(pace.size)
            flows.append(search.take())
            monitor(search.n_seen, defect=search.defect[0])
        into, flow = (np.concatenate(part) for part in zip(*flows))
        indptr = np.concatenate([[0], np.cumsum(search.degree)])
        return found(MarkovChain((indptr, into, flow), normalize=True))


def _sets(partition, n):
    """(labels int32, sizes of the sets) of a valid partition."""
    labels = np.asarray(partition)
    if labels.shape != (n,):
        raise InvalidChainError(f"partition must have shape ({n},), got {labels.shape}")
    if labels.dtype.kind not in "biu":
        raise TypeError(f"partition must hold set numbers, not dtype {labels.dtype}")
    if labels.min() < 0 or labels.max() >= n:
        at = int(np.argmax((labels < 0) | (labels >= n)))
        raise InvalidChainError(
            f"partition[{at}] = {labels[at]} is not a set; number the sets from 0 to at most {n - 1}"
        )
    labels = labels.astype(np.int32)
    size = np.bincount(labels)
    if (size == 0).any():
        raise InvalidChainError(
            f"set {int(np.argmin(size))} of partition is empty; number the sets 0..k-1 without gaps"
        )
    return labels, size


def _by_set(labels, size):
    """The states in the order of their sets, int32."""
    order, place = np.empty(len(labels), np.int32), np.concatenate([[0], np.cumsum(size)[:-1]])
    pace, begin = Pacer(), 0
    while begin < len(labels):
        end = min(begin + pace.size, len(labels))
        with pace:
            _core.lump_order(labels, begin, end, place, order)
        begin = end
    return order


def _weights(log_pi, labels, order, size):
    """pi within each set beside its largest there, which underflows for no set; states that are all transient count alike."""
    top = np.maximum.reduceat(log_pi[order], np.concatenate([[0], np.cumsum(size)[:-1]]))[labels]
    return np.where(np.isfinite(top), np.exp(log_pi - np.where(np.isfinite(top), top, 0.0)), 1.0)
