"""Are the p-values of `balance_test` uniform under detailed balance, and what is their power?

    python -m benchmarks.null_calibration

1. 1,000 data sets of random reversible chains (8 states, 400 transitions per row) with 999
   replicates each: Kolmogorov-Smirnov tests of both p-values and sizes at 5 %, for the bootstrap
   and for the chi-square law. About a minute on one core.
2. Sizes at 5 % for sparser counts (1,000 data sets, 199 replicates), which show the density below
   which even the bootstrap is wrong.
3. Rejections at 5 % under growing uniform circulation on a ring of 20 states, where steps of one
   circulate and rare steps of two do not: for the likelihood ratio, the cycle statistic and the two
   published statistics, each at the 95 % point of its own null, and for the published tests
   unchanged. (On a ring without steps of two, all are functions of the one cycle and so have equal
   power at equal size.)

FASTEBM_BENCH_SMOKE=1 runs a hundredth of it.
"""

import os
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
    """(N_SETS, 4): bootstrap and chi-square p-values of both statistics."""
    rng, found = np.random.default_rng(seed), []
    for number in range(N_SETS):
        t = fe.balance_test(
            drawn(reversible_rows(n_states, rng), per_row, rng),
            n_bootstrap=n_bootstrap,
            rng=number,
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
    # Bootstrap p-values are multiples of 1/1000; spread them to a continuum.
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
        "\n| transitions a row | counts a pair | size of LR, bootstrap | of the cycle statistic "
        "| of LR, chi-square | of the cycle statistic |\n|---|---|---|---|---|---|"
    )
    for per_row in (2, 4, 8, 16, 32, 64):
        p = p_values(8, per_row, 199, per_row)
        sizes = " | ".join(f"{(p[:, i] <= 0.05).mean():.3f}" for i in range(4))
        print(f"| {per_row} | {p[:, 4].mean():.1f} | {sizes} |", flush=True)


def power(n=20, per_row=150):
    def statistics(circulation, seed):
        rng, found = np.random.default_rng(seed), []
        for _ in range(N_SETS):
            counts = drawn(ring(n, circulation), per_row, rng)
            test = fe.balance_test(counts, n_bootstrap=1, rng=0, num_threads=1)
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
                )
            )
        return np.array(found)

    critical = np.quantile(statistics(0.0, 0)[:, :4], 0.95, axis=0)
    print(
        "\n| circulation | LR | cycle statistic | pairs | triangles | pairs, nominal 5 % "
        "| triangles, nominal 5 % |\n|---|---|---|---|---|---|---|"
    )
    for circulation in (0.0, 0.01, 0.02, 0.03, 0.04, 0.06):
        s = statistics(circulation, 1)
        rejected = [*(s[:, :4] > critical).mean(axis=0), *(s[:, 4:] < 0.05).mean(axis=0)]
        print(f"| {circulation} | " + " | ".join(f"{x:.3f}" for x in rejected) + " |", flush=True)


if __name__ == "__main__":
    calibration()
    density()
    power()
