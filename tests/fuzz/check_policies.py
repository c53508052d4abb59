"""Checks of the closed forms of RLVR at random arguments, the ends of their ranges among them."""

import mpmath
import numpy as np

from fastebm import rlvr

from .registry import analysis
from .verdicts import near

REL = 1e-12


def _probability(rng):
    kind = rng.integers(5)
    if kind == 0:
        return float(rng.choice([0.0, 1.0, 0.5]))
    if kind == 1:
        return float(10.0 ** -rng.uniform(0, 300))
    if kind == 2:
        return float(1 - 10.0 ** -rng.uniform(0, 16))
    return float(rng.random())


def _kl(a, b):
    """Of two Bernoulli laws."""
    total = mpmath.mpf(0)
    for x, y in ((a, b), (1 - a, 1 - b)):
        if x > 0:
            if y <= 0:
                return mpmath.inf
            total += x * mpmath.log(x / y)
    return total


def _tilted(p0, shift):
    up = p0 * mpmath.exp(shift)
    return up / (1 - p0 + up)


@analysis()
def rlvr_laws(case):
    rng = case.rng
    with mpmath.workdps(700):
        p0f, pf = _probability(rng), _probability(rng)
        betaf = float(10.0 ** rng.uniform(-2.5, 2))
        tf = float(10.0 ** rng.uniform(-3, 3))
        k = int(rng.integers(1, 1000))
        p0, p, beta, t = map(mpmath.mpf, (p0f, pf, betaf, tf))
        target = _tilted(p0, 1 / beta)
        now = _tilted(p0, -mpmath.expm1(-beta * t) / beta)
        # A rounded shift s moves p by s eps p (1 - p).
        sharp = REL + 4e-16 / betaf
        yield near("target_accuracy", rlvr.target_accuracy(p0f, betaf), float(target), sharp)
        yield near("flow", rlvr.flow(p0f, betaf, tf), float(now), sharp)
        log_z = mpmath.log1p(p0 * mpmath.expm1(1 / beta))
        yield near("log_partition", rlvr.log_partition(p0f, betaf), float(log_z), sharp)
        yield near("pass_at_k", rlvr.pass_at_k(p0f, k), float(1 - (1 - p0) ** k), REL)
        kl = _kl(p, p0)
        yield near("kl_spent", rlvr.kl_spent(pf, p0f), float(kl), 1e-11)
        j = p - beta * kl
        yield near(
            "objective",
            rlvr.objective(pf, p0f, betaf),
            float(j),
            1e-11,
            1e-11 * float(beta * kl) if kl < mpmath.inf else 0.0,
        )
        if p0 > 0 and p0 < 1:
            lost = beta * log_z - p + beta * kl
            yield near(
                "suboptimality", rlvr.suboptimality(pf, p0f, betaf), float(lost), 1e-10, 1e-300
            )
        if 0 < p0 < p < 1:
            shift = mpmath.log(p / (1 - p)) - mpmath.log(p0 / (1 - p0))
            yield near(
                "beta_for_accuracy", rlvr.beta_for_accuracy(p0f, pf), float(1 / shift), 1e-11
            )
            rest = 1 - beta * shift
            if rest > 1e-3:
                yield near(
                    "time_to_accuracy",
                    rlvr.time_to_accuracy(p0f, pf, betaf),
                    float(-mpmath.log(rest) / beta),
                    1e-10,
                )
        yield from _budget(p0f, p0, rng)


def _budget(p0f, p0, rng):
    """The accuracy of a KL budget, by the budget that it spends."""
    budget = float(10.0 ** rng.uniform(-12, 1))
    p = rlvr.accuracy_for_kl(p0f, budget)
    yield near("accuracy_for_kl", float(p >= p0f), 1.0, 0.0)
    if 0 < p0f < 1 and budget < -np.log(p0f) * (1 - 1e-9) and p < 1 - 1e-9:
        spent = float(_kl(mpmath.mpf(float(p)), p0))
        # p is a double: what one ulp of it spends.
        step = (
            abs(
                float(
                    mpmath.log(mpmath.mpf(float(p)) * (1 - p0) / ((1 - mpmath.mpf(float(p))) * p0))
                )
            )
            * float(p)
            * 4e-16
        )
        yield near("accuracy_for_kl", spent, budget, 1e-9, step)
