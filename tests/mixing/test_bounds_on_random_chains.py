"""Every lower and upper bound on how a chain mixes, on 500 random reversible chains of seven
kinds."""

import math
import sys

import gallery
import numpy as np
import pytest
import reference
from mixing_bounds import (
    GRANTED,
    all_cuts,
    check_autocorrelation,
    check_conductance,
    check_curve,
    check_dobrushin,
    check_log_sobolev,
    check_mixing_time,
    conductance_of,
    t_mix,
)

import fastebm as fe
from fastebm.mixing import time_search

N_CHAINS = 500
dobrushin = sys.modules["fastebm.mixing.dobrushin"]
pytestmark = pytest.mark.usefixtures("quiet")


def random_chains(largest):
    """`N_CHAINS` chains (name, P, pi), of all kinds in turn."""
    rng = np.random.default_rng(20261126)
    for i in range(N_CHAINS):
        kind = gallery.VARIED[i % len(gallery.VARIED)]
        yield (
            f"{kind}, chain {i}",
            *gallery.varied_reversible(kind, int(rng.integers(2, largest + 1)), rng),
        )


def test_mixing_times(monkeypatch):
    monkeypatch.setattr(time_search, "MAX_DENSE", 0)
    vacuous = 0
    for i, (name, P, _) in enumerate(random_chains(10)):
        eps = (0.05, 0.25, 0.45)[i % 3]
        exact = t_mix(P.astype(np.longdouble), reference.gth(P.astype(np.longdouble)), eps)
        found = fe.mixing_time(fe.MarkovChain(P), eps=eps, max_steps=60)
        check_mixing_time(found, exact, name)
        vacuous += found.upper == math.inf
    assert vacuous < 0.15 * N_CHAINS


def test_mixing_curves():
    for name, P, _ in random_chains(8):
        check_curve(fe.MarkovChain(P), P, [0, len(P) - 1], 12, name)


def test_conductances():
    for name, P, pi in random_chains(7):
        F, root = pi[:, None] * P, np.sqrt(pi)
        gap = 1 - np.sort(np.linalg.eigvalsh(root[:, None] * P / root))[-2]
        least = min(conductance_of(F, pi, S) for S in all_cuts(len(P)))
        check_conductance(fe.conductance(fe.MarkovChain(P), rng=0), F, pi, least, gap, name)


def test_log_sobolev_constants():
    rng = np.random.default_rng(3)
    for name, P, pi in random_chains(7):
        chain = fe.MarkovChain(P)
        check_log_sobolev(
            fe.modified_log_sobolev(chain, rng=0),
            chain,
            P,
            pi[:, None] * P,
            pi,
            [rng.normal(size=len(P)) * rng.choice([0.1, 1, 5])],
            name,
        )


def test_dobrushin_coefficients(monkeypatch):
    monkeypatch.setattr(dobrushin, "MAX_PAIRS", 1)
    proper = 0
    for name, P, _ in random_chains(9):
        found = fe.dobrushin(fe.MarkovChain(P))
        check_dobrushin(found, P, name)
        proper += not found.is_exact
    assert proper > 0.1 * N_CHAINS


def test_asymptotic_variances():
    rng = np.random.default_rng(4)
    for name, P, _ in random_chains(7):
        f = rng.normal(size=len(P))
        check_autocorrelation(
            fe.MarkovChain(P), reference.asymptotic_variance(P, f, dps=150), f, name, GRANTED
        )
