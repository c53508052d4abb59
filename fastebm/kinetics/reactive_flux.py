"""The flux of trajectories that come from one set and go on to another: transition path theory
(E & Vanden-Eijnden 2006; Metzner, Schuette & Vanden-Eijnden 2009)."""

import math
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.memory import forecast_memory
from .._runtime.results import StepsResult, public_fields, result, to_json
from .._runtime.resumable import resumable, stage
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, Callback, FloatArray, IntArray, Path, States
from .._runtime.warn import shortfalls, warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from ..equilibrium.law_error import relative_law_error
from ..equilibrium.structure import structure
from ..errors import InvalidChainError, ReducibleChainError
from ..hitting.first_hit_results import HitProbabilityResult
from ..hitting.probabilities import committor, hitting_probabilities
from ..linalg.rounding import UNIT
from .coarse_flux import CoarseFlux, coarse_flux
from .pathways import Pathways, find_pathways

# Bytes of the gross and the net flux for each transition, at their peak.
BYTES_AN_ENTRY = 80
# Smaller fluxes have lost digits to underflow.
SMALLEST_FLUX = 1e-290
# Net fluxes that are conserved less well, relative to the total flux, have not converged: in a set
# that is left rarely, the gross flux may be so large that its rounding hides the net flux.
MAX_IMBALANCE = 1e-6
# A product of numbers below the range of doubles is off by at most this.
UNDERFLOW = 1e-322


