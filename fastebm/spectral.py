"""Spectral gaps with their evidence (theory: Levin & Peres ch. 12; Paige 1972 for the recurrence)."""

import math
import warnings

import numpy as np
import scipy.sparse as sp
from scipy.linalg import eigh_tridiagonal

from . import _core, _validate
from ._runtime import ENTRIES_PER_CALL, forecast_memory, interruptible, philox_key, resolve_threads
from .chain import is_chain
from .errors import ConvergenceWarning
from .krylov import Ends, KrylovSchur, Operator, Projection, RandomVectors, Ritz, ThreeTerm
from .leading import n_rows
from .results import Result, result
from .stationary import stationary
from .structure import closed_class, structure
from .symmetric import balanced, symmetrized

KINDS = ("spectral", "absolute", "multiplicative", "additive")
# Up to this size LAPACK solves the dense problem at once.
MAX_DENSE = 128
MAX_MATVECS = 100_000
# Rounding of one product and of the recurrence, as an absolute error of a Ritz value of an operator of norm one: observed
# up to 8e-15 (dumbbells of 400 states, whose rows are long), stated with a margin.
ROUNDING = 64 * np.finfo(float).eps
# Below this gap 1 - theta has lost more digits than the default tol allows: the Dirichlet form takes over.
SMALL_GAP = 2e-6
# The Dirichlet form sums non-negative terms whose weights carry the rounding of log pi.
DIRICHLET_SLACK = 1e-12


@result
class GapResult(Result):
    """A spectral gap with its evidence.

    Attributes
    ----------
    kind : str
        "spectral" 1 - lambda_2; "absolute" 1 - max |lambda|; "additive", "multiplicative": of (P + P*)/2, of P P*.
    gap, gap_lower, gap_upper : float
    lower_kind, upper_kind : str
        "rigorous", "probabilistic", "estimate" or "none" (then the bound is 0 or 2).
    eigenvalue : float or complex
        The eigenvalue that sets the gap.
    slem : float or None
        Second-largest eigenvalue modulus, where computed.
    relaxation_time : float or None
        1 / (1 - lambda_2) in steps.
    absolute_relaxation_time : float or None
        1 / (1 - slem) in steps, where computed. Neither is a mixing time.
    residual : float
        |A v - lambda v| of the eigenpair, as the recurrence estimates it (Lanczos) or as computed (others).
    rounding : float
        Absolute accuracy that double precision leaves in `gap`; a gap below it is known only by its upper end.
    n_matvecs : int
    method : str
    converged : bool
    wall_s : float
    """

    kind: str
    gap: float
    gap_lower: float
    gap_upper: float
    lower_kind: str
    upper_kind: str
    eigenvalue: float | complex
    slem: float | None
    relaxation_time: float | None
    absolute_relaxation_time: float | None
    residual: float
    rounding: float
    n_matvecs: int
    method: str
    converged: bool
    wall_s: float


