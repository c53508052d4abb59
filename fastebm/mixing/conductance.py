"""Numbers that say how a reversible chain contracts: conductance and entropy decay."""

import math

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import is_chain
from ..equilibrium.structure import closed_class
from ..errors import InvalidChainError, NotReversibleError
from ..patterns.passes import by_rows
from ..spectral.gap import slowest_mode

UNIT = 2.0**-53


def _prepare(chain, purpose):
    """The chain on its closed class, which must have two states."""
    is_chain(chain)
    inside = closed_class(chain)
    if inside is not None:
        chain = chain.restrict(inside)
    if chain.n_states < 2:
        raise InvalidChainError(
            f"{purpose} needs a closed class of at least two states, this one has one"
        )
    if not chain.is_reversible:
        raise NotReversibleError(
            f"{purpose} needs a reversible chain; use reversibilize(chain), or detailed_balance(chain) to see where it is not"
        )
    return chain, inside


# --- conductance ------------------------------------------------------------------------------------------------------------


@result
class ConductanceResult(Result):
    """The best cut found.

    Attributes
    ----------
    conductance : float
        Phi(S) = F(S, S^c) / min(pi(S), pi(S^c)) of the cut: an upper bound of Phi*, the least over all S.
    cut : ndarray bool (n_states,)
        S, with pi(S) <= 1/2.
    mass : float
        pi(S).
    flow : float
        F(S, S^c), the probability that a stationary step leaves S.
    lower, upper : float
        Cheeger: lower <= Phi* <= upper, from gap / 2 <= Phi* <= sqrt(2 gap) and Phi* <= conductance; `lower` is as good as the
        lower end of the gap.
    lower_kind, upper_kind : str
        "rigorous", "probabilistic" or "estimate": `lower` is what the lower end of the gap is (see GapResult), "none" where it is 0
        and says nothing; `upper` is rigorous where it is the cut's, or the gap's upper end is.
    gap_lower, gap_upper : float
        The converse: Phi*^2 / 2 <= gap <= 2 Phi*, with what is known: gap_lower is of `lower_kind`, gap_upper = 2 conductance holds for
        any cut and is rigorous.
    gap : GapResult or None
    """

    conductance: float
    cut: np.ndarray
    mass: float
    flow: float
    lower: float
    upper: float
    lower_kind: str
    upper_kind: str
    gap_lower: float
    gap_upper: float
    gap: object


def conductance(
    chain,
    *,
    vector=None,
    gap=None,
    tol=1e-8,
    rng=None,
    num_threads=None,
    progress=False,
    callback=None,
):
    """The conductance of the best sweep cut of a reversible chain, and Cheeger's bounds of the least one.

    Parameters
    ----------
    chain : MarkovChain
        Reversible, with one closed class.
    vector : array_like (n_states,), optional
        The states are cut in its order; default the second eigenvector.
    gap : GapResult, optional
        Of kind "spectral", where it is known already.
    tol : float
        Relative accuracy of the eigenvector and the gap.

    Raises
    ------
    NotReversibleError, ReducibleChainError, InvalidChainError, Interrupted

    Notes
    -----
    The sweep is one pass over the entries and a sort. The running sum of flows loses digits where the cut is tiny, so it only
    ranks the cuts; the flow of the best, and of the cut at the change of sign, is summed again without subtraction. Along the exact
    second eigenvector the best cut has conductance at most sqrt(2 gap) (Jerrum & Sinclair 1988; Levin & Peres, theorem 13.10).

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> c = fe.conductance(fe.MarkovChain.from_edges([0, 1, 2], [1, 2, 3], symmetric=True))
    >>> round(c.conductance, 12), c.mass, c.lower <= c.conductance <= c.upper
    (0.333333333333, 0.5, True)
    """
    threads = resolve_threads(num_threads)
    n_states = is_chain(chain).n_states
    chain, inside = _prepare(chain, "conductance")
    rng = np.random.default_rng(rng)
    if gap is not None and getattr(gap, "kind", None) != "spectral":
        raise InvalidChainError('gap must be a GapResult of kind "spectral"; see spectral_gap')
    if vector is not None:
        vector = validate.vector(vector, n_states, "vector")
        vector = vector if inside is None else vector[inside]
    if vector is None or gap is None:
        found, f = slowest_mode(
            chain, tol=tol, rng=rng, num_threads=threads, progress=progress, callback=callback
        )
        gap = found if gap is None else gap
        vector = f if vector is None else vector
    phi, S, mass, flow = _best_cut(chain, vector, threads)
    cut = S
    if inside is not None:
        cut = np.zeros(n_states, bool)
        cut[inside] = S
    cheeger = math.sqrt(2.0 * gap.gap_upper)
    return ConductanceResult(
        conductance=phi,
        cut=cut,
        mass=mass,
        flow=flow,
        lower=0.5 * float(gap.gap_lower),
        upper=min(phi, cheeger),
        lower_kind=gap.lower_kind,
        upper_kind="rigorous" if phi <= cheeger else gap.upper_kind,
        gap_lower=0.125 * gap.gap_lower**2,
        gap_upper=2.0 * phi,
        gap=gap,
    )


def _best_cut(chain, vector, threads):
    """(conductance, S, pi(S), flow) of the best sweep cut."""
    order = np.argsort(vector, kind="stable")
    rank = np.empty(chain.n_states, np.int32)
    rank[order] = np.arange(chain.n_states, dtype=np.int32)
    step = cut_steps(chain._scaled.pattern.matrix, chain._scaled.col, rank, threads)
    weight = chain.pi if chain._scaled.row is None else chain.pi * chain._scaled.row
    gain, pi = (weight * step)[order], chain.pi[order]
    below, above = np.cumsum(pi)[:-1], np.cumsum(pi[::-1])[::-1][1:]
    # from the lighter end, so that what rounding leaves is a trifle of that side's mass
    flow = np.where(below <= above, np.cumsum(gain)[:-1], -np.cumsum(gain[::-1])[::-1][1:])
    small = np.minimum(below, above)
    with np.errstate(divide="ignore", invalid="ignore"):
        phi = np.where(small > 0.0, np.maximum(flow, 0.0) / small, np.inf)
    change = int(np.clip(np.searchsorted(vector[order], 0.0), 1, chain.n_states - 1))
    candidates = {int(np.argmin(phi)) + 1, change}
    return min(
        (_cut(chain, rank < first, threads) for first in sorted(candidates)),
        key=lambda found: found[0],
    )


def _cut(chain, S, threads):
    """(conductance, the lighter side, its mass, its flow), all sums of non-negative terms."""
    square = np.empty(chain.n_states)
    _core.scaled_difference(chain._scaled.operator, S.astype(np.float64), square, 2, threads)
    pi = chain.pi
    mass, rest = float(pi[S].sum()), float(pi[~S].sum())
    if rest < mass:
        S, mass = ~S, rest
    flow = float(pi[S] @ square[S])
    return flow / mass if mass > 0.0 else math.inf, S, mass, flow


def cut_steps(matrix, col, rank, threads):
    """What each state adds to the flow of ``A diag(col)`` across a cut when it joins the states of lower rank."""
    step = np.empty(matrix.n_states)
    by_rows(
        "the sweep of cuts",
        matrix,
        lambda begin, end: _core.cut_steps(matrix, col, rank, begin, end, threads, step),
    )
    return step
