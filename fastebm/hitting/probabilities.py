"""Where a chain ends up: probabilities of hitting one set before another, of committors and of absorption, each in [0, 1]."""

import math
import warnings

import numpy as np

from .._runtime import validate
from .._runtime.progress import interruptible
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import is_chain
from ..equilibrium.structure import reachable
from ..errors import ConvergenceWarning, InvalidChainError
from ..linalg.m_matrix import MMatrixSystem

MAX_ITER = 100_000


@result
class AbsorptionResult(Result):
    """Which of several sets is hit first.

    Attributes
    ----------
    probability : ndarray (n_states, n_targets)
        Non-negative. With `never`, each row sums to one to rounding.
    never : ndarray (n_states,)
        Probability of hitting none of them, ever.
    lower, upper : ndarray (n_states, n_targets)
        Componentwise bounds within [0, 1].
    error : float
        The largest distance from `probability` to a bound.
    mean_time : ndarray (n_states,)
        Mean number of steps until a target, or a state that reaches none any more, is entered.
    residual : float
        max |b - (I - P_BB) u| over the targets, in twice the working precision.
    method : str
    n_iter : int
        Products with P.
    converged : bool
        error <= tol.
    """

    probability: np.ndarray
    never: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    error: float
    mean_time: np.ndarray
    residual: float
    method: str
    n_iter: int
    converged: bool


@result
class HitProbabilityResult(Result):
    """The probability of hitting a target (before another set).

    Attributes
    ----------
    probability : ndarray (n_states,)
        In [0, 1]: 1 on the target, 0 on what is avoided and where the target is out of reach.
    complement : ndarray (n_states,)
        1 - probability, solved for itself: it keeps its digits where the probability is nearly one.
    lower, upper : ndarray (n_states,)
        Componentwise bounds of the probability within [0, 1].
    error : float
        The largest distance from `probability` to a bound.
    residual : float
        max |b - (I - P_BB) u|, in twice the working precision.
    method : str
    n_iter : int
        Products with P.
    converged : bool
        error <= tol.
    """

    probability: np.ndarray
    complement: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    error: float
    residual: float
    method: str
    n_iter: int
    converged: bool


def hitting_probabilities(
    chain,
    target,
    *,
    avoid=None,
    tol=1e-8,
    max_iter=None,
    num_threads=None,
    progress=False,
    callback=None,
):
    """P_x(target is hit, and before `avoid` where that is given) for every state x.

    Parameters
    ----------
    chain : MarkovChain
    target, avoid : bool mask (n_states,) or state numbers
        Disjoint.
    tol : float
        Absolute accuracy of the probabilities.
    max_iter : int, optional
        Largest number of products.

    Returns
    -------
    HitProbabilityResult

    Raises
    ------
    InvalidChainError
        An empty set, a state out of range, or one in both sets.
    Interrupted
        Ctrl-C; `partial` is the result so far, bounds included.

    Notes
    -----
    Probabilities u solve ``(I - P_BB) u = P_BA 1`` on the states B from which the target can be reached. Any u~ obeys
    ``|u - u~| <= |r|_inf E_x[time in B]``, and the mean time is enclosed by its own certificate; what elimination finds is
    right to a relative error besides, probabilities of 1e-130 included.

    Examples
    --------
    >>> import fastebm as fe
    >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 4], symmetric=True)
    >>> fe.hitting_probabilities(walk, [4], avoid=[0]).probability
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    is_chain(chain)
    sets = [validate.target_mask(target, chain.n_states)]
    others = (
        np.zeros(chain.n_states, bool)
        if avoid is None
        else validate.target_mask(avoid, chain.n_states)
    )
    _disjoint([sets[0], others])
    found = _solve(
        chain,
        sets,
        others,
        "hitting_probabilities",
        tol,
        max_iter,
        num_threads,
        progress,
        callback,
        _single,
    )
    return found


def committor(chain, source, target, **options):
    """The forward committor: P_x(target is hit before source), 0 on the source and 1 on the target.

    The same as ``hitting_probabilities(chain, target, avoid=source, **options)`` under the name that transition path theory
    gives it.

    Examples
    --------
    >>> import fastebm as fe
    >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 4], symmetric=True)
    >>> fe.committor(walk, [0], [4]).probability
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    return hitting_probabilities(chain, target, avoid=source, **options)


def absorption_probabilities(
    chain, targets, *, tol=1e-8, max_iter=None, num_threads=None, progress=False, callback=None
):
    """For every state, the probabilities that each of several sets is the first one to be hit.

    Parameters
    ----------
    chain : MarkovChain
    targets : list of bool masks (n_states,) or of state numbers
        Disjoint sets.
    tol : float
        Absolute accuracy.
    max_iter : int, optional
        Largest number of products in all.

    Returns
    -------
    AbsorptionResult

    Raises
    ------
    InvalidChainError
        No set, an empty one, or a state in two of them.
    Interrupted
        Ctrl-C; `partial` is the result so far, bounds included.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> P = np.array([[1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.5, 0.0], [0.0, 0.5, 0.0, 0.5], [0.0, 0.0, 0.0, 1.0]])
    >>> fe.absorption_probabilities(fe.MarkovChain(P), [[0], [3]]).probability[1:3].tolist()
    [[0.5, 0.5], [0.25, 0.75]]
    """
    is_chain(chain)
    sets = [validate.target_mask(target, chain.n_states) for target in targets]
    if not sets:
        raise InvalidChainError("targets is empty; it needs at least one set of states")
    _disjoint(sets)
    return _solve(
        chain,
        sets,
        np.zeros(chain.n_states, bool),
        "absorption_probabilities",
        tol,
        max_iter,
        num_threads,
        progress,
        callback,
        _several,
    )