def spectral_gap(chain, *, kind="spectral", tol=1e-8, certify=False, max_matvecs=None, rng=None, num_threads=None,
                 progress=False, callback=None):
    """The spectral gap of a chain with one closed class, on that class.

    Parameters
    ----------
    chain : MarkovChain
    kind : {"spectral", "absolute", "multiplicative", "additive"}
        1 - lambda_2 (non-reversible: 1 - max Re lambda); 1 - max |lambda|, 0 for a periodic chain; the gap of P P*; the gap
        of (P + P*)/2. On a reversible chain "additive" is "spectral".
    tol : float
        Relative accuracy of the gap.
    certify : bool
        Form the vector (a second pass of the recurrence) and report its Dirichlet form, a rigorous upper bound. Done
        unasked where the gap is below 2e-6: there the Dirichlet form is the estimate itself, free of cancellation.
    max_matvecs : int, optional
    rng : seed or Generator, optional
        For the random start.

    Returns
    -------
    GapResult
        A chain of one state has gap 1: its P is its own limit.

    Raises
    ------
    ReducibleChainError
        More than one closed class.
    Interrupted
        Ctrl-C; `partial` is the result so far.

    Notes
    -----
    Reversible chains: Lanczos on the symmetrised operator, sqrt(pi) deflated in every step, five vectors. It stops where the
    error bound min(residual, residual^2 / separation) of the wanted Ritz value is below tol times the gap. Non-reversible:
    Krylov-Schur (Stewart 2001) on D^(1/2) P D^(-1/2) with sqrt(pi) deflated; it stops where residual times condition number, the
    error to first order, is below tol times the gap, and the interval is an estimate: of a chain far from normal a residual bounds
    only the distance to the pseudospectrum. (P + P*)/2 and P P* of such a chain are applied and never formed.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> g = fe.spectral_gap(fe.MarkovChain(np.array([[0.9, 0.1], [0.3, 0.7]])))
    >>> round(g.gap, 12), round(g.relaxation_time, 12)
    (0.4, 2.5)
    """
    is_chain(chain)
    _validate.choice(kind, "kind", KINDS)
    tol = _validate.number(tol, "tol", above=0.0, below=1.0)
    limit = MAX_MATVECS if max_matvecs is None else _validate.count(max_matvecs, "max_matvecs")
    threads = resolve_threads(num_threads)
    inside = closed_class(chain)
    if inside is not None:
        chain = chain.restrict(inside)
    run = {"kind": kind, "tol": tol, "certify": certify, "limit": limit, "rng": np.random.default_rng(rng), "threads": threads,
           "progress": progress, "callback": callback}
    if chain.n_states == 1:
        return _pack(kind, 0.0, 0.0, "closed form", 0, 0.0, slem=0.0)
    # P P* of a periodic chain never leaves a cyclic class
    if kind in ("absolute", "multiplicative") and structure(chain).period > 1:
        at_minus_one = kind == "absolute" and chain.is_reversible
        return _pack(kind, -1.0 if at_minus_one else 1.0, 0.0, "period", 0, 0.0, slem=1.0, gap=0.0)
    if chain.is_reversible:
        found = _dense(chain, **run) if chain.n_states <= MAX_DENSE else _lanczos(chain, **run)
    else:
        found = _general(chain, **run)
    if not found.converged:
        warnings.warn(f"spectral_gap: not converged to {tol:.3g} after {found.n_matvecs} products; raise max_matvecs",
                      ConvergenceWarning, stacklevel=2)
    return found


def _pack(kind, eigenvalue, error, method, n_matvecs, wall_s, *, slem=None, gap=None, upper=None, residual=0.0, converged=True):
    """A GapResult from an eigenvalue with an estimated error; `upper`, a rigorous upper end, also is the gap when it is small."""
    if gap is None:
        gap = 1.0 - (abs(eigenvalue) if kind == "absolute" else eigenvalue.real)
    exact = method in ("closed form", "period")
    rounding = 0.0 if exact else ROUNDING
    if upper is not None and not math.isfinite(upper):
        upper = None  # pi beyond a double's range
    gap = upper if upper is not None and upper < SMALL_GAP else max(gap, 0.0)
    # also where the Dirichlet form is the estimate: eigenvalues closer than rounding share their vectors, so a gap below
    # it is known from above only
    lower, upper_kind = gap - error - rounding if converged else 0.0, "rigorous" if exact else "estimate"
    if upper is not None:
        upper, upper_kind = upper * (1.0 + DIRICHLET_SLACK), "rigorous"
    else:
        upper = min(2.0, gap + error + rounding)
        if upper == 2.0 and not converged:
            upper_kind = "none"
    if kind in ("spectral", "additive"):
        relaxation = 1.0 / gap if gap > 0 else math.inf
        absolute = None if slem is None else (1.0 / (1.0 - slem) if slem < 1.0 else math.inf)
    else:
        relaxation = None
        absolute = (1.0 / gap if gap > 0 else math.inf) if kind == "absolute" else None
    return GapResult(
        kind=kind, gap=gap, gap_lower=lower if exact else max(lower, 0.0), gap_upper=upper,
        lower_kind="rigorous" if exact else "estimate" if lower > 0.0 else "none", upper_kind=upper_kind, eigenvalue=eigenvalue, slem=slem,
        relaxation_time=relaxation, absolute_relaxation_time=absolute, residual=residual, rounding=rounding,
        n_matvecs=n_matvecs, method=method, converged=converged, wall_s=wall_s,
    )


