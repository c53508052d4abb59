"""Chains whose answers are known exactly, and random ones of which a part is known. test_gallery.py checks all of it.

LP is Levin & Peres, Markov Chains and Mixing Times, 2nd edition; AF is Aldous & Fill, Reversible Markov Chains
and Random Walks on Graphs; Diaconis is Group Representations in Probability and Statistics (1988)."""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import permutations
from math import ceil, comb, factorial, prod

import mpmath
import numpy as np
import scipy.sparse
from scipy.special import expit, log_expit, logsumexp


@dataclass(frozen=True, eq=False)
class Case:
    """A chain and what is known about it; None where nothing is.

    `hitting` is (target states, E_x tau for every x), tau >= 0. `eigenvalues` are all of them, real part descending. The
    gaps are 1 - max Re lambda and 1 - max |lambda| over the others, accurate relative to themselves; they belong to the
    off-diagonal entries of P: with a gap of 1e-18 the stored diagonal says nothing.
    `extra` may hold tv_from0(t), log_pi, log_P, log_Z, slem, entropy_production."""

    name: str
    P: scipy.sparse.csr_array
    pi: np.ndarray | None
    eigenvalues: np.ndarray | None = None
    hitting: tuple | None = None
    gap: float | None = None
    absolute_gap: float | None = None
    period: int = 1
    extra: dict = field(default_factory=dict)
    reversible: bool = True

    def __repr__(self):
        return self.name


def _csr(n, source, target, weight):
    """CSR array with columns ascending, repeated entries added up and zeros dropped."""
    source, target, weight = (
        np.ravel(a) for a in np.broadcast_arrays(source, target, np.float64(weight))
    )
    P = scipy.sparse.coo_array((weight, (source, target)), shape=(n, n)).tocsr()
    P.eliminate_zeros()
    return P


def _walk_on_graph(name, n, edges, **known):
    """Simple random walk on an undirected graph without self-loops: pi is proportional to the degree (LP ch. 1)."""
    x, y = np.transpose(edges)
    degree = np.bincount([*x, *y], minlength=n)
    return Case(name, _csr(n, [x, y], [y, x], 1 / degree[[x, y]]), degree / degree.sum(), **known)


def _descending(*values_and_multiplicities):
    return np.sort(np.repeat(*zip(*values_and_multiplicities)))[::-1]


# -------------------------------------------------------------------------------------- walks on groups and graphs


def two_state(a, b):
    """Leave state 0 with probability a, state 1 with probability b (LP ch. 1)."""
    s = a + b
    return Case(
        f"two_state({a}, {b})",
        _csr(2, [0, 0, 1, 1], [0, 1, 0, 1], [1 - a, a, b, 1 - b]),
        np.array([b, a]) / s,
        _descending((1, 1), (1 - s, 1)),
        ([1], np.array([1 / a, 0])),
        s,
        min(s, 2 - s),
        2 if s == 2 else 1,
        {"tv_from0": lambda t: a / s * abs(1 - s) ** t},
    )


