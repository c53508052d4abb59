"""Naive twins: the quantities of the package in small dense NumPy, Python or mpmath code that is
obviously correct.

Every function takes P as an ndarray or a SciPy sparse array, P[x, y] the probability of x -> y.
Stationary and hitting quantities come from subtraction-free elimination (Grassmann, Taksar & Heyman
1985; O'Cinneide 1993): every component, however small, is accurate relative to itself, and a
function of the off-diagonal entries alone. LP is Levin & Peres, Markov Chains and Mixing Times, 2nd
edition."""

from bisect import bisect_right
from fractions import Fraction
from itertools import accumulate, product
from math import gcd

import mpmath
import numpy as np
import scipy.linalg
import scipy.sparse


def dense(P):
    return P.toarray() if scipy.sparse.issparse(P) else np.array(P)


def _mask(n, states):
    states = np.asarray(states)
    return states.copy() if states.dtype == bool else np.isin(np.arange(n), states)


def _eliminate(A, keep=1):
    """Censor states n-1, ..., keep out of the chain with off-diagonal rates A, in place, by sums
    and quotients of nonnegative numbers alone. Returns `out`, the rate at which state k leaves for
    states below k when it is censored; A[k, :k] then holds its rates, A[:k, k] the mean time spent
    in k per unit of time in each lower state (GTH). The updates are delayed until a state is
    reached, so that each is one product of a matrix and a vector."""
    out = np.zeros(len(A), dtype=A.dtype)
    for k in range(len(A) - 1, keep - 1, -1):
        if k < len(A) - 1:
            A[k, :k] += A[k, k + 1 :] @ A[k + 1 :, :k]
            A[:k, k] += A[:k, k + 1 :] @ A[k + 1 :, k]
        out[k] = A[k, :k].sum()
        if out[k] == 0:
            raise ValueError(f"state {k} cannot leave for a lower one: the chain is reducible")
        A[:k, k] /= out[k]
    return out


def gth(P):
    """Stationary distribution of an irreducible chain; entries may also be longdouble or mpmath
    numbers."""
    A = dense(P)
    _eliminate(A)
    pi = np.zeros_like(A[0])
    pi[0] = 1
    for k in range(1, len(A)):
        pi[k] = pi[:k] @ A[:k, k]
    return pi / pi.sum()


def gth_log(log_P):
    """log pi from log P (ndarray, -inf where zero): the same elimination for entries beyond the
    range of doubles."""
    L = np.array(log_P, dtype=float)
    for k in range(len(L) - 1, 0, -1):
        L[:k, k] -= np.logaddexp.reduce(L[k, :k])
        L[:k, :k] = np.logaddexp(L[:k, :k], L[:k, k, None] + L[k, :k])
    log_pi = np.zeros(len(L))
    for k in range(1, len(L)):
        log_pi[k] = np.logaddexp.reduce(log_pi[:k] + L[:k, k])
    return log_pi - np.logaddexp.reduce(log_pi)


def _lump(P, rest, *sets):
    """Rates among `rest`, preceded by one absorbing state for each set."""
    to_sets = [P[np.ix_(rest, states)].sum(axis=1) for states in sets]
    return np.vstack(
        [
            np.zeros((len(sets), len(sets) + rest.sum())),
            np.column_stack([*to_sets, P[np.ix_(rest, rest)]]),
        ]
    )


def hitting_times(P, target):
    """E_x tau_A with tau_A >= 0 counted from time 0; inf where P_x(tau_A < inf) < 1."""
    P = dense(P)
    target = _mask(len(P), target)
    hopeless = ~reachable(P.T, target)
    unsure = reachable(P.T, hopeless, blocked=target)
    rest = ~target & ~unsure
    A = _lump(P, rest, target)
    n, out = len(A), _eliminate(A)
    time = np.ones(n)  # spent in the state itself and in the states censored before it, per visit
    h = np.zeros(n)
    for k in range(n - 1, 0, -1):
        time[k] += A[k, k + 1 :] @ time[k + 1 :]
    for k in range(1, n):
        h[k] = (time[k] + A[k, 1:k] @ h[1:k]) / out[k]
    mean = np.where(unsure, np.inf, 0.0)
    mean[rest] = h[1:]
    return mean


