"""Every bound that an analysis of hitting states holds, and `converged` means what it says, on
random small chains of every kind against multiprecision.

`python -m pytest` runs some hundred chains; `python tests/hitting/test_enclosures.py N SEED` runs N
chains from a seed (in the folder tests/oracles on PYTHONPATH).
"""

import sys
import warnings

import mpmath as mp
import multiprecision_hitting as exact
import numpy as np
import pytest
import random_small_chains

import fastebm as fe
from fastebm.linalg import elimination, restriction

# The tolerance asked of every analysis.
TOL = 1e-8
# Of the multiprecision.
ROUNDING = mp.mpf(10) ** (10 - exact.DIGITS)


class Faults(list):
    """What was found wrong with one chain."""

    def encloses(self, name, lower, truth, upper):
        lower, upper = (
            [mp.mpf(float(end)) for end in np.atleast_1d(ends)] for ends in (lower, upper)
        )
        for x, value in enumerate(truth):
            if not lower[x] * (1 - ROUNDING) <= value <= upper[x] * (1 + ROUNDING):
                self.append(f"{name}[{x}]: {value} not in [{lower[x]}, {upper[x]}]")

    def within(self, name, found, truth, tol):
        for x, value in enumerate(truth):
            got = np.atleast_1d(found)[x]
            if value == mp.inf or value == 0:
                wrong = got != float(value)
            else:
                wrong = not abs(mp.mpf(float(got)) - value) <= mp.mpf(tol) * value
            if wrong:
                self.append(f"{name}[{x}]: {got!r}, not {value}, converged to {tol}")


def check_times(chain, P, target, faults):
    mean, second = exact.hitting_moments(P, target)
    found = fe.hitting_times(chain, target, tol=TOL)
    faults.encloses("mean", found.lower, mean, found.upper)
    if found.converged:
        faults.within("mean", found.mean, mean, TOL)
    found = fe.hitting_moments(chain, target, tol=TOL)
    faults.encloses("moments mean", found.mean_lower, mean, found.mean_upper)
    faults.encloses("second", found.second_lower, second, found.second_upper)
    spread = [
        mp.inf if h == mp.inf else mp.sqrt(abs(s - h * h))
        for h, s in zip(mean, second, strict=True)
    ]
    faults.encloses("std", found.std_lower, spread, found.std_upper)
    if found.converged:
        faults.within("moments mean", found.mean, mean, TOL)
        faults.within("second", found.second, second, TOL)
    return found.converged


def check_first_hits(chain, P, sets, avoid, faults):
    truth, _ = exact.first_hits(P, sets[:1], avoid)
    found = fe.hitting_probabilities(chain, sets[0], avoid=avoid or None, tol=TOL)
    faults.encloses("probability", found.lower, truth[0], found.upper)
    faults.encloses("complement", found.complement_lower, truth[1], found.complement_upper)
    if found.converged:
        faults.within("probability", found.probability, truth[0], TOL)
        faults.within("complement", found.complement, truth[1], TOL)
    truth, time = exact.first_hits(P, sets)
    found = fe.absorption_probabilities(chain, sets, tol=TOL)
    for k in range(len(sets)):
        faults.encloses(f"set {k}", found.lower[:, k], truth[k], found.upper[:, k])
    faults.encloses("never", found.never_lower, truth[-1], found.never_upper)
    faults.encloses("time", found.mean_time_lower, time, found.mean_time_upper)
    if found.converged:
        for k in range(len(sets)):
            faults.within(f"set {k}", found.probability[:, k], truth[k], TOL)
        faults.within("never", found.never, truth[-1], TOL)
        faults.within("time", found.mean_time, time, TOL)
    return found.converged


def check_law(chain, P, pairs, faults):
    pi = exact.law(P)
    if pi is None:
        return True
    found = fe.return_times(chain)
    faults.within("return", found.mean, [1 / p if p else mp.inf for p in pi], 1e-9)
    constant = exact.kemeny(P)
    tol = 0.3 if len(pi) % 2 else 1e-10
    found = fe.kemeny_constant(chain, tol=tol, rng=0)
    if found.n_probes == 0:
        faults.encloses("kemeny", found.lower, [constant], found.upper)
    if found.n_probes == 0 and found.converged and constant:
        faults.within("kemeny", found.value, [constant], tol)
    source, target = pairs
    found = fe.commute_times(chain, source, target, tol=TOL)
    there = [exact.hitting_moments(P, [y])[0][x] for x, y in zip(source, target, strict=True)]
    back = [exact.hitting_moments(P, [x])[0][y] for x, y in zip(source, target, strict=True)]
    commute = [a + b for a, b in zip(there, back, strict=True)]
    faults.encloses("commute", found.lower, commute, found.upper)
    if found.converged:
        faults.within("commute", found.commute, commute, 3e-8)
    return found.converged