def torus(shape, holding=0.0):
    """Hold, else one step along a uniform one of 2 d directions; states in C order. Fourier sums (LP ch. 12, AF ch. 5)."""
    shape, h = tuple(shape), holding
    n, d = prod(shape), len(shape)
    x, length = np.arange(n), np.array(shape)[:, None]
    site = np.array(np.unravel_index(x, shape))
    moves = [step * np.eye(d, dtype=int)[:, [axis]] for axis in range(d) for step in (-1, 1)]
    P = _csr(
        n,
        x,
        [x, *(np.ravel_multi_index((site + move) % length, shape) for move in moves)],
        [[h]] + [[(1 - h) / 2 / d]] * 2 * d,
    )
    half_angle = np.pi * np.minimum(site, length - site) / length
    below_one = (
        (1 - h) * 2 * (np.sin(half_angle) ** 2).mean(axis=0)
    )  # 1 - lambda, free of cancellation
    above_minus_one = 2 * h + (1 - h) * 2 * (np.cos(half_angle) ** 2).mean(axis=0)
    values, gap = 1 - below_one, below_one[1:].min()
    period = 2 if h == 0 and (length % 2 == 0).all() else 1

    def transform(f):
        return np.fft.fftn(np.concatenate([[0], f]).reshape(shape)).real.ravel()

    green = transform(
        1 / below_one[1:]
    )  # E_x tau_0 = sum_{k != 0} (1 - Re chi_k(x)) / (1 - lambda_k)
    return Case(
        f"torus({shape}, {h})",
        P,
        np.full(n, 1 / n),
        np.sort(values)[::-1],
        ([0], green[0] - green),
        gap,
        0.0 if period == 2 else min(gap, above_minus_one.min()),
        period,
        {"tv_from0": lambda t: np.abs(transform(values[1:] ** t)).sum() / 2 / n},
    )


def cycle(n, holding=0.0):
    """E_0 tau_d = d (n - d) / (1 - h) (LP ch. 2)."""
    d = np.arange(n)
    return replace(
        torus((n,), holding),
        name=f"cycle({n}, {holding})",
        hitting=([0], d * (n - d) / (1 - holding)),
    )


def biased_cycle(n, up, down=0.0):
    """Not reversible: +1 with probability `up`, -1 with `down` != up, else hold; gambler's ruin (LP ch. 2)."""
    d, hold, theta = (
        np.arange(n),
        (1 - up - down) * (up + down < 1 - 1e-15),
        2 * np.pi * np.arange(n) / n,
    )
    values = 1 - (up + down) * 2 * np.sin(theta / 2) ** 2 + 1j * (up - down) * np.sin(theta)
    ruin = (d - n * (1 - (down / up) ** d) / (1 - (down / up) ** n)) / (down - up)
    period = 1 if hold else n if down == 0 else 2 - n % 2
    slem = np.abs(values[1:]).max() if period == 1 else 1.0
    P = _csr(n, d, [(d + 1) % n, (d - 1) % n, d], [[up], [down], [hold]])
    return Case(
        f"biased_cycle({n}, {up}, {down})",
        P,
        np.full(n, 1 / n),
        values[np.lexsort((-values.imag, -values.real))],
        ([0], ruin),
        (up + down) * 2 * np.sin(np.pi / n) ** 2,
        1 - slem,
        period,
        {"entropy_production": (up - down) * np.log(up / down) if down else np.inf, "slem": slem},
        reversible=False,
    )


def _descents(m):
    """E tau_0 from weight 0..m of the walk on the m-cube, no holding: E_{d -> d-1} = sum_{j >= d} C(m, j) / C(m-1, d-1)."""
    return np.cumsum(
        [0]
        + [sum(comb(m, j) for j in range(d, m + 1)) / comb(m - 1, d - 1) for d in range(1, m + 1)]
    )


def hypercube(m, holding=0.5):
    """Hold, else flip a uniform one of m bits (LP ch. 2, 12); TV from Krawtchouk polynomials, exact integers."""
    n, h, x, gap = 2**m, holding, np.arange(2**m), (1 - holding) * 2 / m
    weight = np.array([i.bit_count() for i in range(n)])
    values = [h + (1 - h) * (m - 2 * k) / m for k in range(m + 1)]
    krawtchouk = np.array(
        [
            [
                sum((-1) ** i * comb(w, i) * comb(m - w, k - i) for i in range(k + 1))
                for k in range(1, m + 1)
            ]
            for w in range(m + 1)
        ],
        dtype=float,
    )
    layers = np.array([comb(m, w) for w in range(m + 1)]) / n
    return Case(
        f"hypercube({m}, {h})",
        _csr(n, x, [x, *(x ^ (1 << i) for i in range(m))], [[h]] + [[(1 - h) / m]] * m),
        np.full(n, 1 / n),
        _descending(*((v, comb(m, k)) for k, v in enumerate(values))),
        ([0], _descents(m)[weight] / (1 - h)),
        gap,
        min(gap, 2 * h),
        2 if h == 0 else 1,
        {"tv_from0": lambda t: layers @ np.abs(krawtchouk @ np.power(values[1:], t)) / 2},
    )