def dirichlet_quotient(chain, f, num_threads):
    """E(f, f) / Var_pi(f) of a reversible chain: an upper bound of its gap for any non-constant f (LP lemma 13.7)."""
    pi = chain.pi
    centred = np.ascontiguousarray(f - _core.vec_dot(pi, f, num_threads))
    square = np.empty(chain.n_states)
    _core.scaled_difference(chain._scaled, centred, square, 2, num_threads)
    energy = 0.5 * _core.vec_dot(pi, square, num_threads)
    mean = _core.vec_dot(pi, centred, num_threads)
    return energy / (_core.vec_dot(pi * centred, centred, num_threads) - mean * mean)


def _eigenfunction(vector, root):
    """f = vector / root, cut where the vector is rounding to the range it has elsewhere and zero (f changes sign): that
    lowers its energy, and any f gives an upper bound."""
    with np.errstate(all="ignore"):
        f = vector / root
        known = f[np.abs(vector) > 1e-8 * np.abs(vector).max()]
        return np.clip(f, min(known.min(), 0.0), max(known.max(), 0.0))


def _select(kind, values):
    """Position of the Ritz value that sets the gap: the top one, or the largest in modulus of the two ends."""
    if kind in ("spectral", "additive"):
        return len(values) - 1
    return 0 if abs(values[0]) > abs(values[-1]) else len(values) - 1


def _overtake(leading, other, error=0.0):
    """By how much the other end of the spectrum may exceed the leading one in modulus; the same value is not its own rival."""
    return 0.0 if leading == other else max(abs(other) + error + ROUNDING - abs(leading), 0.0)


def _gap_of(kind, theta):
    if kind == "multiplicative":
        return (1.0 - abs(theta)) * (1.0 + abs(theta))
    return 1.0 - (abs(theta) if kind == "absolute" else theta)


class _Ritz:
    """The ends of the tridiagonal matrix of a recurrence: Ritz values, residuals and error bounds."""

    def __init__(self, alpha, beta):
        m = len(alpha)
        self.values, self.errors, self.residuals, self.vectors = {}, {}, {}, {}
        take = min(m, 4)
        for end, (first, last) in {"top": (m - take, m - 1), "bottom": (0, take - 1)}.items():
            values, vectors = eigh_tridiagonal(alpha, beta[:-1], select="i", select_range=(first, last))
            at = -1 if end == "top" else 0
            theta, residual = values[at], abs(beta[-1] * vectors[-1, at])
            # copies of a converged value (lost orthogonality) are no neighbours; others within the bound are
            others = [v for v in values if abs(v - theta) > 1e-9 * max(1.0 - abs(theta), 1e-6)]
            separation = min((abs(v - theta) for v in others), default=0.0)
            bound = residual * residual / separation if separation > 0.0 else residual
            self.values[end], self.residuals[end] = theta, residual
            self.errors[end] = min(residual, bound)
            self.vectors[end] = vectors[:, at]

    def choose(self, kind):
        """(end that sets the gap, error of the gap)."""
        if kind in ("spectral", "additive"):
            return "top", self.errors["top"]
        end = max(("top", "bottom"), key=lambda e: abs(self.values[e]))
        other = "bottom" if end == "top" else "top"
        error = max(self.errors[end], _overtake(self.values[end], self.values[other], self.errors[other]))
        return end, error * (2.0 if kind == "multiplicative" else 1.0)