def hitting_probabilities(P, target, avoid=()):
    """P_x(target is hit before avoid); with avoid empty, P_x(target is ever hit). The two sets are
    disjoint."""
    P = dense(P)
    target, avoid = _mask(len(P), target), _mask(len(P), avoid)
    lost = ~reachable(P.T, target, blocked=avoid)
    rest = ~target & ~lost
    A = _lump(P, rest, target, lost)
    out = _eliminate(A, keep=2)
    u = np.zeros(len(A))
    u[0] = 1
    for k in range(2, len(A)):
        u[k] = A[k, :k] @ u[:k] / out[k]
    probability = target.astype(float)
    probability[rest] = u[2:]
    return probability


def reachable(P, sources, blocked=()):
    """Mask of the states that a path from `sources` can reach without entering `blocked`; sources
    included."""
    P = dense(P)
    seen, blocked = _mask(len(P), sources), _mask(len(P), blocked)
    stack = list(np.flatnonzero(seen))
    while stack:
        new = (P[stack.pop()] > 0) & ~seen & ~blocked
        seen |= new
        stack.extend(np.flatnonzero(new))
    return seen


def scc(P):
    """(labels, closed): communicating classes numbered by their smallest state, and whether each is
    closed."""
    P = dense(P)
    labels, closed = np.full(len(P), -1), []
    for x in range(len(P)):
        if labels[x] < 0:
            members = reachable(P, [x]) & reachable(P.T, [x])
            labels[members] = len(closed)
            closed.append(not P[np.ix_(members, ~members)].any())
    return labels, np.array(closed)


def period(P):
    """Period of an irreducible chain: the gcd of the lengths of closed walks through state 0.
    Lengths up to 3 n do, as any cycle can be visited from state 0 and back in at most 2 n steps,
    with and without going round it."""
    step = scipy.sparse.csr_array(P).T.tocsr()
    at, d = _mask(step.shape[0], [0]), 0
    for t in range(1, 3 * len(at) + 1):
        at = step @ at.astype(float) > 0
        d = gcd(d, t) if at[0] else d
        if d == 1:
            break
    return d


def symmetrized(P, pi):
    """D^(1/2) P D^(-1/2) from differences of log pi; symmetric iff the chain is reversible."""
    P, log_pi = dense(P), np.log(pi)
    x, y = np.nonzero(P)
    P[x, y] = np.exp(np.log(P[x, y]) + (log_pi[x] - log_pi[y]) / 2)
    return P


def eigenvalues(P, pi=None):
    """All eigenvalues by LAPACK, real part descending; real if pi is given, for a reversible
    chain."""
    if pi is None:
        values = np.linalg.eigvals(dense(P))
        return values[np.lexsort((-values.imag, -values.real))]
    S = symmetrized(P, pi)
    return np.linalg.eigvalsh((S + S.T) / 2)[::-1]


def gap(P, pi):
    """(spectral gap, absolute gap) of a reversible chain, each with an absolute error of a few
    1e-16."""
    values = eigenvalues(P, pi)
    return 1 - values[1], 1 - max(values[1], -values[-1])


def gap_mp(P, dps=60):
    """(spectral gap, absolute gap) of a small reversible chain to full relative accuracy:
    eigenvalues in multiprecision of the chain defined by the off-diagonal entries of P, whose rows
    sum to one exactly."""
    P = dense(P)
    n = len(P)
    with mpmath.workdps(dps):
        S = mpmath.matrix(n, n)
        for x, y in zip(*np.nonzero(P), strict=True):
            if x != y:
                S[x, y] = mpmath.sqrt(mpmath.mpf(P[x, y]) * mpmath.mpf(P[y, x]))
                S[x, x] -= mpmath.mpf(P[x, y])
        values = mpmath.eigsy(S, eigvals_only=True)  # of P - I, ascending
        return float(-values[n - 2]), float(min(-values[n - 2], 2 + values[0]))


def slem(P):
    """Largest modulus of an eigenvalue other than the one closest to 1."""
    values = eigenvalues(P)
    return np.abs(np.delete(values, np.argmin(np.abs(values - 1)))).max()


def reverse(P, pi):
    """The time reversal P* = D^-1 P^T D."""
    return dense(P).T * pi / np.asarray(pi)[:, None]


def dirichlet_quotient(P, pi, f):
    """E(f, f) / Var_pi(f), an upper bound of the spectral gap of the additive reversibilisation for
    every f (LP 13.2)."""
    F, f = pi[:, None] * dense(P), np.asarray(f, dtype=float)
    return (F * (f[:, None] - f) ** 2).sum() / 2 / (pi @ (f - pi @ f) ** 2)


def kemeny(P):
    """sum_y pi(y) E_x tau_y, the same for every x: the trace of the fundamental matrix less one (LP
    10.2)."""
    P = dense(P)
    return np.trace(np.linalg.inv(np.eye(len(P)) - P + gth(P))) - 1


