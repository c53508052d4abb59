"""Mean hitting times by linear solves that carry their own componentwise certificate (theory: M-matrices, section 4)."""

import math
import warnings

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.checkpoint import Checkpoint, fingerprint
from .._runtime.progress import interruptible
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import is_chain
from ..equilibrium.stationary import stationary
from ..equilibrium.structure import certain, closed_class
from ..errors import ConvergenceWarning, InvalidChainError, ReducibleChainError
from ..linalg.m_matrix import MMatrixSystem

MAX_ITER = 100_000


@result
class HittingResult(Result):
    """Mean hitting times with a certificate.

    Attributes
    ----------
    mean : ndarray (n_states,)
        E_x tau: 0 on the target (tau counts from 0), inf exactly where the target is missed with positive probability.
    lower, upper : ndarray (n_states,)
        Componentwise bounds ``mean / (1 + delta)`` and ``mean / (1 - delta)``, delta = residual + residual_floor, or less where
        elimination has a better bound of its own; upper is inf where delta >= 1.
    residual : float
        max |1 - (I - P_BB) h| in the original (unsymmetrised) system, h the mean as a sum of two doubles, evaluated on sums
        of differences in twice the working precision.
    residual_floor : float
        Rounding of that evaluation: about 1e-30 of the largest mean (1e-15 for a chain that is not stored).
    mean_from_pi : float
        sum pi(x) E_x tau; NaN where pi is not unique.
    target_mass : float
        pi(target); NaN where pi is not unique.
    bound_from_gap : float or None
        (1 - pi(A)) / (gap pi(A)) >= mean_from_pi (Aldous & Fill, ch. 3), where a gap was given; of a GapResult the lower end.
    n_infinite : int
        States with mean inf.
    unreachable_example : int or None
        One of them.
    method : str
    n_iter : int
        Products with P.
    converged : bool
        delta <= tol.
    """

    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
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
    def relative_error(self):
        """The relative error that the bounds leave: of each mean, hence of their mean under any law."""
        known = np.isfinite(self.mean) & (self.mean > 0.0)
        mean, lower, upper = self.mean[known], self.lower[known], self.upper[known]
        return float(np.maximum(upper / mean - 1.0, 1.0 - lower / mean).max(initial=0.0))


def hitting_times(
    chain,
    target,
    *,
    tol=1e-8,
    gap=None,
    max_iter=None,
    num_threads=None,
    progress=False,
    callback=None,
    checkpoint=None,
):
    """Mean number of steps to reach `target` from every state.

    Parameters
    ----------
    chain : MarkovChain
    target : bool mask (n_states,) or state numbers
    tol : float
        Componentwise relative accuracy of the means: the residual of the unsymmetrised system that is asked for.
    gap : GapResult or float, optional
        The spectral gap (non-reversible: the additive one, any other is refused) for `bound_from_gap`.
    max_iter : int, optional
        Largest number of products.
    checkpoint : path, optional
        A file from which an interrupted call goes on with the same bits: within conjugate gradients, otherwise from the last
        round of the refinement; an elimination begins anew.

    Returns
    -------
    HittingResult
        Where the tolerance is not reached `converged` is False, a warning is given, and the bounds still hold.

    Raises
    ------
    InvalidChainError
        An empty target, a state out of range, or a gap of a kind that bounds nothing here.
    Interrupted
        Ctrl-C; `partial` is the result so far, bounds included.

    Notes
    -----
    Two graph searches come first: the mean is infinite exactly where some path avoids the target for ever. With
    ``M = I - P_BB`` an M-matrix, any h >= 0 with ``delta = |1 - M h|_inf < 1`` encloses the answer:
    ``h / (1 + delta) <= E tau <= h / (1 - delta)``. Reversible chains: conjugate gradients, preconditioned
    by multigrid where they are slow, refined by the unsymmetrised residual in doubled precision; others: BiCGSTAB,
    preconditioned by Gauss-Seidel in topological order of the classes, refined in the same way; where that stalls or would
    cost more, and for small chains: sparse subtraction-free elimination, which no metastability harms.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True)
    >>> fe.hitting_times(walk, [0]).mean
    array([0., 3., 4., 3.])
    """
    is_chain(chain)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    limit = MAX_ITER if max_iter is None else validate.count(max_iter, "max_iter")
    mask = validate.target_mask(target, chain.n_states)
    if not bounds_hitting(chain, getattr(gap, "kind", "additive")):
        raise InvalidChainError(
            f'a gap of kind "{gap.kind}" does not bound hitting times of this chain; pass one of kind "additive"'
        )
    threads = resolve_threads(num_threads)
    sure = certain(chain, mask)
    file = Checkpoint(
        checkpoint, "hitting_times", lambda: fingerprint(chain.fingerprint(), mask, tol, limit)
    )
    problem = _Problem(
        chain, mask, sure, tol, limit, gap, threads, None if checkpoint is None else file
    )
    with interruptible(
        "hitting_times", problem.result, total=None, progress=progress, callback=callback
    ) as monitor:
        if problem.inside.any():
            problem.solve(monitor)
        found = problem.result()
    file.discard()
    if not found.converged:
        warnings.warn(
            f"hitting_times: residual {found.residual:.3g} (rounding {found.residual_floor:.3g}) after {found.n_iter} products, "
            f"wanted {tol:.3g}; lower and upper still enclose the means",
            ConvergenceWarning,
            stacklevel=2,
        )
    return found