@result
class ReactiveFlux(StepsResult):
    """The stationary flux of the trajectories that left the source last and reach the target next.

    All fluxes and rates are per step of the chain.

    Attributes
    ----------
    total_flux : float
        Mean number of transitions from source to target in a step.
    total_flux_lower, total_flux_upper : float
        Proven ends: of the committors, the error of the stationary law and rounding. 0 and inf
        where the law has no proven error.
    rate : float
        total_flux / sum pi(x) backward_committor(x): transitions to the target in a step, given
        that the source was left last.
    rate_lower, rate_upper : float
        Proven ends. Those of a reversible chain are as narrow as those of the committors; without
        detailed balance the backward committor has none, and they are
        ``total_flux_lower / (1 - pi(target))`` and ``total_flux_upper / pi(source)``.
    mfpt : float
        1 / rate: mean time from entering the source (after the target) to entering the target.
    forward_committor, backward_committor : ndarray (n_states,)
        Probability of reaching the target before the source, and of having been in the source after
        the target.
    gross_flux, net_flux : scipy.sparse.csr_array (n_states, n_states)
        pi(x) q-(x) P(x, y) q+(y) for x != y; and what it exceeds that of the reverse by.
    pi : ndarray (n_states,)
    source, target : ndarray int
        State numbers, ascending.
    flux_mismatch : float
        Relative difference of the flux out of the source and into the target.
    imbalance : float
        Largest |flux in - flux out| of another state, relative to the total flux.
    is_reversible : bool
        Whether the backward committor is 1 - the forward one; otherwise it is that of the reversed
        chain.
    n_iter : int
        Products with P.
    time_unit : str or None
        The physical time of one step of the data.
    converged : bool
        Both committors and the stationary law, and `imbalance` is at most 1e-6.
    """

    total_flux: float
    total_flux_lower: float
    total_flux_upper: float
    rate: float
    rate_lower: float
    rate_upper: float
    mfpt: float
    forward_committor: FloatArray
    backward_committor: FloatArray
    gross_flux: sp.csr_array
    net_flux: sp.csr_array
    pi: FloatArray
    source: IntArray
    target: IntArray
    flux_mismatch: float
    imbalance: float
    is_reversible: bool
    n_iter: int
    time_unit: str | None
    converged: bool

    def pathways(self, k: int = 10) -> Pathways:
        """At most k dominant pathways of the net flux, widest first.

        Each is the path whose narrowest edge is the widest possible, and so are its parts on both
        sides of that edge; its flux is taken away before the next is found. Paths of less than
        1e-12 of the total flux are left out.

        Parameters
        ----------
        k : int

        Returns
        -------
        Pathways

        Examples
        --------
        >>> import fastebm as fe
        >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 0], [1, 2, 3, 3], symmetric=True)
        >>> found = fe.reactive_flux(walk, [0], [2]).pathways(2)
        >>> [path.tolist() for path in found.paths], found.shares.round(9).tolist()
        ([[0, 1, 2], [0, 3, 2]], [0.5, 0.5])
        """
        k = validate.count(k, "k")
        return find_pathways(self.net_flux, self.source, self.target, k, self.total_flux)

    def coarse(self, sets: Any) -> CoarseFlux:
        """The flux between sets of states.

        Parameters
        ----------
        sets : list of sets of states
            Disjoint. Sets that cross the border of the source or the target are split there; states
            in no set form one more.

        Returns
        -------
        CoarseFlux

        Examples
        --------
        >>> import fastebm as fe
        >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 4], symmetric=True)
        >>> flux = fe.reactive_flux(walk, [0], [4])
        >>> coarse = flux.coarse([[1, 2]])
        >>> [members.tolist() for members in coarse.sets]
        [[0], [1, 2], [3], [4]]
        >>> bool(abs(coarse.net_flux[1, 2] - flux.total_flux) < 1e-12)
        True
        """
        return coarse_flux(self, sets)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values; the fluxes as lists of sources, targets and values."""
        fields = public_fields(self)
        for name in ("gross_flux", "net_flux"):
            entries = fields[name].tocoo()
            fields[name] = {"source": entries.row, "target": entries.col, "flux": entries.data}
        plain: dict[str, Any] = to_json(fields)
        return plain


def reactive_flux(
    chain: MarkovChain,
    source: States,
    target: States,
    *,
    tol: float = 1e-8,
    max_iter: int | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> ReactiveFlux:
    """The flux of reactive trajectories from source to target, its rate and pathways.

    Parameters
    ----------
    chain : MarkovChain
        Irreducible; reversible or not.
    source, target : bool mask (n_states,) or state numbers
        Disjoint.
    tol : float
        Componentwise relative accuracy of the committors.
    max_iter : int, optional
        Largest number of products for each committor.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps both solves.

    Returns
    -------
    ReactiveFlux

    Raises
    ------
    ReducibleChainError
        The chain is not irreducible: take ``chain.largest_class()``.
    InvalidChainError
        An empty set, a state out of range or in both sets, or a chain with transitions that
        underflowed.
    MemoryForecastError
        The sparse fluxes do not fit.
    Interrupted
        Ctrl-C; `partial` is the forward committor, if it is done.

    Examples
    --------
    >>> import fastebm as fe
    >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 4], symmetric=True)
    >>> flux = fe.reactive_flux(walk, [0], [4])
    >>> round(flux.total_flux, 9), round(flux.mfpt, 9)  # 16 steps there, 16 back
    (0.03125, 16.0)
    """
    require_chain(chain)
    n, threads = chain.n_states, resolve_threads(num_threads)
    ends = [
        np.unique(validate.state_array(states, n, name, chain.labels))
        for states, name in ((source, "source"), (target, "target"))
    ]
    if not structure(chain).is_irreducible:
        raise ReducibleChainError(
            "reactive_flux needs an irreducible chain: between its classes there is no stationary "
            "flux; use chain.largest_class()"
        )
    chain._scaled.require_transitions("the reactive flux")
    forecast_memory(BYTES_AN_ENTRY * chain.nnz, "the sparse fluxes", "use a sparser chain")
    options: dict[str, Any] = {"tol": tol, "max_iter": max_iter, "num_threads": threads}
    forward: HitProbabilityResult | None = None
    with (
        shortfalls() as reasons,
        resumable(
            "reactive_flux",
            checkpoint,
            lambda: fingerprint(chain.fingerprint(), *ends, tol, max_iter),
            partial=lambda: forward,
            progress=progress,
            callback=callback,
        ),
    ):
        options |= {"progress": progress, "callback": callback}
        forward = stage("forward", lambda: committor(chain, *ends, **options))
        backward = None
        if not chain.is_reversible:
            backward = stage(
                "backward",
                lambda: hitting_probabilities(chain.reverse(), ends[0], avoid=ends[1], **options),
            )
        found = _Flux(chain, ends, forward, backward, threads).result()
        if found.imbalance > MAX_IMBALANCE:
            warn_unconverged(
                f"the net flux is conserved to {found.imbalance:.2g} of the total flux only: in a "
                "set that is left rarely, rounding of the gross flux hides it; take coarse() by "
                "such sets"
            )
    for text in reasons:
        warn_unconverged(f"reactive_flux: {text}")
    return found


class _Flux:
    """Everything that follows from the committors; `backward` is None if detailed balance gives
    it."""

    def __init__(
        self,
        chain: MarkovChain,
        ends: list[IntArray],
        forward: HitProbabilityResult,
        backward: HitProbabilityResult | None,
        threads: int,
    ) -> None:
        self.chain, self.threads = chain, threads
        self.forward, self.backward = forward, backward
        self.source, self.target = ends
        self.law = chain._law.take(threads)
        self.pi = self.law.pi
        if backward is None:
            self.q_minus = forward.complement
            self.q_minus_ends = forward.complement_lower, forward.complement_upper
        else:
            self.q_minus = backward.probability
            self.q_minus_ends = np.zeros_like(self.pi), np.ones_like(self.pi)
        # relative error of pi(x), of which the logarithm is rounded, too
        error = 2.0 * UNIT * (1.0 + float(np.abs(self.law.log_pi).max()))
        error += relative_law_error(chain, self.law.log_pi, threads)
        self.error = error if self.law.converged else math.inf

    def _mask(self, states: IntArray) -> BoolArray:
        mask = np.zeros(self.chain.n_states, bool)
        mask[states] = True
        return mask

    def _out_of_source(self, q_plus: FloatArray) -> float:
        """sum pi(x) P(x, y) q+(y) over x in the source."""
        reached = self.chain._scaled.rows(self._mask(self.source)) @ q_plus
        return math.fsum(self.pi[self.source] * reached)

    def _into_target(self, q_minus: FloatArray) -> float:
        """sum pi(x) q-(x) P(x, y) over y in the target."""
        into = self.chain._scaled.apply(
            self._mask(self.target).astype(np.float64), num_threads=self.threads
        )
        return math.fsum(self.pi * q_minus * into)

    def _ends(self, lower: float, upper: float, degree: float) -> tuple[float, float]:
        """Ends of a sum with pi, of which these are computed from lower and upper factors; rows of
        `degree` terms are summed in each."""
        relative = self.error + (degree + 16.0) * UNIT
        if not relative < 0.5:
            return 0.0, math.inf
        below = UNDERFLOW * self.chain.n_states * (degree + 1.0)
        return (
            max(lower * (1.0 - 2.0 * relative) - below, 0.0),
            upper * (1.0 + 2.0 * relative) + below,
        )

    def _total(self, degree: float) -> tuple[float, float]:
        """Proven ends of the total flux, by both of its formulas."""
        first = self._ends(
            self._out_of_source(self.forward.lower), self._out_of_source(self.forward.upper), degree
        )
        low, high = (self._into_target(q) for q in self.q_minus_ends)
        second = self._ends(low, high, degree)
        return max(first[0], second[0]), min(first[1], second[1])

    def _rate(self, total: tuple[float, float]) -> tuple[float, float]:
        low = max(math.fsum(self.pi[self.source]), math.fsum(self.pi * self.q_minus_ends[0]))
        outside = self.pi.copy()
        outside[self.target] = 0.0
        low, high = self._ends(low, math.fsum(outside * self.q_minus_ends[1]), 0.0)
        upper = total[1] / low * (1.0 + 2.0 * UNIT) if low > 0.0 else math.inf
        return total[0] / high * (1.0 - 2.0 * UNIT), upper

    def result(self) -> ReactiveFlux:
        q_plus = self.forward.probability
        gross = self._gross(q_plus)
        net = gross - gross.T.tocsr()
        net.data = np.maximum(net.data, 0.0)
        net.eliminate_zeros()
        ends = self._total(float(self.chain._scaled.pattern.max_degree))
        out, into = self._out_of_source(q_plus), self._into_target(self.q_minus)
        total = min(max(out, ends[0]), ends[1])
        mass = math.fsum(self.pi * self.q_minus)
        if min(total, mass) < SMALLEST_FLUX:
            raise InvalidChainError(
                f"the total flux, {total:.3g}, is below what doubles resolve: the source or the "
                "target is too unlikely; choose larger sets"
            )
        rate_ends = self._rate(ends)
        rate = min(max(total / mass, rate_ends[0]), rate_ends[1])
        steps = [self.forward, *([] if self.backward is None else [self.backward])]
        # sums of the net flux: those of a much larger gross flux would round the difference away
        left = np.asarray(net.sum(axis=0) - net.sum(axis=1)).ravel()
        left[self.source] = left[self.target] = 0.0
        imbalance = float(np.abs(left).max()) / total
        return ReactiveFlux(
            total_flux=total,
            total_flux_lower=ends[0],
            total_flux_upper=ends[1],
            rate=rate,
            rate_lower=rate_ends[0],
            rate_upper=rate_ends[1],
            mfpt=1.0 / rate,
            forward_committor=q_plus,
            backward_committor=self.q_minus,
            gross_flux=gross,
            net_flux=net,
            pi=self.pi,
            source=self.source,
            target=self.target,
            flux_mismatch=abs(out - into) / total,
            imbalance=imbalance,
            is_reversible=self.backward is None,
            n_iter=sum(step.n_iter for step in steps),
            time_unit=self.chain.time_unit,
            converged=bool(
                self.law.converged
                and all(step.converged for step in steps)
                and imbalance <= MAX_IMBALANCE
            ),
            lag=self.chain.lag,
        )

    def _gross(self, q_plus: FloatArray) -> sp.csr_array:
        """pi(x) q-(x) P(x, y) q+(y), x != y, positive entries only."""
        flux = self.chain.to_scipy()
        rows = np.repeat(np.arange(flux.shape[0], dtype=np.int32), np.diff(flux.indptr))
        flux.data *= (self.pi * self.q_minus)[rows]
        flux.data *= q_plus[flux.indices]
        flux.data[rows == flux.indices] = 0.0
        flux.eliminate_zeros()
        return flux
