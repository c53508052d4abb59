"""Mean hitting times by linear solves with a componentwise error bound (docs/theory.md, section 4).

Every question about hitting is a linear system (I - P_BB) x = b >= 0 with an M-matrix, solved in
`fastebm.linalg.m_matrix`. The iterate is a sum of two doubles, and its residual is evaluated in
twice the working precision: that residual certifies the result. In plain doubles, the rounding of x
would hide it at means of 1e8.
"""

import math

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.results import StepsResult, result
from .._runtime.resumable import Resumable, resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, Callback, FloatArray, Path, States
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from ..chains.law import StationaryLaw
from ..equilibrium.structure import hits_almost_surely, on_closed_class
from ..errors import InvalidChainError, ReducibleChainError
from ..linalg.m_matrix import MMatrixSystem
from ..linalg.rounding import UNIT
from ..spectral.gap_ends import gap_converged, lower_end
from ..spectral.gap_result import GapResult

MAX_ITER = 100_000


@result
class HittingResult(StepsResult):
    """Mean hitting times with rigorous bounds.

    Attributes
    ----------
    mean : ndarray (n_states,)
        E_x tau in steps. 0 on the target, because tau counts from time 0. inf exactly at the states
        from which the target is missed with positive probability.
    lower, upper : ndarray (n_states,)
        Componentwise bounds ``mean / (1 + delta)`` and ``mean / (1 - delta)``, with delta =
        residual + residual_floor, or less if elimination has a better bound of its own, and the
        rounding of a row sum. `upper` is inf if delta >= 1.
    residual : float
        max |1 - (I - P_BB) h| in the original (unsymmetrised) system, where h is the mean as a sum
        of two doubles. Evaluated on sums of differences in twice the working precision.
    residual_floor : float
        Rounding error of that evaluation: about 1e-30 of the largest mean (if the chain is not
        stored, 1e-15 of the largest differences between neighbours).
    mean_from_pi : float
        sum pi(x) E_x tau. NaN if pi is not unique.
    target_mass : float
        pi(target). NaN if pi is not unique.
    bound_from_gap : float or None
        (1 - pi(A)) / (gap pi(A)) >= mean_from_pi (Aldous & Fill, ch. 3) if a gap was given. The
        lower end of a GapResult is used, if it is proven.
    n_infinite : int
        Number of states with mean inf.
    unreachable_example : int or None
        One of these states.
    method : str
    n_iter : int
        Products with P.
    converged : bool
        delta <= tol, and the stationary distribution and a given gap converged. `lower` and `upper`
        hold in any case; `mean_from_pi` and `target_mass` are estimates where pi did not converge,
        and `bound_from_gap` is then inf.
    """

    mean: FloatArray
    lower: FloatArray
    upper: FloatArray
    residual: float
    residual_floor: float
    mean_from_pi: float
    target_mass: float
    bound_from_gap: float | None
    n_infinite: int
    unreachable_example: int | None
    method: str
    n_iter: int
    converged: bool

    @property
    def relative_error(self) -> float:
        """The largest relative error that the bounds allow in a mean. It holds for averages of the
        means, too."""
        known = np.isfinite(self.mean) & (self.mean > 0.0)
        mean, lower, upper = self.mean[known], self.lower[known], self.upper[known]
        return float(np.maximum(upper / mean - 1.0, 1.0 - lower / mean).max(initial=0.0))