def complete(n):
    """Eigenvalue -1/(n - 1) with multiplicity n - 1 (LP ch. 12)."""
    x, y = np.nonzero(~np.eye(n, dtype=bool))
    return Case(
        f"complete({n})",
        _csr(n, x, y, 1 / (n - 1)),
        np.full(n, 1 / n),
        _descending((1, 1), (-1 / (n - 1), n - 1)),
        ([0], (n - 1.0) * (np.arange(n) > 0)),
        n / (n - 1),
        (n - 2) / (n - 1),
        2 if n == 2 else 1,
        {"tv_from0": lambda t: (1 - 1 / n) / (n - 1) ** t},
    )


def star(n):
    """Centre 0 and n - 1 >= 2 leaves; hitting leaf 1: a return to it takes 1 / pi = 2 (n - 1) (LP ch. 1)."""
    hitting = np.array([2 * n - 3, 0] + [2 * n - 2] * (n - 2), dtype=float)
    return _walk_on_graph(
        f"star({n})",
        n,
        [(0, leaf) for leaf in range(1, n)],
        hitting=([1], hitting),
        gap=1.0,
        eigenvalues=_descending((1, 1), (0, n - 2), (-1, 1)),
        absolute_gap=0.0,
        period=2,
    )


def path(n):
    """Simple walk on a path, reflected at both ends: lambda_k = cos(pi k / (n - 1)) (LP ch. 12)."""
    x, last = np.arange(n), n - 1
    return _walk_on_graph(
        f"path({n})",
        n,
        [(i, i + 1) for i in x[:-1]],
        eigenvalues=np.cos(np.pi * x / last),
        period=2,
        hitting=([0], x * (2.0 * last - x)),
        gap=2 * np.sin(np.pi / 2 / last) ** 2,
        absolute_gap=0.0,
    )


