"""Chains of energies, and random chains. See gallery.py for the references."""

from math import ceil, comb

import mpmath
import numpy as np
import scipy.sparse
from gallery_case import Case, csr, descending
from scipy.special import expit, log_expit, logsumexp


def product_heat_bath(m, fields):
    """Redraw a uniform one of m bits from its law under pi(x) ∝ exp(fields . x): eigenvalues 1 -
    k/m whatever the fields (product chains, LP ch. 12). Not a tilt of the cube."""
    x, fields = np.arange(2**m), np.asarray(fields, dtype=float)
    flip = np.where(
        x[:, None] >> np.arange(m) & 1, -fields, fields
    )  # log odds of drawing the other bit
    log_pi = log_expit(-flip).sum(axis=1)
    P = csr(
        2**m,
        x,
        [*(x ^ (1 << i) for i in range(m)), x],
        [*expit(flip).T / m, expit(-flip).sum(axis=1) / m],
    )
    values = descending(*((1 - k / m, comb(m, k)) for k in range(m + 1)))
    return Case(
        f"product_heat_bath({m})",
        P,
        np.exp(log_pi),
        values,
        None,
        1 / m,
        1 / m,
        1,
        {"log_pi": log_pi},
    )


def energy_tilt(P0, mu, R, beta, dps=None):
    """P = P0 exp(R / beta) / Z for P0 reversible with respect to mu: pi ∝ mu Z exp(R / beta).
    Dense, in the log domain; with dps the products themselves are taken, at that many digits.
    Entries below 1e-308 survive in extra["log_P"] only."""
    P0, reward, n = scipy.sparse.csr_array(P0).toarray(), np.asarray(R) / beta, len(R)
    x, y = np.nonzero(P0)
    log_P = np.full((n, n), -np.inf)
    if dps is None:
        log_P[x, y] = np.log(P0[x, y]) + reward[y]
        log_Z = logsumexp(log_P, axis=1)
        log_P -= log_Z[:, None]
        log_pi = np.log(mu) + log_Z + reward
        log_pi -= logsumexp(log_pi)
    else:
        with mpmath.workdps(dps):
            number, exp, log = (
                np.frompyfunc(f, 1, 1) for f in (mpmath.mpf, mpmath.exp, mpmath.log)
            )
            boltzmann = exp(number(np.asarray(R, dtype=float)) / mpmath.mpf(beta))
            w = number(P0) * boltzmann
            Z = w.sum(axis=1)
            log_P[x, y], log_Z = log(w[x, y] / Z[x]), log(Z).astype(float)
            weight = number(np.asarray(mu, dtype=float)) * Z * boltzmann
            log_pi = log(weight / weight.sum()).astype(float)
    return Case(
        f"energy_tilt({n}, {beta})",
        csr(n, x, y, np.exp(log_P[x, y])),
        np.exp(log_pi),
        extra={"log_pi": log_pi, "log_P": log_P, "log_Z": log_Z},
    )


def random_reversible(n, density, rng):
    """Log-normal conductances on a random graph that contains a path, and on all self-loops; pi is
    the weighted degree."""
    rng = np.random.default_rng(rng)
    fixed = [[*range(n - 1), *range(n)], [*range(1, n), *range(n)]]
    x, y = np.concatenate([rng.integers(n, size=(2, ceil(density * n * n / 2))), fixed], axis=1)
    half = csr(n, x, y, rng.lognormal(sigma=2, size=len(x)))
    A = (half + half.T).tocoo()
    degree = A.sum(axis=1)
    return Case(
        f"random_reversible({n})",
        csr(n, A.row, A.col, A.data / degree[A.row]),
        degree / degree.sum(),
    )


def random_chain(n, density, rng):
    """Irreducible (it contains the directed cycle), aperiodic (self-loop at 0), not reversible;
    nothing else is known."""
    rng = np.random.default_rng(rng)
    fixed = [[*range(n), 0], [*range(1, n), 0, 0]]
    x, y = np.concatenate([rng.integers(n, size=(2, ceil(density * n * n))), fixed], axis=1)
    weight = rng.lognormal(size=len(x))
    return Case(
        f"random_chain({n})",
        csr(n, x, y, weight / np.bincount(x, weight)[x]),
        None,
        reversible=False,
    )


VARIED = ("plain", "near-reducible", "star", "spread", "near-periodic", "lazy", "tilted")


def varied_reversible(kind, n, rng):
    """(P dense, pi) of a random connected chain of n >= 2 states, of a kind that is hard for
    bounds: conductances over four decades; two parts joined by 1e-6 to 1e-12; a star with few
    further edges; conductances along a path over 30 orders; next to no holding on a bipartite
    graph; holding of 0.9 and more; a tilt by rewards of up to 40."""
    A = np.triu(10.0 ** rng.uniform(-2, 2, (n, n)) * (rng.random((n, n)) < 0.4))
    A[np.arange(n - 1), np.arange(1, n)] += 0.01
    x, y = np.indices((n, n))
    if kind == "near-reducible":
        A[(x < n // 2) & (y >= n // 2)] *= 10.0 ** rng.uniform(-12, -6)
    elif kind == "star":
        A[1:] *= rng.random((n - 1, n)) < 0.1
        A[0, 1:] += 10.0 ** rng.uniform(-1, 1, n - 1)
    elif kind == "spread":
        A *= 10.0 ** -(30.0 * np.maximum(x, y) / (n - 1))
    elif kind == "near-periodic":
        A[(x + y) % 2 == 0] *= 1e-3 * rng.random()
    A = A + A.T
    if kind in (
        "plain",
        "near-reducible",
        "star",
        "spread",
    ):  # some holding, so that none is periodic
        A[np.arange(n), np.arange(n)] += 1e-3 * A.sum(axis=1)
    elif kind == "near-periodic":
        A[0, 0] += 10.0 ** rng.uniform(-4, -2) * A[0].sum()
    elif kind == "lazy":
        A[np.arange(n), np.arange(n)] += 10.0 ** rng.uniform(1, 3, n) * A.sum(axis=1)
    elif kind == "tilted":
        boltzmann = np.exp(rng.uniform(-40, 40, n))
        A = A * boltzmann * boltzmann[:, None]
        A[np.arange(n), np.arange(n)] += 1e-3 * A.sum(axis=1)
    degree = A.sum(axis=1)
    return A / degree[:, None], degree / degree.sum()
