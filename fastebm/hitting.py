"""Mean hitting times by linear solves that carry their own componentwise certificate (theory: M-matrices, section 4)."""

import math
import warnings

import numpy as np

from . import _core, _validate
from ._runtime import ENTRIES_PER_CALL, interruptible, resolve_threads
from .chain import is_chain
from .errors import ConvergenceWarning, InvalidChainError, ReducibleChainError
from .results import Result, result
from .stationary import stationary
from .structure import certain, closed_class
from .symmetric import symmetrized

# Up to this many states outside the target, subtraction-free elimination: n^3 / 3 multiplications, exact componentwise.
MAX_DENSE = 400
# A round of conjugate gradients reduces the pi-weighted residual by this factor before the unsymmetrised one is looked at.
ROUND_REDUCTION = 1e-7
# Fixed-point sweeps after a round: they repair states of tiny pi, which the weighted norm does not see, as long as they pay.
MAX_SWEEPS, SWEEP_GAIN = 50, 0.9
MAX_ITER = 100_000


@result
class HittingResult(Result):
    """Mean hitting times with a certificate.

    Attributes
    ----------
    mean : ndarray (n_states,)
        E_x tau: 0 on the target (tau counts from 0), inf exactly where the target is missed with positive probability.
    lower, upper : ndarray (n_states,)
        Componentwise bounds ``mean / (1 + delta)`` and ``mean / (1 - delta)``, delta = residual + residual_floor; upper is
        inf where delta >= 1.
    residual : float
        max |1 - (I - P_BB) mean|, evaluated on sums of differences, in the original (unsymmetrised) system.
    residual_floor : float
        Rounding of that evaluation, about 4 ulp of the largest mean: no residual below it can be seen.
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
        residual + residual_floor <= tol.
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


def hitting_times(chain, target, *, tol=1e-8, gap=None, max_iter=None, num_threads=None, progress=False, callback=None):
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
    ``h / (1 + delta) <= E tau <= h / (1 - delta)``. Reversible chains: conjugate gradients on the symmetrised system, refined
    by the unsymmetrised residual; others: BiCGSTAB; up to 400 states: subtraction-free elimination.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True)
    >>> fe.hitting_times(walk, [0]).mean
    array([0., 3., 4., 3.])
    """
    is_chain(chain)
    tol = _validate.number(tol, "tol", above=0.0, below=1.0)
    limit = MAX_ITER if max_iter is None else _validate.count(max_iter, "max_iter")
    mask = _validate.target_mask(target, chain.n_states)
    if not _bounds_hitting(chain, getattr(gap, "kind", "additive")):
        raise InvalidChainError(f'a gap of kind "{gap.kind}" does not bound hitting times of this chain; pass one of kind "additive"')
    threads = resolve_threads(num_threads)
    sure = certain(chain, mask)
    problem = _Problem(chain, mask, sure, tol, limit, gap, threads)
    with interruptible("hitting_times", problem.result, total=None, progress=progress, callback=callback) as monitor:
        if problem.inside.any():
            problem.solve(monitor)
        found = problem.result()
    if not found.converged:
        warnings.warn(
            f"hitting_times: residual {found.residual:.3g} (rounding {found.residual_floor:.3g}) after {found.n_iter} products, "
            f"wanted {tol:.3g}; lower and upper still enclose the means", ConvergenceWarning, stacklevel=2)
    return found


def _bounds_hitting(chain, kind):
    """Whether no gap of this kind exceeds that of (P + P*) / 2 on the closed class."""
    if kind == "additive":
        return True
    inside = closed_class(chain)
    return kind in ("spectral", "absolute") and (chain if inside is None else chain.restrict(inside)).is_reversible