def bounds_hitting(chain, kind):
    """Whether no gap of this kind exceeds that of (P + P*) / 2 on the closed class."""
    if kind == "additive":
        return True
    inside = closed_class(chain)
    return (
        kind in ("spectral", "absolute")
        and (chain if inside is None else chain.restrict(inside)).is_reversible
    )


class _Problem:
    """M h = 1 on B, the states outside the target that hit it with probability one."""

    def __init__(self, chain, mask, sure, tol, limit, gap, threads, file):
        self.chain, self.mask, self.tol, self.gap, self.threads = chain, mask, tol, gap, threads
        self.inside, self.never = sure & ~mask, ~sure
        self.file, self.reached = file, None
        self.system = MMatrixSystem(
            chain._scaled, self.inside, limit, threads, None if file is None else self.keep
        )

    def keep(self, state):
        self.reached = state
        self.file.save(lambda: state)

    def solve(self, monitor):
        ones = self.inside.astype(np.float64)
        if self.file is not None:
            self.system.restore(self.file.load())
        try:
            self.system.solve(
                ones, self.tol, monitor, start=ones, least=1.0
            )  # tau >= 1 outside the target
        except KeyboardInterrupt:
            if self.reached is not None:
                self.file.save(lambda: self.reached, now=True)
            raise

    def result(self):
        found, delta = self.system.best, 0.0
        h, residual, floor = np.zeros(self.chain.n_states), 0.0, 0.0
        if found is not None:
            h, residual, floor, delta = (
                found.hi,
                found.size,
                self.system.floor(found.hi),
                self.system.error(found),
            )
        elif self.inside.any():
            h, residual, delta = self.inside.astype(np.float64), math.inf, math.inf
        mean, lower, upper = enclosure(h, delta)
        lower = np.where(self.inside, np.maximum(lower, 1.0), 0.0)
        for array in (mean, lower, upper):
            array[self.never] = math.inf
        mass, from_pi = averages(self.chain, self.mask, mean, self.threads)
        bound = None if self.gap is None else bound_from_gap(self.gap, mass)
        never = np.flatnonzero(self.never)
        return HittingResult(
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
            converged=bool(delta <= self.tol),
        )


def enclosure(x, delta):
    """(x, x / (1 + delta), x / (1 - delta)) as arrays of their own; the last is inf on x > 0 where delta >= 1."""
    return (
        x.copy(),
        x / (1.0 + delta),
        x / (1.0 - delta) if delta < 1.0 else np.where(x > 0.0, math.inf, 0.0),
    )


def bound_from_gap(gap, mass):
    """(1 - pi(A)) / (gap pi(A)) >= E_pi tau_A (Aldous & Fill, ch. 3), gap the lower end of a GapResult or a number."""
    gap = float(getattr(gap, "gap_lower", gap))
    return (1.0 - mass) / (gap * mass) if gap * mass > 0 else math.inf


def averages(chain, target, values, threads):
    """(pi(target), sum pi values), NaN where pi is not unique."""
    try:
        pi = stationary(chain, num_threads=threads).pi
    except ReducibleChainError:
        return math.nan, math.nan
    infinite = np.isinf(values) & (pi > 0)
    finite = np.where(np.isinf(values), 0.0, values)
    total = math.inf if infinite.any() else _core.vec_dot(pi, finite, threads)
    return min(float(pi[target].sum()), 1.0), total