def _disjoint(sets):
    shared = np.sum(sets, axis=0) > 1
    if shared.any():
        raise InvalidChainError(
            f"state {int(np.argmax(shared))} is in two of the sets; they must be disjoint"
        )


def _solve(chain, sets, avoid, call, tol, max_iter, num_threads, progress, callback, pack):
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    limit = MAX_ITER if max_iter is None else validate.count(max_iter, "max_iter")
    problem = _Problem(chain, sets, avoid, tol, limit, resolve_threads(num_threads))

    def partial():
        return pack(problem)

    with interruptible(call, partial, progress=progress, callback=callback) as monitor:
        problem.solve(monitor)
        found = pack(problem)
    if not found.converged:
        warnings.warn(
            f"{call}: probabilities are known to {found.error:.3g} only after {found.n_iter} products, wanted {tol:.3g}; "
            "lower and upper still enclose them",
            ConvergenceWarning,
            stacklevel=3,
        )
    return found


class _Problem:
    """M u = P_BG 1 for each set G and for what reaches none of them (the last column)."""

    def __init__(self, chain, sets, avoid, tol, limit, threads):
        self.chain, self.tol, self.threads = chain, tol, threads
        self.sets = [*sets, ~reachable(chain, np.any(sets, axis=0), avoid)]
        self.inside = ~np.any(self.sets, axis=0)
        self.system = MMatrixSystem(chain._scaled, self.inside, limit, threads)
        self.time, self.time_error = None, math.inf
        self.residual = 0.0 if not self.inside.any() else math.inf
        # who cannot reach a set without passing through another has probability zero of it, exactly
        self.reaching = [
            reachable(chain, members, ~self.inside & ~members) for members in self.sets
        ]
        # nothing is known yet: the sets within reach alike
        self.blank = np.array(self.reaching, dtype=np.float64).T.copy()
        self.blank /= self.blank.sum(axis=1)[:, None]
        self.u = self.blank.copy()
        self.error = np.where(self.inside[:, None] & (self.u > 0.0), 1.0, 0.0)

    def solve(self, monitor):
        if not self.inside.any():
            return
        ones = self.inside.astype(np.float64)
        exit_time = self.system.solve(ones, 0.1, monitor, start=ones, least=1.0)
        self.time, self.time_error = exit_time.hi, self.system.error(exit_time)
        if self.time_error >= 1.0:
            return
        longest = float(self.time.max()) / (1.0 - self.time_error)
        self.underflow = (
            1e-323 * float(self.system.n_inside) ** 2 * longest
        )  # of elimination (MMatrixSystem.elimination_bound)
        residuals = []
        for k, members in enumerate(self.sets):
            if not (self.reaching[k] & self.inside).any():
                residuals.append(0.0)
                continue
            b = np.where(
                self.inside,
                self.chain._scaled.apply(members.astype(np.float64), num_threads=self.threads),
                0.0,
            )
            best = self.system.solve(b, 0.25 * self.tol / longest, monitor, relative=True)
            u = np.where(self.reaching[k], np.clip(best.hi, 0.0, 1.0), 0.0)
            absolute = (
                (best.size + self.system.floor(best.hi)) * self.time / (1.0 - self.time_error)
            )
            relative = best.bound * u + self.underflow if math.isfinite(best.bound) else math.inf
            self.u[self.inside, k] = u[self.inside]
            self.error[self.inside, k] = (np.minimum(absolute, relative) + 1e-15 * u)[self.inside]
            self.error[~self.reaching[k], k] = 0.0
            residuals.append(best.size)
        self.residual = max(residuals)

    def finish(self):
        """(u, lower, upper, error): rows divided by their sums, which differ from one by no more than the errors; a row of
        which iteration found nothing is as blank as it was."""
        total = self.u.sum(axis=1)
        found = total > 0.0
        u = np.where(found[:, None], self.u / np.where(found, total, 1.0)[:, None], self.blank)
        error = self.error + np.abs(total - 1.0)[:, None] * u
        lower, upper = np.clip(u - error, 0.0, 1.0), np.clip(u + error, 0.0, 1.0)
        return u, lower, upper, float(np.maximum(u - lower, upper - u).max())


def _several(problem):
    u, lower, upper, error = problem.finish()
    time = np.zeros(problem.chain.n_states) if problem.time is None else problem.time
    return AbsorptionResult(
        probability=np.ascontiguousarray(u[:, :-1]),
        never=u[:, -1].copy(),
        lower=np.ascontiguousarray(lower[:, :-1]),
        upper=np.ascontiguousarray(upper[:, :-1]),
        error=error,
        mean_time=time,
        residual=problem.residual,
        method=problem.system.method,
        n_iter=problem.system.n_iter,
        converged=bool(error <= problem.tol),
    )


def _single(problem):
    u, lower, upper, error = problem.finish()
    return HitProbabilityResult(
        probability=u[:, 0].copy(),
        complement=u[:, 1].copy(),
        lower=lower[:, 0].copy(),
        upper=upper[:, 0].copy(),
        error=error,
        residual=problem.residual,
        method=problem.system.method,
        n_iter=problem.system.n_iter,
        converged=bool(error <= problem.tol),
    )