class _Problem:
    """(I - P_BB) h = 1 on B = `inside`, the states outside the target that hit it with probability one."""

    def __init__(self, chain, mask, sure, tol, limit, gap, threads):
        self.chain, self.mask, self.tol, self.limit, self.gap, self.threads = chain, mask, tol, limit, gap, threads
        self.inside = sure & ~mask
        self.never = ~sure
        self.h = self.inside.astype(np.float64)  # h >= 1 on B
        self.method, self.n_iter = "graph", 0
        self.residual = 0.0
        self.small = False

    # h is 0 outside B; B's successors lie in B or the target, so differences over all of P are those of M h
    def residual_vector(self, h):
        self.n_iter += 1
        r = np.empty_like(h)
        _core.scaled_difference(self.chain._scaled, h, r, 1, self.threads)
        return np.where(self.inside, 1.0 - r, 0.0)

    def floor(self, h):
        return 4.0 * np.finfo(float).eps * float(h.max()) if self.inside.any() else 0.0

    def solve(self, monitor):
        self.residual = math.inf
        if np.count_nonzero(self.inside) <= MAX_DENSE:
            self.eliminate()
        elif self.chain.is_reversible:
            self.method = "conjugate gradients"
            self.refine(self.correction_cg, monitor)
        else:
            self.method = "bicgstab"
            self.refine(self.correction_bicgstab, monitor)

    def accept(self, h, r=None):
        """Keep h if its certificate is better than what is there; returns its residual vector."""
        h = np.where(self.inside, np.maximum(h, 1.0), 0.0)  # tau >= 1 outside the target
        r = self.residual_vector(h)
        size = float(np.abs(r).max())
        if size < self.residual:
            self.h, self.residual = h, size
        return h, r, size

    def refine(self, correction, monitor):
        h, r, size = self.accept(self.h)
        stalled = 0
        while self.residual > self.tol and self.n_iter < self.limit and stalled < 3:
            before = self.residual
            h, r, size = self.accept(h + correction(r, monitor))
            for _ in range(MAX_SWEEPS):
                last = size
                if size <= self.tol or self.n_iter >= self.limit:
                    break
                h, r, size = self.accept(h + r)
                monitor(self.n_iter, residual=size)
                if size > SWEEP_GAIN * last:
                    break
            stalled = stalled + 1 if self.residual > 0.5 * before else 0
            if self.residual <= self.floor(self.h):
                break

    def correction_cg(self, r, monitor):
        """M^-1 r to ROUND_REDUCTION in the pi-weighted norm."""
        if not hasattr(self, "half"):
            self.S = symmetrized(self.chain).operator(self.inside)
            log_measure = self.chain._log_measure  # not log pi: the classes of a reversible chain may be several
            self.half = 0.5 * (log_measure - log_measure.max())
            self.per_call = max(1, ENTRIES_PER_CALL // (self.chain.nnz + 8 * self.chain.n_states))
        weight = np.exp(self.half)
        cg = _core.ConjugateGradients(self.S, weight * r, self.threads)
        target = cg.square * ROUND_REDUCTION**2
        while cg.square > target and self.n_iter < self.limit:
            steps = cg.expand(min(self.per_call, self.limit - self.n_iter), target)
            self.n_iter += steps
            monitor(self.n_iter, residual=self.residual)
            if steps == 0:
                break
        return np.where(self.inside & (weight > 0), cg.x / np.where(weight > 0, weight, 1.0), 0.0)

    def correction_bicgstab(self, r, monitor):
        from scipy.sparse.linalg import LinearOperator, bicgstab

        n = self.chain.n_states

        def apply(x):
            self.n_iter += 1
            monitor(self.n_iter, residual=self.residual)
            x = np.where(self.inside, np.ravel(x), 0.0)
            return x - np.where(self.inside, self.chain._apply(x, num_threads=self.threads), 0.0)

        operator = LinearOperator((n, n), matvec=apply, dtype=np.float64)
        x, _ = bicgstab(operator, r, rtol=ROUND_REDUCTION, atol=0.0, maxiter=max(1, min(2000, (self.limit - self.n_iter) // 2)))
        return x if np.isfinite(x).all() else np.zeros(n)

    def eliminate(self):
        """GTH elimination of B from its last state to its first: what a state loses is summed, never 1 - P[x, x]."""
        self.method = "elimination"
        P = self.chain._rows(self.inside)
        leak = P[:, self.mask].sum(axis=1)
        P = P[:, self.inside].toarray()
        time, exits = np.ones(len(P)), np.empty(len(P))
        for k in range(len(P) - 1, -1, -1):
            exits[k] = P[k, :k].sum() + leak[k]
            factor = P[:k, k] / exits[k]
            P[:k, :k] += np.outer(factor, P[k, :k])
            leak[:k] += factor * leak[k]
            time[:k] += factor * time[k]
        h = np.empty(len(P))
        for k in range(len(P)):
            h[k] = (time[k] + P[k, :k] @ h[:k]) / exits[k]
        self.h = np.zeros(self.chain.n_states)
        self.h[self.inside] = h
        self.residual = float(np.abs(self.residual_vector(self.h)).max())
        # the elimination's own bound (O'Cinneide 1993): each of the 3 n nested sums and quotients costs at most an ulp
        self.small = True

    def result(self):
        floor = self.floor(self.h)
        delta = self.residual + floor
        if self.small:  # the residual of an answer that is right to the last digits may still be its own rounding
            delta = min(delta, 6.0 * len(self.h) * np.finfo(float).eps)
        mean, lower = self.h.copy(), self.h / (1.0 + delta)
        upper = self.h / (1.0 - delta) if delta < 1.0 else np.where(self.inside, math.inf, 0.0)
        lower = np.where(self.inside, np.maximum(lower, 1.0), 0.0)
        for array in (mean, lower, upper):
            array[self.never] = math.inf
        mass, from_pi = self.averages(mean)
        bound = None
        if self.gap is not None:
            gap = getattr(self.gap, "gap_lower", self.gap)
            bound = (1.0 - mass) / (gap * mass) if gap * mass > 0 else math.inf
        never = np.flatnonzero(self.never)
        return HittingResult(
            mean=mean, lower=lower, upper=upper, residual=self.residual, residual_floor=floor, mean_from_pi=from_pi,
            target_mass=mass, bound_from_gap=bound, n_infinite=len(never),
            unreachable_example=int(never[0]) if len(never) else None, method=self.method, n_iter=self.n_iter,
            converged=bool(delta <= self.tol),
        )

    def averages(self, mean):
        """(pi(target), sum pi E tau), NaN where pi is not unique."""
        try:
            pi = stationary(self.chain, num_threads=self.threads).pi
        except ReducibleChainError:
            return math.nan, math.nan
        infinite = np.isinf(mean) & (pi > 0)
        finite = np.where(np.isinf(mean), 0.0, mean)
        total = math.inf if infinite.any() else _core.vec_dot(pi, finite, self.threads)
        return min(float(pi[self.mask].sum()), 1.0), total