def check_exit_rate(chain, P, target, faults):
    """Only where the closed class holds the target."""
    pi = exact.law(P)
    if pi is None or not all(pi[x] > 0 for x in target):
        return
    inside = [x for x in range(len(P)) if pi[x] > 0 and x not in target]
    if not inside:
        return
    found = fe.hitting_bounds(chain, target, gap=1e-3)
    rate = exact.exit_rate(P, inside)
    faults.encloses("exit rate", found.exit_rate_lower, [rate], found.exit_rate_upper)
    if found.converged:
        mean = exact.hitting_moments(P, target)[0]
        faults.within("bounds mean", found.mean, mean, 1e-6)
        mean_from_pi = mp.fsum(p * h for p, h in zip(pi, mean, strict=True))
        faults.within("mean from pi", found.mean_from_pi, [mean_from_pi], 2e-6)
        mass = mp.fsum(pi[x] for x in target)
        faults.within("return time", found.return_time, [1 / mass], 2e-6)


def check_distribution(chain, P, target, faults):
    """Up to the fifth step; the rows as stored, hence a few ulp a step."""
    n, steps = len(P), 5
    A = exact.rates(P)
    found = fe.hitting_distribution(chain, target, steps, start=np.arange(n))
    alive = [mp.mpf(x not in target) for x in range(n)]
    now = [mp.mpf(x in target) for x in range(n)]
    for t in range(steps + 1):
        for name, values, truth in (
            ("survival", found.survival, alive),
            ("hit", found.probability, now),
        ):
            seen = [x for x in range(n) if truth[x] > 1e-290 or truth[x] == 0]
            faults.within(f"{name} at {t}", values[seen, t], [truth[x] for x in seen], 1e-13)
        alive, now = (
            [
                mp.mpf(0)
                if x in target
                else mp.fsum(a * v for a, v in zip(A[x], vector, strict=True))
                for x in range(n)
            ]
            for vector in (alive, now)
        )


def examine(seed, iterate):
    """(kind, P, faults, whether all solves converged) of the chain with this seed."""
    rng = np.random.default_rng(seed)
    kind, P = random_small_chains.draw(rng)
    n, faults = len(P), Faults()
    order = rng.permutation(n)
    if rng.random() < 0.3:  # weights near the ends of the range
        weights = P * 10.0 ** rng.uniform(-290, 200, n)[:, None]
        if (weights[P > 0] > 1e-307).all():
            P = weights
    chain = fe.MarkovChain(P, normalize=True)
    sizes = rng.integers(1, max(2, n // 2), size=2)
    target = [int(x) for x in order[: sizes[0]]]
    avoid = [int(x) for x in order[sizes[0] : min(sizes.sum(), n - 1)]]
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(), mp.workdps(exact.DIGITS):
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        warnings.simplefilter("error", RuntimeWarning)
        if iterate:
            patch.setattr(restriction, "MAX_SMALL", 0)
            patch.setattr(elimination, "MAX_FLOPS", -1.0)
        done = check_times(chain, P, target, faults)
        done &= check_first_hits(chain, P, [target, avoid] if avoid else [target], avoid, faults)
        done &= check_law(chain, P, (order[:3], order[::-1][:3]), faults)
        if seed % 3 == 0:  # the oracle takes most of the time
            check_exit_rate(chain, P, target, faults)
        check_distribution(chain, P, target, faults)
    return kind, P, faults, done


@pytest.mark.parametrize("iterate", [False, True], ids=["elimination", "iteration"])
@pytest.mark.parametrize("part", range(10))
def test_bounds_hold_on_chains_of_every_kind(part, iterate):
    done = []
    for seed in range(12 * part, 12 * part + 12):
        kind, _, faults, converged = examine(seed, iterate)
        assert not faults, f"seed {seed} ({kind}): {faults[:3]}"
        done.append(converged)
    assert iterate or all(done)


def run(n_chains, first):
    """Examine n_chains seeds from `first`, print the faults, and the counts even after Ctrl-C."""
    counts = {}
    try:
        for number in range(first, first + n_chains):
            for by_iteration in (False, True):
                try:
                    kind, _, found, converged = examine(number, by_iteration)
                except Exception as error:  # the chain is named, and the others still run
                    kind, found, converged = "crash", [repr(error)], False
                total = counts.setdefault((kind, by_iteration), [0, 0, 0])
                for i, one in enumerate((True, converged, found)):
                    total[i] += bool(one)
                if found:
                    print(number, kind, by_iteration, *found[:2], sep="\n    ", flush=True)
    finally:
        for key, (total, converged, wrong) in sorted(counts.items()):
            print(*key, f"{total} chains, {converged} converged, {wrong} wrong", flush=True)


if __name__ == "__main__":
    run(int(sys.argv[1]), int(sys.argv[2]))