def hitting_times(
    chain: MarkovChain,
    target: States,
    *,
    tol: float = 1e-8,
    gap: GapResult | float | None = None,
    max_iter: int | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> HittingResult:
    """Mean number of steps to reach `target` from every state.

    Parameters
    ----------
    chain : MarkovChain
    target : bool mask (n_states,) or state numbers
    tol : float
        Componentwise relative accuracy of the means: an upper limit on the residual of the
        unsymmetrised system.
    gap : GapResult or float, optional
        The spectral gap, for `bound_from_gap`. On a chain without detailed balance it must be the
        additive gap; any other kind is refused.
    max_iter : int, optional
        Largest number of products.
    num_threads, progress, callback
        As in `simulate_hitting_times`.
    checkpoint : path, optional
        A file from which an interrupted call resumes with the same bits, from the last step of the
        iteration. An elimination starts anew.

    Returns
    -------
    HittingResult
        If the tolerance is not reached, `converged` is False and a warning is given. The bounds
        hold in any case.

    Raises
    ------
    InvalidChainError
        An empty target, a state out of range, or a gap of a kind that bounds nothing here.
    Interrupted
        Ctrl-C. `partial` is the result so far, bounds included.

    Notes
    -----
    Two graph searches come first: the mean is infinite exactly where some path avoids the target
    forever. With ``M = I - P_BB`` an M-matrix, any h >= 0 with ``delta = |1 - M h|_inf < 1``
    encloses the answer: ``h / (1 + delta) <= E tau <= h / (1 - delta)``.

    Reversible chains are solved by conjugate gradients, preconditioned by multigrid if they
    converge slowly, and refined by the unsymmetrised residual in doubled precision. Other chains
    are solved by BiCGSTAB, preconditioned by Gauss-Seidel in topological order of the classes, with
    the same refinement. Small chains, and chains on which the iteration stalls or would cost more,
    are solved by sparse elimination without subtractions, whose accuracy does not suffer from
    metastability.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True)
    >>> fe.hitting_times(walk, [0]).mean
    array([0., 3., 4., 3.])
    """
    return mean_times(
        chain,
        target,
        tol=tol,
        gap=gap,
        max_iter=max_iter,
        num_threads=num_threads,
        progress=progress,
        callback=callback,
        checkpoint=checkpoint,
    )


def mean_times(
    chain: MarkovChain,
    target: States,
    *,
    tol: float,
    gap: GapResult | float | None = None,
    max_iter: int | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
    averaged: bool = True,
) -> HittingResult:
    """`hitting_times`; with averaged=False without the averages over pi, which is then not
    needed."""
    require_chain(chain)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    limit = MAX_ITER if max_iter is None else validate.count(max_iter, "max_iter")
    mask = validate.target_mask(target, chain.n_states, chain.labels)
    require_bound(chain, gap)
    threads = resolve_threads(num_threads)
    solve = _MeanSolve(chain, mask, tol, limit, gap, threads, averaged=averaged)
    with resumable(
        "hitting_times",
        checkpoint,
        lambda: fingerprint(chain.fingerprint(), mask, tol, limit),
        partial=solve.result,
        progress=progress,
        callback=callback,
    ) as run:
        solve.run(run)
        found = solve.result()
    if not solve.is_solved:
        warn_unconverged(
            f"hitting_times: residual {found.residual:.3g} (rounding {found.residual_floor:.3g}) "
            f"after {found.n_iter} products is above tol = {tol:.3g}; lower and upper still "
            "enclose the means"
        )
    return found


def require_bound(chain: MarkovChain, gap: GapResult | float | None) -> None:
    """Refuse a gap that may exceed that of (P + P*) / 2 on the closed class: it bounds no hitting
    time."""
    kind = getattr(gap, "kind", "additive")
    if kind == "additive":
        return
    is_reversible = on_closed_class(chain).is_reversible
    if not (is_reversible and kind in ("spectral", "absolute")):
        raise InvalidChainError(
            f'a gap of kind "{kind}" does not bound hitting times of this chain; '
            'pass one of kind "additive"'
        )


class _MeanSolve:
    """M h = 1 on B, the states outside the target that hit it almost surely."""

    def __init__(
        self,
        chain: MarkovChain,
        mask: BoolArray,
        tol: float,
        limit: int,
        gap: GapResult | float | None,
        threads: int,
        *,
        averaged: bool,
    ) -> None:
        sure = hits_almost_surely(chain, mask)
        self.chain, self.mask, self.tol, self.gap, self.threads = chain, mask, tol, gap, threads
        self.inside, self.never = sure & ~mask, ~sure
        self.gap_converged = gap_converged(gap, "hitting_times")
        self.averaged = averaged
        self.is_solved = False  # whether the means of the last result are known to tol
        self.system = MMatrixSystem(chain._scaled, self.inside, limit, threads)

    def run(self, run: Resumable) -> None:
        if not self.inside.any():
            return
        ones = self.inside.astype(np.float64)
        # least=1: tau >= 1 outside the target
        self.system.solve(ones, self.tol, run, start=ones, least=1.0)

    def _law(self) -> StationaryLaw | None:
        """None if it is not unique, or not needed."""
        try:
            return self.chain._law.take(self.threads) if self.averaged else None
        except ReducibleChainError:
            return None

    def result(self) -> HittingResult:
        found, delta = self.system.best, 0.0
        h, residual, floor = np.zeros(self.chain.n_states), 0.0, 0.0
        if found is not None:
            h, residual = found.hi, found.size
            floor, delta = self.system.floor(found.hi), self.system.error(found)
        elif self.inside.any():
            h, residual, delta = self.inside.astype(np.float64), math.inf, math.inf
        self.is_solved = bool(delta <= self.tol)
        mean, lower, upper = enclosure(h, delta)
        lower = np.where(self.inside, np.maximum(lower, 1.0), 0.0)
        for array in (mean, lower, upper):
            array[self.never] = math.inf
        law = self._law()
        mass, from_pi = averages(None if law is None else law.pi, self.mask, mean, self.threads)
        law_converged = law is None or law.converged
        bound = None
        if self.gap is not None:
            bound = bound_from_gap(self.gap, law, self.mask)
        never = np.flatnonzero(self.never)
        return HittingResult(
            lag=self.chain.lag,
            mean=mean,
            lower=lower,
            upper=upper,
            residual=residual,
            residual_floor=floor,
            mean_from_pi=from_pi,
            target_mass=mass,
            bound_from_gap=bound,
            n_infinite=len(never),
            unreachable_example=int(never[0]) if len(never) else None,
            method=self.system.method,
            n_iter=self.system.n_iter,
            converged=self.is_solved and law_converged and self.gap_converged,
        )


def enclosure(x: FloatArray, delta: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(x, x / (1 + delta), x / (1 - delta)) as new arrays; the last is inf on x > 0 if
    delta >= 1."""
    return (
        x.copy(),
        x / (1.0 + delta),
        x / (1.0 - delta) if delta < 1.0 else np.where(x > 0.0, math.inf, 0.0),
    )


def bound_from_gap(gap: GapResult | float, law: StationaryLaw | None, target: BoolArray) -> float:
    """(1 - pi(A)) / (gap pi(A)) >= E_pi tau_A (Aldous & Fill, ch. 3), where gap is a number or the
    lower end of a GapResult; NaN without pi, inf if it did not converge. 1 - pi(A) is summed: where
    A has nearly all mass, a difference would be rounding. The error of pi is added."""
    if law is None:
        return math.nan
    if not law.converged:
        return math.inf
    pi, error = law.pi, mass_error(law)
    scale = lower_end(gap) * float(pi[target].sum()) * (1.0 - error)
    outside = float(pi[~target].sum()) * (1.0 + error)
    with np.errstate(over="ignore"):
        return float(np.float64(outside) / scale) if scale > 0 else math.inf


def mass_error(law: StationaryLaw) -> float:
    """The relative error of a sum of stationary masses: what pi is known to, and the rounding of
    log pi, of its exponentials and of the sum."""
    used = law.log_pi[law.pi > 0.0]
    return law.tol + 8.0 * UNIT * (2.0 - float(used.min()) + math.sqrt(len(used)))


def averages(
    pi: FloatArray | None, target: BoolArray, values: FloatArray, threads: int
) -> tuple[float, float]:
    """(pi(target), sum pi values), both NaN without pi."""
    if pi is None:
        return math.nan, math.nan
    infinite = np.isinf(values) & (pi > 0)
    finite = np.where(np.isinf(values), 0.0, values)
    total = math.inf if infinite.any() else _core.vec_dot(pi, finite, threads)
    return min(float(pi[target].sum()), 1.0), total
