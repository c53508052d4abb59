"""Are the p-values of `balance_test` valid under detailed balance, and what is their power?

    python -m benchmarks.null_calibration

1. 1,000 data sets of random reversible chains (8 states, 400 transitions per row) with 999
   replicates each: Kolmogorov-Smirnov tests of both p-values and sizes at 5 %, for the Monte Carlo
   test and for the chi-square law.
2. Sizes at 5 % for sparser counts (1,000 data sets, 199 replicates): the chi-square law fails.
3. Sizes at 5 % where counts are few, uneven, or counted along trajectories (1,000 data sets, 99
   replicates), for both `sampling` laws. At the true size, a standard error is 0.007.
4. Rejections at 5 % under growing uniform circulation on a ring of 20 states, where steps of one
   circulate and rare steps of two do not: for the likelihood ratio, the cycle statistic and the two
   published statistics, each at the 95 % point of its own null, for the published tests unchanged,
   and for both p-values of `balance_test` (99 replicates). (On a ring without steps of two, all
   are functions of the one cycle and so have equal power at equal size.)

About ten minutes on one core. FASTEBM_BENCH_SMOKE=1 runs a hundredth of it. Names of parts
(calibration, density, nulls, power) as arguments run these alone.
"""

import os
import sys
import time

import numpy as np
from scipy import stats

import fastebm as fe

N_SETS = 10 if os.environ.get("FASTEBM_BENCH_SMOKE") else 1000


def reversible_rows(n, rng):
    X = rng.gamma(2.0, size=(n, n))
    X += X.T
    return X / X.sum(axis=1, keepdims=True)


def drawn(P, per_row, rng):
    return np.array([rng.multinomial(per_row, row) for row in P])


def ring(n, circulation):
    x, P = np.arange(n), np.zeros((n, n))
    for step, probability in (
        (1, 0.45 + circulation),
        (-1, 0.45 - circulation),
        (2, 0.05),
        (-2, 0.05),
    ):
        P[x, (x + step) % n] = probability
    return P


def p_values(n_states, per_row, n_bootstrap, seed):
    """(N_SETS, 5): Monte Carlo and chi-square p-values of both statistics, counts a pair."""
    rng, found = np.random.default_rng(seed), []
    for number in range(N_SETS):
        t = fe.balance_test(
            drawn(reversible_rows(n_states, rng), per_row, rng),
            n_bootstrap=n_bootstrap,
            rng=number,
            sampling="rows",
            num_threads=1,
        )
        found.append(
            (
                t.p_value,
                t.cycle_p_value,
                t.asymptotic_p_value,
                stats.chi2.sf(t.cycle_statistic, t.dof) if t.dof else 1.0,
                t.counts_per_pair,
            )
        )
    return np.array(found)


def calibration():
    begin = time.perf_counter()
    p = p_values(8, 400, 999, 0)
    # Monte Carlo p-values are multiples of 1/1000; spread them to a continuum.
    spread = np.random.default_rng(1).uniform(-1e-3, 0, (len(p), 2))
    names = ("likelihood ratio", "cycle statistic")
    for name, column in zip(names, (p[:, :2] + spread).T, strict=True):
        ks, size = stats.kstest(column, "uniform").pvalue, (column <= 0.05).mean()
        print(f"{name}: KS p-value {ks:.3f}, size at 5 % {size:.3f}")
    for name, column in zip(names, p[:, 2:4].T, strict=True):
        ks, size = stats.kstest(column, "uniform").pvalue, (column <= 0.05).mean()
        print(f"{name}, chi-square law: KS p-value {ks:.2g}, size at 5 % {size:.3f}")
    print(f"{len(p)} data sets, {time.perf_counter() - begin:.0f} s")


def density():
    print(
        "\n| transitions a row | counts a pair | size of LR | of the cycle statistic "
        "| of LR, chi-square | of the cycle statistic |\n|---|---|---|---|---|---|"
    )
    for per_row in (2, 4, 8, 16, 32, 64):
        p = p_values(8, per_row, 199, per_row)
        sizes = " | ".join(f"{(p[:, i] <= 0.05).mean():.3f}" for i in range(4))
        print(f"| {per_row} | {p[:, 4].mean():.1f} | {sizes} |", flush=True)


def random_chain(n, spread, rng, density=1.0):
    """Weights exp(spread * normal) on a random graph and a ring, and the law."""
    weight = np.exp(spread * rng.normal(size=(n, n))) * (rng.random((n, n)) < density)
    weight = np.triu(weight, 1) + 0.05 * np.eye(n, k=1)
    weight[0, n - 1] += 0.05
    weight += weight.T
    return weight / weight.sum(axis=1, keepdims=True), weight.sum(axis=1) / weight.sum()


def ladder(n, decades, rng):
    """A complete graph whose stationary law falls by 10^decades."""
    height = 10.0 ** np.linspace(0.0, -0.5 * decades, n)
    weight = np.outer(height, height) * rng.gamma(2.0, size=(n, n))
    weight += weight.T
    return weight / weight.sum(axis=1, keepdims=True), weight.sum(axis=1) / weight.sum()