def tilt(q, r, beta):
    """(P, log Z) of P(x, y) = q(x, y) exp(r(x, y)/beta) / Z(x), in the log domain; r is a vector
    R(y) or a matrix."""
    q, r = dense(q), np.asarray(r, dtype=float)
    if not beta > 0:
        raise ValueError(f"beta must be positive, got {beta}")
    log_w, edge = np.full(q.shape, -np.inf), q > 0
    log_w[edge] = np.log(q[edge]) + (
        0 if beta == np.inf else np.broadcast_to(r / beta, q.shape)[edge]
    )
    log_Z = np.logaddexp.reduce(log_w, axis=1)
    if np.isneginf(log_Z).any():
        raise ValueError("a row is empty")
    return np.exp(log_w - log_Z[:, None]), log_Z


def flux_violation(P, pi):
    """(max |F - F^T|, sum |F - F^T| / 2, flux without a reverse edge) of the flux F = diag(pi)
    P."""
    F = np.asarray(pi)[:, None] * dense(P)
    return np.abs(F - F.T).max(), np.abs(F - F.T).sum() / 2, F[(F > 0) & (F.T == 0)].sum()


def entropy_production(P, pi):
    """1/2 sum (F - F^T) log(F / F^T) per step; inf as soon as an edge has no reverse edge."""
    F = np.asarray(pi)[:, None] * dense(P)
    if ((F > 0) & (F.T == 0)).any():
        return np.inf
    x, y = np.nonzero(F)
    return ((F[x, y] - F[y, x]) * np.log(F[x, y] / F[y, x])).sum() / 2


def hodge(A, weight=None):
    """Split a(x, y) = log A[x, y] / A[y, x] over the edges x < y of a positive array (probabilities
    or counts) into a gradient U(y) - U(x) and a remainder, by dense weighted least squares;
    weight[x, y] defaults to one. Returns (U with mean zero in each component, remainder per edge,
    weighted residual sum of squares, dof m - n + c)."""
    A = dense(A).astype(float)
    n = len(A)
    x, y = np.nonzero(np.triu(A + A.T, 1))
    a = np.log(A[x, y] / A[y, x])
    w = np.ones(len(a)) if weight is None else dense(weight)[x, y]
    gradient = np.zeros((len(a), n))
    gradient[np.arange(len(a)), x], gradient[np.arange(len(a)), y] = -1, 1
    U = scipy.linalg.lstsq(np.sqrt(w)[:, None] * gradient, np.sqrt(w) * a)[
        0
    ]  # least norm: mean zero in a component
    remainder = a - gradient @ U
    return U, remainder, w @ remainder**2, len(a) - n + len(scc(A + A.T)[1])


def asymptotic_variance(P, f, dps=60):
    """sum over all lags of the autocovariance of f, by the system without state 0 at dps
    digits. 1 - P[x, x] is the sum of the other entries of the row."""
    with mpmath.workdps(dps):
        number = np.frompyfunc(mpmath.mpf, 1, 1)
        A = number(dense(P).astype(float))
        A /= A.sum(axis=1)[:, None]
        pi, g = gth(A), number(np.asarray(f, float))
        g = g - (pi * g).sum()
        np.fill_diagonal(A, 0)
        M = -A[1:, 1:]
        np.fill_diagonal(M, A[1:].sum(axis=1))
        h = np.array(
            [
                mpmath.mpf(0),
                *mpmath.lu_solve(mpmath.matrix(M.tolist()), mpmath.matrix(g[1:].tolist())),
            ]
        )
        return float(2 * (pi * g * h).sum() - (pi * g * g).sum())


def mixing_curves(P, start, n_steps, dps=40):
    """(tv, kl, chi2), each (n_steps + 1,), of mu_t against pi, by definition and in multiprecision:
    near equilibrium doubles would leave only rounding; kl is good to 10^-dps. Rows are divided by
    their sums first. start: a state or a distribution."""
    with mpmath.workdps(dps):
        number = np.frompyfunc(mpmath.mpf, 1, 1)
        P = number(dense(P))
        P /= P.sum(axis=1)[:, None]
        pi = gth(P)
        mu = number(np.eye(len(P))[start] if np.ndim(start) == 0 else np.asarray(start))
        curves = []
        for _ in range(n_steps + 1):
            kl = sum(m * mpmath.log(m / p) for m, p in zip(mu, pi, strict=True) if m > 0)
            curves.append((abs(mu - pi).sum() / 2, kl, ((mu - pi) ** 2 / pi).sum()))
            mu = mu @ P
        return tuple(np.array(curve, dtype=float) for curve in zip(*curves, strict=True))


