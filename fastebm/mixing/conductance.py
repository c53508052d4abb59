"""Conductance of a reversible chain: the best sweep cut, and Cheeger's bounds."""

import math

import numpy as np

from .._runtime import validate
from .._runtime.checkpoint import remembered_seed
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, BoolArray, Callback, FloatArray, Path
from ..chains.chain import MarkovChain, require_chain
from ..errors import InvalidChainError
from ..linalg.rounding import UNIT
from ..spectral.gap import slowest_mode
from ..spectral.gap_ends import end_kind, gap_converged, lower_end, upper_end
from ..spectral.gap_result import GapResult
from .closed_class import reversible_closed_class
from .gap_failure import failure_of
from .sweep_cut import best_cut


@result
class ConductanceResult(Result):
    """The best cut found.

    Attributes
    ----------
    conductance : float
        Phi(S) = F(S, S^c) / min(pi(S), pi(S^c)) of the cut: an upper bound on Phi*, the least over
        all S.
    cut : ndarray bool (n_states,)
        S, with pi(S) <= 1/2.
    mass : float
        pi(S).
    flow : float
        F(S, S^c), the probability that a stationary step leaves S.
    lower, upper : float
        Cheeger: lower <= Phi* <= upper, from gap / 2 <= Phi* <= sqrt(2 gap) and
        Phi* <= conductance. `lower` is as accurate as the lower end of the gap.
    lower_kind, upper_kind : str
        "rigorous", "probabilistic" or "none". `lower` has the kind of the gap's lower end (see
        GapResult), "none" if it is 0 and says nothing. `upper` is rigorous if it is the conductance
        of the cut, with its rounding; otherwise it has the kind of the gap's upper end.
    failure_probability : float or None
        With which the probabilistic bounds fail, that of the gap.
    gap_lower, gap_upper : float
        The converse, Phi*^2 / 2 <= gap <= 2 Phi*, from the bounds on Phi*. gap_lower is of
        `lower_kind`. gap_upper = 2 conductance, with its rounding, holds for any cut and is
        rigorous.
    gap : GapResult
    converged : bool
        The gap did. The bounds hold in any case.
    """

    conductance: float
    cut: BoolArray
    mass: float
    flow: float
    lower: float
    upper: float
    lower_kind: str
    upper_kind: str
    failure_probability: float | None
    gap_lower: float
    gap_upper: float
    gap: GapResult
    converged: bool


def conductance(
    chain: MarkovChain,
    *,
    vector: FloatArray | None = None,
    gap: GapResult | None = None,
    tol: float = 1e-8,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> ConductanceResult:
    """The conductance of the best sweep cut of a reversible chain, and Cheeger's bounds on the
    least conductance.

    Parameters
    ----------
    chain : MarkovChain
        Reversible, with one closed class.
    vector : array_like (n_states,), optional
        The states are cut in its order; default the second eigenvector.
    gap : GapResult, optional
        Of kind "spectral", if it is known already.
    tol : float
        Relative accuracy of the eigenvector and the gap.
    rng : seed or Generator, optional
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint is that of
        the search for the gap.

    Returns
    -------
    ConductanceResult

    Raises
    ------
    NotReversibleError
        The chain is not reversible on its closed class.
    ReducibleChainError
        More than one closed class.
    InvalidChainError
        A class of one state, a vector of another shape, or a gap of another kind.
    Interrupted
        Ctrl-C.

    Notes
    -----
    The sweep is one pass over the entries and a sort. The running sum of flows loses relative
    accuracy for cuts of tiny flow, so it only ranks the cuts. The flow of the best cut, and of the
    cut at the change of sign, is summed again without subtraction. Along the exact second
    eigenvector the best cut has conductance at most sqrt(2 gap) (Jerrum & Sinclair 1988; Levin &
    Peres, theorem 13.10).

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> c = fe.conductance(fe.MarkovChain.from_edges([0, 1, 2], [1, 2, 3], symmetric=True))
    >>> round(c.conductance, 12), c.mass, c.lower <= c.conductance <= c.upper
    (0.333333333333, 0.5, True)
    """
    threads = resolve_threads(num_threads)
    n_states, labels = require_chain(chain).n_states, chain.labels
    chain, inside = reversible_closed_class(chain, "conductance")
    rng = remembered_seed(rng, checkpoint)
    generator = np.random.default_rng(rng)
    if gap is not None and getattr(gap, "kind", None) != "spectral":
        raise InvalidChainError('gap must be a GapResult of kind "spectral"; see spectral_gap')
    if vector is not None:
        vector = validate.vector(vector, n_states, "vector", labels)
        vector = vector if inside is None else vector[inside]
    converged = gap_converged(gap, "conductance")
    if vector is None or gap is None:
        found, mode = slowest_mode(
            chain,
            tol=tol,
            rng=generator,
            num_threads=threads,
            progress=progress,
            callback=callback,
            checkpoint=checkpoint,
            seed=rng,
        )
        converged &= found.converged
        gap = found if gap is None else gap
        vector = mode if vector is None else vector
    best = best_cut(chain, vector, threads)
    cut = best.states
    if inside is not None:
        cut = np.zeros(n_states, bool)
        cut[inside] = best.states
    # the ends include the rounding of the cut, and of their own evaluation
    above, low = best.conductance * (1.0 + best.error), lower_end(gap)
    cheeger = math.sqrt(2.0 * upper_end(gap)) * (1.0 + 4 * UNIT)
    return ConductanceResult(
        conductance=best.conductance,
        cut=cut,
        mass=best.mass,
        flow=best.flow,
        lower=0.5 * low,
        upper=min(above, cheeger),
        lower_kind=end_kind(gap.lower_kind),
        upper_kind="rigorous" if above <= cheeger else gap.upper_kind,
        failure_probability=failure_of(
            gap, gap.lower_kind, "rigorous" if above <= cheeger else gap.upper_kind
        ),
        gap_lower=0.125 * low**2 * (1.0 - 4 * UNIT),
        gap_upper=2.0 * above,
        gap=gap,
        converged=converged,
    )