def torus(side):
    x, P = np.arange(side * side), np.zeros((side * side, side * side))
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        P[x, ((x // side + dx) % side) * side + (x % side + dy) % side] += 0.25
    return P


def plain_ring(n):
    return 0.5 * (np.roll(np.eye(n), 1, axis=1) + np.roll(np.eye(n), -1, axis=1))


def rows_at_stationarity(chain, n_counts, rng):
    P, pi = chain
    per_row = rng.multinomial(n_counts, pi)
    return np.array([rng.multinomial(k, row) for k, row in zip(per_row, P, strict=True)])


def walked(P, lengths, rng, start=None):
    """Counts of trajectories of these lengths from `start` or from uniform states."""
    n, edges, trajectories = len(P), P.cumsum(axis=1), []
    for length in lengths:
        x = [int(rng.integers(n)) if start is None else start]
        for u in rng.random(length):
            x.append(min(int(np.searchsorted(edges[x[-1]], u)), n - 1))
        trajectories.append(np.array(x))
    return fe.count_transitions(trajectories, n_states=n)


NULLS = {
    "20 states, unequal weights, 3,000 counts": lambda rng: rows_at_stationarity(
        random_chain(20, 1.5, rng), 3000, rng
    ),
    "30 states, 10 counts a row (1.5 a pair)": lambda rng: drawn(
        random_chain(30, 0.5, rng)[0], 10, rng
    ),
    "12 states, pi from 1 to 1e-4, 5,000 counts": lambda rng: rows_at_stationarity(
        ladder(12, 4, rng), 5000, rng
    ),
    "100 states, 400 counts a row (long rows)": lambda rng: drawn(
        random_chain(100, 0.5, rng)[0], 400, rng
    ),
    "torus of 25, 6 counts a row": lambda rng: drawn(torus(5), 6, rng),
    "ring of 8, 3 counts a row (one-way pairs)": lambda rng: drawn(plain_ring(8), 3, rng),
    "two states, 20 counts": lambda rng: drawn(np.full((2, 2), 0.5), 10, rng),
    "20 states, one trajectory of 3,000": lambda rng: walked(
        random_chain(20, 1.5, rng)[0], [3000], rng
    ),
    "30 states, one trajectory of 120": lambda rng: walked(
        random_chain(30, 0.5, rng, 0.3)[0], [120], rng
    ),
    "torus of 25, one trajectory of 150": lambda rng: walked(torus(5), [150], rng),
    "torus of 25, 10 trajectories of 15": lambda rng: walked(torus(5), [15] * 10, rng),
    "torus of 25, 50 trajectories of 3": lambda rng: walked(torus(5), [3] * 50, rng),
    "torus of 25, 20 of 10 from one state": lambda rng: walked(torus(5), [10] * 20, rng, 0),
    "20 states, 200 trajectories of 5": lambda rng: walked(
        random_chain(20, 1.0, rng)[0], [5] * 200, rng
    ),
    "ring of 8, 5 trajectories of 15": lambda rng: walked(plain_ring(8), [15] * 5, rng),
}


def nulls():
    print(
        "\n| null | LR, trajectories | cycle statistic | LR, rows | cycle statistic |"
        "\n|---|---|---|---|---|"
    )
    for name, make in NULLS.items():
        sizes = []
        for sampling in ("trajectories", "rows"):
            rng = np.random.default_rng(7)
            found = [
                fe.balance_test(
                    make(rng), n_bootstrap=99, sampling=sampling, rng=number, num_threads=1
                )
                for number in range(N_SETS)
            ]
            p = np.array([(test.p_value, test.cycle_p_value) for test in found])
            sizes += [f"{size:.3f}" for size in (p <= 0.05).mean(axis=0)]
        print(f"| {name} | " + " | ".join(sizes) + " |", flush=True)


def power(n=20, per_row=150):
    def statistics(circulation, seed):
        rng, found = np.random.default_rng(seed), []
        for number in range(N_SETS):
            counts = drawn(ring(n, circulation), per_row, rng)
            test = fe.balance_test(counts, n_bootstrap=99, rng=number, num_threads=1)
            pairs, triangles = (
                fe.balance_test(counts, method=method) for method in ("pairs", "triangles")
            )
            found.append(
                (
                    test.statistic,
                    test.cycle_statistic,
                    pairs.statistic,
                    triangles.statistic,
                    pairs.p_value,
                    triangles.p_value,
                    test.p_value,
                    test.cycle_p_value,
                )
            )
        return np.array(found)

    critical = np.quantile(statistics(0.0, 0)[:, :4], 0.95, axis=0)
    print(
        "\n| circulation | LR | cycle statistic | pairs | triangles | pairs, nominal 5 % "
        "| triangles, nominal 5 % | LR, p-value | cycle statistic, p-value |"
        "\n|---|---|---|---|---|---|---|---|---|"
    )
    for circulation in (0.0, 0.01, 0.02, 0.03, 0.04, 0.06):
        s = statistics(circulation, 1)
        rejected = [*(s[:, :4] > critical).mean(axis=0), *(s[:, 4:] <= 0.05).mean(axis=0)]
        print(f"| {circulation} | " + " | ".join(f"{x:.3f}" for x in rejected) + " |", flush=True)


if __name__ == "__main__":
    parts = {"calibration": calibration, "density": density, "nulls": nulls, "power": power}
    for part in sys.argv[1:] or parts:
        parts[part]()