def _lanczos(chain, *, kind, tol, certify, limit, rng, threads, progress, callback):
    S = symmetrized(chain).operator()
    root = np.exp(0.5 * chain.log_pi)
    start = rng.standard_normal(chain.n_states)
    state = _core.Lanczos(S, root, start.copy(), threads)
    alpha, beta = np.empty(0), np.empty(0)
    per_call = max(1, ENTRIES_PER_CALL // (chain.nnz + 8 * chain.n_states))
    ritz = None

    def describe(upper=None, extra=0, converged=False):
        end, error = ritz.choose(kind)
        theta, gap = ritz.values[end], _gap_of(kind, ritz.values[end])
        slem = max(map(abs, ritz.values.values())) if kind in ("absolute", "multiplicative") else None
        eigenvalue = theta * theta if kind == "multiplicative" else theta
        if upper is not None and end == "bottom":
            upper = None  # the Dirichlet form bounds 1 - lambda_2, not 1 + lambda_n
        return _pack(kind, float(eigenvalue), float(error), "lanczos", len(alpha) + extra, monitor.wall_s, slem=slem,
                     gap=float(gap), upper=upper, residual=float(ritz.residuals[end]), converged=converged)

    def partial():
        return None if ritz is None else describe()

    with interruptible("spectral_gap", partial, total=None, progress=progress, callback=callback) as monitor:
        check, done, converged = 10, False, False
        while not done:
            want = min(check - len(alpha), per_call, limit - len(alpha))
            a, b = state.expand(want)
            alpha, beta = np.append(alpha, a), np.append(beta, b)
            exhausted = len(a) < want or (len(b) and b[-1] <= 16 * np.finfo(float).eps)
            done = exhausted or len(alpha) >= limit
            if len(alpha) < check and not done:
                continue
            ritz = _Ritz(alpha, beta)
            end, error = ritz.choose(kind)
            gap = _gap_of(kind, ritz.values[end])
            # a gap near rounding is settled by the vector, where the Dirichlet form applies: it errs by residual^2 / separation,
            # and this is asked to be small against the smallest gap worth telling apart from zero
            wanted = tol * gap
            if gap <= SMALL_GAP:
                wanted = tol * max(gap - ROUNDING, 1e-22) if end == "top" and kind != "multiplicative" else max(wanted, ROUNDING)
            converged = exhausted or error <= wanted
            done = done or converged
            monitor(len(alpha), gap=float(gap), error=float(error))
            check = len(alpha) + max(5, len(alpha) // 20)
        upper, extra = None, 0
        at_top = kind != "multiplicative" and ritz.choose(kind)[0] == "top"
        if at_top and (certify or _gap_of(kind, ritz.values["top"]) < SMALL_GAP):
            vector = _ritz_vector(S, root, start, ritz.vectors["top"], per_call, threads, monitor)
            upper, extra = dirichlet_quotient(chain, _eigenfunction(vector, root), threads), len(alpha)
    return describe(upper=upper, extra=extra, converged=bool(converged))


def _ritz_vector(S, root, start, weights, per_call, threads, monitor):
    """The second pass: the same recurrence, bit for bit, summing its vectors with the Ritz vector's weights."""
    state = _core.Lanczos(S, root, start, threads)
    vector = np.zeros(len(start))
    weights = np.ascontiguousarray(weights)
    done = 0
    while done < len(weights):
        steps = min(per_call, len(weights) - done)
        state.expand(steps, weights[done:], vector)
        done += steps
        monitor(len(weights) + done)
    return vector


def _dense(chain, *, kind, tol, certify, limit, rng, threads, progress, callback):
    """LAPACK on the whole of S, the top eigenvector sqrt(pi) moved out of the way."""
    with interruptible("spectral_gap", lambda: None, progress=False, callback=callback) as monitor:
        half = 0.5 * chain.log_pi
        P = chain.to_scipy()
        P.data *= np.exp(np.repeat(half, np.diff(P.indptr)) - half[P.indices])
        S = P.toarray()
        S = 0.5 * (S + S.T)
        root = np.exp(half)
        values, vectors = np.linalg.eigh(S - 2.0 * np.outer(root, root))  # 1 becomes -1, below all others or equal to them
        keep = np.ones(len(values), bool)
        keep[np.argmax(np.abs(root @ vectors))] = False
        values, vectors = values[keep], vectors[:, keep]
        slem = float(np.abs(values).max())
        at = _select(kind, values)
        theta = float(values[at])
        upper, error = None, 0.0
        if kind == "absolute":
            error = _overtake(theta, float(values[len(values) - 1 - at]))
        if kind != "multiplicative" and at == len(values) - 1:
            upper = dirichlet_quotient(chain, _eigenfunction(vectors[:, -1], root), threads)
        eigenvalue = theta * theta if kind == "multiplicative" else theta
        return _pack(kind, eigenvalue, error, "lapack", 0, monitor.wall_s, slem=slem, gap=float(_gap_of(kind, theta)), upper=upper)


# --- without reversibility ------------------------------------------------------------------------------------------------

# Beside the leading pair so many others must be clear of it: their residuals below this part of their distance to it.
GUARDS, CLEAR = 2, 0.1


def _general(chain, *, kind, tol, certify, limit, rng, threads, progress, callback):
    """The leading eigenvalue by Krylov-Schur on S = D^(1/2) P D^(-1/2), whose left and right vector of the eigenvalue 1 is sqrt(pi);
    the two reversibilisations by Lanczos on operators that are never formed."""
    log_pi = stationary(chain, num_threads=threads).log_pi
    S, root = balanced(chain, log_pi), np.exp(0.5 * log_pi)
    if kind in ("additive", "multiplicative"):
        if kind == "multiplicative" and _folds_apart(chain):
            return _pack(kind, 1.0, 0.0, "closed form", 0, 0.0, slem=1.0, gap=0.0)
        operator = Operator(S, "mean" if kind == "additive" else "fold", symmetric=True, threads=threads)
        search = _composed_dense if chain.n_states <= MAX_DENSE else _composed
        return search(chain, operator, root, kind=kind, tol=tol, certify=certify, limit=limit, rng=rng, progress=progress, callback=callback)
    operator = Operator(S, "right", symmetric=False, threads=threads)
    ends = Ends.of("modulus" if kind == "absolute" else "largest", 1 + GUARDS)
    best = {}

    def remember(ritz):
        lead = ends.choose(ritz.values)[0][0]
        best.update(value=ritz.values[lead], residual=float(ritz.residuals[lead]), error=float(ritz.residuals[lead] * ritz.conditions[lead]))
        monitor(operator.n_matvecs, gap=1.0 - float(ends.keys[0](best["value"])), error=best["error"])

    def describe(converged=False, method="krylov-schur"):
        value = complex(best["value"])
        value = value.real if value.imag == 0.0 else value
        error = best["error"] if converged else math.inf  # a Ritz value on its way bounds nothing
        return _pack(kind, value, error, method, operator.n_matvecs, monitor.wall_s, slem=abs(value) if kind == "absolute" else None,
                     residual=best["residual"], converged=converged)

    with interruptible("spectral_gap", lambda: describe() if best else None, progress=progress, callback=callback) as monitor:
        if chain.n_states <= MAX_DENSE:
            matrix = _complement(operator, root)[1]
            remember(Ritz(matrix, np.full((1, len(matrix)), chain.n_states * np.finfo(float).eps), False))
            return describe(True, "lapack")
        shape = n_rows(ends.counts[0], chain.n_states, 1, False), chain.n_states
        forecast_memory(8 * shape[0] * shape[1], "the basis of spectral_gap")
        rows = np.empty(shape)
        rows[0] = root
        basis = KrylovSchur(operator, rows, 1, 1, RandomVectors(philox_key(rng)))
        ritz, converged = basis.run(ends, lambda ritz: _is_clear(ritz, ends, kind, tol), limit, remember)
        chosen = ends.choose(ritz.values)[0]
        lead = chosen[: 2 if np.imag(ritz.values[chosen[0]]) > 0.0 else 1]
        basis.lock(ritz, lead)
        found = Projection(operator, rows[1 : basis.fixed], rows[basis.fixed : 2 * basis.fixed - 1])
        at = Ends.of(ends.which, 1).choose(found.values)[0][:1]
        residual = float(found.residuals(found.vectors[:, at], found.values[at])[0])
        best.update(value=found.values[at[0]], residual=residual, error=residual * float(ritz.conditions[lead[0]]))
        return describe(converged)


def _is_clear(ritz, ends, kind, tol):
    """Whether the gap is known to tol, to first order in the residual, and no other Ritz value may still overtake."""
    key, chosen = ends.keys[0], ends.choose(ritz.values)[0]
    lead, others = chosen[0], chosen[1:]
    wanted = max(tol * (1.0 - float(key(ritz.values[lead]))), ROUNDING)
    if ritz.residuals[lead] > wanted or ritz.residuals[lead] * ritz.conditions[lead] > wanted:
        return False
    distance = key(ritz.values[lead]) - key(ritz.values[others])
    return bool((ritz.residuals[others] <= np.maximum(CLEAR * distance, wanted)).all())


def _complement(operator, root):
    """(Q, Q^T A Q): an orthonormal basis of the complement of `root` (a Householder reflection) and the dense operator on it."""
    n = len(root)
    images = np.empty((n, n))
    operator.apply(np.eye(n), images)
    operator.n_matvecs = 0
    v = root.copy()
    v[0] += np.linalg.norm(root)
    Q = (np.eye(n) - 2.0 * np.outer(v, v) / (v @ v))[:, 1:]
    return Q, Q.T @ images.T @ Q


def _folds_apart(chain):
    """Whether P P* has several classes: x and y meet where a step from each leads to one state."""
    from scipy.sparse.csgraph import connected_components

    matrix, n = chain._pattern.matrix, chain.n_states
    if chain._shift is not None and (chain._shift > 0.0).all():
        return False  # each state also leads to itself: P P* has the edges of P
    P = chain.to_scipy() if chain._shift is not None else sp.csr_array((np.ones(matrix.nnz, np.int8), matrix.indices, matrix.indptr), shape=(n, n))
    steps = sp.csr_array((P.data, P.indices + n, np.append(P.indptr, np.full(n, P.nnz))), shape=(2 * n, 2 * n))
    count = connected_components(steps, directed=True, connection="weak", return_labels=False)
    return bool(count > 1)


def _energy(chain, kind, f, threads):
    """<f, (I - M) f> / Var f for M = (P + P*)/2, whose Dirichlet form is that of P, or M = P P*: there E(f, f) = sum pi Var_{P*(x, .)} f, of
    differences too. Rigorous upper bounds of the gap for any f."""
    if kind == "additive":
        return dirichlet_quotient(chain, f, threads)
    pi, reverse = chain.pi, chain.reverse()._scaled
    centred = np.ascontiguousarray(f - _core.vec_dot(pi, f, threads))
    first, second = np.empty(chain.n_states), np.empty(chain.n_states)
    _core.scaled_difference(reverse, centred, first, 1, threads)
    _core.scaled_difference(reverse, centred, second, 2, threads)
    mean = _core.vec_dot(pi, centred, threads)
    return _core.vec_dot(pi, np.maximum(second - first * first, 0.0), threads) / (_core.vec_dot(pi * centred, centred, threads) - mean * mean)


def _composed_dense(chain, operator, root, *, kind, tol, certify, limit, rng, progress, callback):
    with interruptible("spectral_gap", lambda: None, progress=False, callback=callback) as monitor:
        Q, M = _complement(operator, root)
        values, vectors = np.linalg.eigh(0.5 * (M + M.T))
        upper = _energy(chain, kind, _eigenfunction(Q @ vectors[:, -1], root), operator.threads)
        slem = float(np.sqrt(max(values[-1], 0.0))) if kind == "multiplicative" else None
        return _pack(kind, float(values[-1]), 0.0, "lapack", 0, monitor.wall_s, slem=slem, upper=upper)


def _composed(chain, operator, root, *, kind, tol, certify, limit, rng, progress, callback):
    """The top of a symmetric operator that is never formed, by the three-term recurrence; a second pass forms the vector."""
    start = rng.standard_normal(chain.n_states)
    state, alpha, beta, ritz = ThreeTerm(operator, root, start), np.empty(0), np.empty(0), None

    def describe(upper=None, converged=False):
        theta, error = float(ritz.values["top"]), float(ritz.errors["top"])
        return _pack(kind, theta, error, "lanczos", operator.n_matvecs, monitor.wall_s, upper=upper, residual=float(ritz.residuals["top"]), converged=converged)

    with interruptible("spectral_gap", lambda: None if ritz is None else describe(), progress=progress, callback=callback) as monitor:
        check, done, converged = 10, False, False
        while not done:
            a, b = state.expand(1)
            alpha, beta = np.append(alpha, a), np.append(beta, b)
            exhausted = beta[-1] <= 16 * np.finfo(float).eps
            done = exhausted or operator.n_matvecs + operator.per_vector > limit
            if len(alpha) < check and not done:
                continue
            ritz = _Ritz(alpha, beta)
            gap, error = 1.0 - ritz.values["top"], ritz.errors["top"]
            # a gap near rounding is settled by the vector, which errs by residual^2 / separation
            wanted = tol * (max(gap - ROUNDING, 1e-22) if gap <= SMALL_GAP else gap)
            converged = exhausted or error <= wanted
            done = done or converged
            monitor(operator.n_matvecs, gap=float(gap), error=float(error))
            check = len(alpha) + max(5, len(alpha) // 20)
        upper = None
        if certify or 1.0 - ritz.values["top"] < SMALL_GAP:
            again, vector = ThreeTerm(operator, root, start), np.zeros(chain.n_states)
            for weight in ritz.vectors["top"]:
                again.expand(1, [weight], vector)
                monitor(operator.n_matvecs)
            upper = _energy(chain, kind, _eigenfunction(vector, root), operator.threads)
    return describe(upper, bool(converged))