def walker_words(key, walker, n_steps):
    """The 64-bit words of one walker, as Python integers: step t uses word t % 4 of the
    Philox4x64-10 block with counter (walker, t // 4, 0, 0), lowest word first (Salmon et al. 2011).
    NumPy's Philox adds one to its counter before it generates, so it is handed the 256-bit counter
    less one; four raw draws are then that block in order."""
    words = []
    for block in range(-(-n_steps // 4)):
        counter = (walker + (block << 64) - 1) % 2**256
        words += (
            np.random.Philox(key=np.asarray(key, dtype=np.uint64), counter=counter)
            .random_raw(4)
            .tolist()
        )
    return words[:n_steps]


def walk(P, start, n_steps, key):
    """Paths (n_walkers, n_steps + 1) of walker w from start[w], by inversion in exact integers:
    word / 2^64 against the cumulative weights of the row over columns ascending. In a row of d
    equal entries that is column (word * d) >> 64, which an alias table reproduces bit for bit;
    other rows agree with it in distribution only."""
    P, rows = dense(P), []
    for row in P:
        columns = np.flatnonzero(row)
        cumulative = list(accumulate(map(Fraction, row[columns].tolist())))
        rows.append((columns, [-(-c * 2**64 // cumulative[-1]) for c in cumulative]))
    paths = np.empty((len(start), n_steps + 1), dtype=np.int64)
    paths[:, 0] = start
    for w in range(len(start)):
        for t, word in enumerate(walker_words(key, w, n_steps)):
            columns, thresholds = rows[paths[w, t]]
            paths[w, t + 1] = columns[bisect_right(thresholds, word)]
    return paths


def cut_steps(P, rank):
    """What each state adds to the flow across the cut below it when it joins the states of lower
    rank: P to those above less P to those below."""
    P, rank = dense(P), np.asarray(rank)
    return (P * np.sign(rank - rank[:, None])).sum(axis=1)


def lumping(P, labels, pi):
    """(the largest |P(x, B) - P(y, B)| over x, y of one set, the pi-weighted coarse chain)."""
    member = (np.asarray(labels)[:, None] == np.unique(labels)).astype(float)
    into = dense(P) @ member
    defect = max(np.ptp(into[column > 0], axis=0).max() for column in member.T)
    return defect, (member.T * pi) @ into / (pi @ member)[:, None]


def lattice_steps(shape, cyclic, self_loop=False):
    """(x, y) of every step that changes one coordinate of a state, numbered in C order: by one
    around a cycle, or to any other value; repeated where two steps lead to one state. self_loop: x
    -> x besides."""
    states = list(product(*map(range, shape)))
    number, steps = {state: i for i, state in enumerate(states)}, []
    for state in states:
        for axis, length in enumerate(shape):
            here = state[axis]
            values = (
                [(here - 1) % length, (here + 1) % length]
                if cyclic
                else [v for v in range(length) if v != here]
            )
            steps += [
                (number[state], number[(*state[:axis], v, *state[axis + 1 :])]) for v in values
            ]
        if self_loop:
            steps.append((number[state],) * 2)
    return np.array(steps).T


def bernoulli_kl(x, y):
    """KL divergence of two Bernoulli laws given by logits, in the current precision of mpmath."""
    x, y = mpmath.mpf(x), mpmath.mpf(y)
    p, q = 1 / (1 + mpmath.exp(-x)), 1 / (1 + mpmath.exp(-y))
    wrong, not_q = 1 / (1 + mpmath.exp(x)), 1 / (1 + mpmath.exp(y))
    return p * mpmath.log(p / q) + wrong * mpmath.log(wrong / not_q)


def fixed_point(counts, n_iter=200_000):
    """Bowman et al. 2009: x(i, j) = (n(i, j) + n(j, i)) / (n(i) / x(i) + n(j) / x(j)), iterated
    until nothing changes."""
    both, n = counts + counts.T, counts.sum(axis=1)
    x = both.sum(axis=1)
    for _ in range(n_iter):
        inverse = n / x
        new = (both / np.add.outer(inverse, inverse)).sum(axis=1)
        new /= new.sum()
        if np.abs(new / x - 1).max() < 1e-15:
            break
        x = new
    X = both / np.add.outer(n / x, n / x)
    return X / X.sum(axis=1, keepdims=True), x / x.sum()
