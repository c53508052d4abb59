"""Walks on groups and graphs, with their spectra and hitting times. See gallery.py for the
references."""

from dataclasses import replace
from itertools import permutations
from math import comb, factorial, prod

import numpy as np
from gallery_case import Case, csr, descending, walk_on_graph


def two_state(a, b):
    """Leave state 0 with probability a, state 1 with probability b (LP ch. 1)."""
    s = a + b
    return Case(
        f"two_state({a}, {b})",
        csr(2, [0, 0, 1, 1], [0, 1, 0, 1], [1 - a, a, b, 1 - b]),
        np.array([b, a]) / s,
        descending((1, 1), (1 - s, 1)),
        ([1], np.array([1 / a, 0])),
        s,
        min(s, 2 - s),
        2 if s == 2 else 1,
        {"tv_from0": lambda t: a / s * abs(1 - s) ** t},
    )


def torus(shape, holding=0.0):
    """Hold, else one step along a uniform one of 2 d directions; states in C order. Fourier sums
    (LP ch. 12, AF ch. 5)."""
    shape, h = tuple(shape), holding
    n, d = prod(shape), len(shape)
    x, length = np.arange(n), np.array(shape)[:, None]
    site = np.array(np.unravel_index(x, shape))
    moves = [step * np.eye(d, dtype=int)[:, [axis]] for axis in range(d) for step in (-1, 1)]
    P = csr(
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
    """Not reversible: +1 with probability `up`, -1 with `down` != up, else hold; gambler's ruin (LP
    ch. 2)."""
    d, hold, theta = (
        np.arange(n),
        (1 - up - down) * (up + down < 1 - 1e-15),
        2 * np.pi * np.arange(n) / n,
    )
    values = 1 - (up + down) * 2 * np.sin(theta / 2) ** 2 + 1j * (up - down) * np.sin(theta)
    ruin = (d - n * (1 - (down / up) ** d) / (1 - (down / up) ** n)) / (down - up)
    period = 1 if hold else n if down == 0 else 2 - n % 2
    slem = np.abs(values[1:]).max() if period == 1 else 1.0
    P = csr(n, d, [(d + 1) % n, (d - 1) % n, d], [[up], [down], [hold]])
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


def descents(m):
    """E tau_0 from weight 0..m of the walk on the m-cube, no holding: E_{d -> d-1} = sum_{j >= d}
    C(m, j) / C(m-1, d-1)."""
    return np.cumsum(
        [0]
        + [sum(comb(m, j) for j in range(d, m + 1)) / comb(m - 1, d - 1) for d in range(1, m + 1)]
    )


def hypercube(m, holding=0.5):
    """Hold, else flip a uniform one of m bits (LP ch. 2, 12); TV from Krawtchouk polynomials, exact
    integers."""
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
        csr(n, x, [x, *(x ^ (1 << i) for i in range(m))], [[h]] + [[(1 - h) / m]] * m),
        np.full(n, 1 / n),
        descending(*((v, comb(m, k)) for k, v in enumerate(values))),
        ([0], descents(m)[weight] / (1 - h)),
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
        csr(n, x, y, 1 / (n - 1)),
        np.full(n, 1 / n),
        descending((1, 1), (-1 / (n - 1), n - 1)),
        ([0], (n - 1.0) * (np.arange(n) > 0)),
        n / (n - 1),
        (n - 2) / (n - 1),
        2 if n == 2 else 1,
        {"tv_from0": lambda t: (1 - 1 / n) / (n - 1) ** t},
    )


def star(n):
    """Centre 0 and n - 1 >= 2 leaves; hitting leaf 1: a return to it takes 1 / pi = 2 (n - 1) (LP
    ch. 1)."""
    hitting = np.array([2 * n - 3, 0] + [2 * n - 2] * (n - 2), dtype=float)
    return walk_on_graph(
        f"star({n})",
        n,
        [(0, leaf) for leaf in range(1, n)],
        hitting=([1], hitting),
        gap=1.0,
        eigenvalues=descending((1, 1), (0, n - 2), (-1, 1)),
        absolute_gap=0.0,
        period=2,
    )


def path(n):
    """Simple walk on a path, reflected at both ends: lambda_k = cos(pi k / (n - 1)) (LP ch. 12)."""
    x, last = np.arange(n), n - 1
    return walk_on_graph(
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
    """Root 0, children 2 x + 1 and 2 x + 2. A step up takes 2 (vertices at and below x) - 1 (LP ch.
    10)."""
    n = 2 ** (depth + 1) - 1
    to_root = np.zeros(n)
    for x in range(1, n):
        below = 2 ** (depth + 2 - (x + 1).bit_length()) - 1  # vertices at and below x
        to_root[x] = to_root[(x - 1) // 2] + 2 * below - 1
    return walk_on_graph(
        f"binary_tree({depth})",
        n,
        [(x, (x - 1) // 2) for x in range(1, n)],
        hitting=([0], to_root),
        absolute_gap=0.0,
        period=2,
    )


def dumbbell(n):
    """Two complete graphs on n >= 3 vertices, joined by an edge from n - 1 to n. Crossing it takes
    (twice the edges on this side) + 1; the spectrum is that of the quotient by symmetry, and -1/(n
    - 1) on functions that the quotient loses."""
    edges = [(i + s, j + s) for s in (0, n) for j in range(n) for i in range(j)] + [(n - 1, n)]
    hitting = np.concatenate(
        [np.full(n - 1, float(n * n)), [n * (n - 1) + 1, 0], np.full(n - 1, n - 1.0)]
    )
    odd = np.array(
        [[(n - 2) / (n - 1), 1 / (n - 1)], [(n - 1) / n, -1 / n]]
    )  # the quotient on odd functions
    low = (odd.trace() - np.sqrt(odd.trace() ** 2 + 4 * (2 * n - 3) / n / (n - 1))) / 2
    gap = 2 / n / (n - 1) / (1 - low)  # det(I - odd) / (1 - the other eigenvalue)
    values = descending(
        (1, 1),
        (1 - gap, 1),
        (low, 1),
        ((n - 2) / (n - 1) + 1 / n - 1, 1),
        (-1 / (n - 1), 2 * n - 4),
    )
    return walk_on_graph(
        f"dumbbell({n})",
        2 * n,
        edges,
        hitting=([n], hitting),
        gap=gap,
        eigenvalues=values,
        absolute_gap=min(gap, 1 + values[-1]),
    )


def random_transpositions(n):
    """Shuffle by exchanging two independent uniform positions: eigenvalue 1/n + 2/n^2 (sum of
    contents) for each partition of n, with multiplicity f^2 of the hook length formula (Diaconis
    3D, LP ch. 8)."""
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
    N, values = len(states), descending(*spectrum)
    return Case(
        f"random_transpositions({n})",
        csr(N, np.arange(N), targets, 1 / n**2),
        np.full(N, 1 / N),
        values,
        gap=2 / n,
        absolute_gap=min(2 / n, 1 + values[-1]),
    )