def binary_tree(depth):
    """Root 0, children 2 x + 1 and 2 x + 2. A step up takes 2 (vertices at and below x) - 1 (LP ch. 10)."""
    n = 2 ** (depth + 1) - 1
    to_root = np.zeros(n)
    for x in range(1, n):
        below = 2 ** (depth + 2 - (x + 1).bit_length()) - 1  # vertices at and below x
        to_root[x] = to_root[(x - 1) // 2] + 2 * below - 1
    return _walk_on_graph(
        f"binary_tree({depth})",
        n,
        [(x, (x - 1) // 2) for x in range(1, n)],
        hitting=([0], to_root),
        absolute_gap=0.0,
        period=2,
    )


def dumbbell(n):
    """Two complete graphs on n >= 3 vertices, joined by an edge from n - 1 to n. Crossing it takes (twice the edges on this
    side) + 1; the spectrum is that of the quotient by symmetry, and -1/(n - 1) on what the quotient cannot see."""
    edges = [(i + s, j + s) for s in (0, n) for j in range(n) for i in range(j)] + [(n - 1, n)]
    hitting = np.concatenate(
        [np.full(n - 1, float(n * n)), [n * (n - 1) + 1, 0], np.full(n - 1, n - 1.0)]
    )
    odd = np.array(
        [[(n - 2) / (n - 1), 1 / (n - 1)], [(n - 1) / n, -1 / n]]
    )  # the quotient on odd functions
    low = (odd.trace() - np.sqrt(odd.trace() ** 2 + 4 * (2 * n - 3) / n / (n - 1))) / 2
    gap = 2 / n / (n - 1) / (1 - low)  # det(I - odd) / (1 - the other eigenvalue)
    values = _descending(
        (1, 1),
        (1 - gap, 1),
        (low, 1),
        ((n - 2) / (n - 1) + 1 / n - 1, 1),
        (-1 / (n - 1), 2 * n - 4),
    )
    return _walk_on_graph(
        f"dumbbell({n})",
        2 * n,
        edges,
        hitting=([n], hitting),
        gap=gap,
        eigenvalues=values,
        absolute_gap=min(gap, 1 + values[-1]),
    )


def random_transpositions(n):
    """Shuffle by exchanging two independent uniform positions: eigenvalue 1/n + 2/n^2 (sum of contents) for each partition
    of n, with multiplicity f^2 of the hook length formula (Diaconis 3D, LP ch. 8)."""
    states = {s: i for i, s in enumerate(permutations(range(n)))}
    moves = [
        [b if i == a else a if i == b else i for i in range(n)] for a in range(n) for b in range(n)
    ]
    targets = [[states[tuple(s[i] for i in move)] for s in states] for move in moves]

    def partitions(m, largest):
        return (
            [(k, *rest) for k in range(min(m, largest), 0, -1) for rest in partitions(m - k, k)]
            if m
            else [()]
        )

    spectrum = []
    for shape in partitions(n, n):
        cells = [(i, j) for i, row in enumerate(shape) for j in range(row)]
        hooks = prod(shape[i] - j + sum(row > j for row in shape[i + 1 :]) for i, j in cells)
        spectrum.append(
            (1 / n + 2 / n**2 * sum(j - i for i, j in cells), (factorial(n) // hooks) ** 2)
        )
    N, values = len(states), _descending(*spectrum)
    return Case(
        f"random_transpositions({n})",
        _csr(N, np.arange(N), targets, 1 / n**2),
        np.full(N, 1 / N),
        values,
        gap=2 / n,
        absolute_gap=min(2 / n, 1 + values[-1]),
    )


# ------------------------------------------------------------------------------------------------ birth and death


def _smallest_eigenvalue(diagonal, squares, index, dps):
    """Eigenvalue number `index` from below of a positive semidefinite tridiagonal matrix given by its diagonal and squared
    off-diagonal: Sturm counts and bisection on a logarithmic scale, at `dps` digits."""

    def n_below(x):
        pivot, count = mpmath.mpf(1), 0
        for d, s in zip(diagonal, [0, *squares]):
            pivot = d - x - s / pivot or mpmath.mpf(10) ** -dps
            count += pivot < 0
        return count

    with mpmath.workdps(dps):
        low, high = mpmath.mpf(10) ** (5 - dps), mpmath.mpf(4)
        while high > low * (1 + mpmath.mpf(10) ** -17):
            middle = mpmath.sqrt(low * high)
            low, high = (low, middle) if n_below(middle) > index else (middle, high)
        return float(high)


def birth_death(p, q, *, gap=True, name=None, dps=60):
    """Up with p[i], down with q[i] (p[-1] = q[0] = 0), else hold (LP ch. 2); target of the hitting times: the top state.
    gap=True bisects for both gaps at dps digits, in time proportional to n."""
    p, q = np.asarray(p, dtype=float), np.asarray(q, dtype=float)
    n, x = len(p), np.arange(len(p))
    hold = (1 - p - q) * (p + q < 1 - 1e-15)  # none where p + q is one but for rounding
    log_pi = np.cumsum(
        np.log(np.concatenate([[1], p[:-1]]) / np.longdouble(np.concatenate([[1], q[1:]])))
    )
    log_pi = np.asarray(log_pi - np.logaddexp.reduce(log_pi), dtype=float)
    climb = np.zeros(n)  # E_{i -> i+1} = (1 + q_i E_{i-1 -> i}) / p_i
    for i in range(n - 1):
        climb[i] = (1 + q[i] * climb[i - 1]) / p[i]
    period = 1 if hold.any() else 2
    spectral = absolute = None
    if gap:
        with mpmath.workdps(dps):
            up, down = ([mpmath.mpf(a) for a in rate.tolist()] for rate in (p, q))
            leave, off = [a + b for a, b in zip(up, down)], [a * b for a, b in zip(up, down[1:])]
        spectral = _smallest_eigenvalue(leave, off, 1, dps)
        absolute = (
            0.0
            if period == 2
            else min(spectral, _smallest_eigenvalue([2 - d for d in leave], off, 0, dps))
        )
    P = _csr(
        n, [x, x, x], [x, np.minimum(x + 1, n - 1), np.maximum(x - 1, 0)], [hold, p, q]
    )  # p[-1] = q[0] = 0
    return Case(
        name or f"birth_death({n})",
        P,
        np.exp(log_pi),
        None,
        ([n - 1], np.cumsum(climb[::-1])[::-1]),
        spectral,
        absolute,
        period,
        {"log_pi": log_pi},
    )


def double_well(n, depth):
    """Lazy Metropolis walk in the potential depth (1 - s^2)^2, s from -1 to 1; the gap falls like exp(-depth)."""
    barrier = np.diff(depth * (1 - np.linspace(-1, 1, n) ** 2) ** 2)
    up, down = np.exp(-np.maximum([barrier, -barrier], 0)) / 4
    return birth_death([*up, 0], [0, *down], name=f"double_well({n}, {depth})")


def ehrenfest(n):
    """Weight of the walk on the n-cube, no holding: eigenvalues 1 - 2 k / n, pi binomial (LP ch. 2)."""
    k = np.arange(n + 1)
    case = birth_death((n - k) / n, k / n, gap=False, name=f"ehrenfest({n})")
    return replace(
        case, eigenvalues=1 - 2 * k / n, hitting=([0], _descents(n)), gap=2 / n, absolute_gap=0.0
    )


def bernoulli_laplace(n, k):
    """Two urns with k and n - k of n balls exchange one each; state: the number of the first urn's balls that are in the
    second. Eigenvalues 1 - i (n - i + 1) / (k (n - k)), pi hypergeometric (Diaconis 3F)."""
    i = np.arange(min(k, n - k) + 1)
    values = np.sort(1 - i * (n - i + 1) / (k * (n - k)))[::-1]
    gap = n / (k * (n - k))
    p, q = (k - i) * (n - k - i) / (k * (n - k)), i * i / (k * (n - k))
    case = birth_death(p, q, gap=False, name=f"bernoulli_laplace({n}, {k})")
    return replace(case, eigenvalues=values, gap=gap, absolute_gap=min(gap, 1 + values[-1]))


# ----------------------------------------------------------------------------------------- energies and random chains


def product_heat_bath(m, fields):
    """Redraw a uniform one of m bits from its law under pi(x) ∝ exp(fields . x): eigenvalues 1 - k/m whatever the fields
    (product chains, LP ch. 12). Not a tilt of the cube."""
    x, fields = np.arange(2**m), np.asarray(fields, dtype=float)
    flip = np.where(
        x[:, None] >> np.arange(m) & 1, -fields, fields
    )  # log odds of drawing the other bit
    log_pi = log_expit(-flip).sum(axis=1)
    P = _csr(
        2**m,
        x,
        [*(x ^ (1 << i) for i in range(m)), x],
        [*expit(flip).T / m, expit(-flip).sum(axis=1) / m],
    )
    values = _descending(*((1 - k / m, comb(m, k)) for k in range(m + 1)))
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
    """P = P0 exp(R / beta) / Z for P0 reversible with respect to mu: pi ∝ mu Z exp(R / beta). Dense, in the log domain;
    with dps the products themselves are taken, at that many digits. Entries below 1e-308 survive in extra["log_P"] only."""
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
        _csr(n, x, y, np.exp(log_P[x, y])),
        np.exp(log_pi),
        extra={"log_pi": log_pi, "log_P": log_P, "log_Z": log_Z},
    )


def random_reversible(n, density, rng):
    """Log-normal conductances on a random graph that contains a path, and on all self-loops; pi is the weighted degree."""
    rng = np.random.default_rng(rng)
    fixed = [[*range(n - 1), *range(n)], [*range(1, n), *range(n)]]
    x, y = np.concatenate([rng.integers(n, size=(2, ceil(density * n * n / 2))), fixed], axis=1)
    half = _csr(n, x, y, rng.lognormal(sigma=2, size=len(x)))
    A = (half + half.T).tocoo()
    degree = A.sum(axis=1)
    return Case(
        f"random_reversible({n})",
        _csr(n, A.row, A.col, A.data / degree[A.row]),
        degree / degree.sum(),
    )


def random_chain(n, density, rng):
    """Irreducible (it contains the directed cycle), aperiodic (self-loop at 0), not reversible; nothing else is known."""
    rng = np.random.default_rng(rng)
    fixed = [[*range(n), 0], [*range(1, n), 0, 0]]
    x, y = np.concatenate([rng.integers(n, size=(2, ceil(density * n * n))), fixed], axis=1)
    weight = rng.lognormal(size=len(x))
    return Case(
        f"random_chain({n})",
        _csr(n, x, y, weight / np.bincount(x, weight)[x]),
        None,
        reversible=False,
    )


@lru_cache
def cases():
    """Chains of 2 to 1024 states for parametrised tests, the smaller of a family first."""
    rng = np.random.default_rng(20240229)
    tilted = random_reversible(60, 0.1, rng)
    tilts = [energy_tilt(tilted.P, tilted.pi, rng.normal(size=60), beta) for beta in (0.5, 0.05)]
    return (
        two_state(0.3, 0.1),
        two_state(1e-9, 1e-7),
        two_state(1.0, 1.0),
        cycle(7),
        cycle(8),
        cycle(50, 0.5),
        cycle(1000, 0.1),
        biased_cycle(9, 0.7, 0.3),
        biased_cycle(8, 0.7, 0.3),
        biased_cycle(10, 0.5, 0.2),
        biased_cycle(6, 1.0),
        biased_cycle(40, 0.25),
        torus((4, 6)),
        torus((5, 3, 2), 0.25),
        torus((24, 30), 0.5),
        hypercube(3, 0.0),
        hypercube(6, 0.1),
        hypercube(10),
        complete(3),
        complete(50),
        star(20),
        path(2),
        path(300),
        binary_tree(3),
        binary_tree(9),
        dumbbell(3),
        dumbbell(40),
        random_transpositions(4),
        random_transpositions(5),
        ehrenfest(30),
        bernoulli_laplace(20, 10),
        bernoulli_laplace(50, 8),
        birth_death([0.9, 0.5, 0.45, 0.9, 0], [0, 0.5, 0.5, 0.1, 0.95]),
        double_well(60, 8),
        double_well(100, 24),
        double_well(120, 35),
        product_heat_bath(4, [0, 1, -3, 8]),
        product_heat_bath(9, rng.normal(scale=6, size=9)),
        *tilts,
        random_reversible(30, 0.1, rng),
        random_reversible(700, 0.01, rng),
        random_chain(30, 0.1, rng),
        random_chain(500, 0.01, rng),
    )


def reversible_cases():
    return tuple(case for case in cases() if case.reversible)


VARIED = ("plain", "near-reducible", "star", "spread", "near-periodic", "lazy", "tilted")


def varied_reversible(kind, n, rng):
    """(P dense, pi) of a random connected chain of n >= 2 states, of a kind that strains bounds: conductances over four decades; two
    parts joined by 1e-6 to 1e-12; a star with few further edges; conductances along a path over 30 orders; next to no holding on a bipartite
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
