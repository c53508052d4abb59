"""Every stated error and every end of `mixing` contains the truth, on small random chains of every
kind against definitions at 60 digits.

FASTEBM_ENDS_CHAINS=5000 tries more chains.
"""

import os
import sys

import ends_chains as exact
import mpmath
import numpy as np
import pytest

import fastebm as fe
from fastebm.mixing.curve import ALL_DISTANCES
from fastebm.mixing.time_search import TIE

N_CHAINS = int(os.environ.get("FASTEBM_ENDS_CHAINS", "240"))
STEPS = [0, 1, 2, 3, 5, 8, 30]
PROVEN = ("rigorous", "probabilistic")
pytestmark = pytest.mark.usefixtures("quiet")


def cases(only=None):
    """(name, generator, chain, P and pi on its closed class in multiprecision, the mask of that
    class)."""
    for i in range(N_CHAINS):
        kind = exact.KINDS[i % len(exact.KINDS)]
        if only is not None and only not in kind:
            continue
        rng = np.random.default_rng([20261129, i])
        P = exact.random_chain(kind, rng)
        A, pi, inside = exact.exact(P)
        chain = fe.MarkovChain(P)
        yield f"{kind}, chain {i}", rng, chain, A[np.ix_(inside, inside)], pi[inside], inside


@pytest.fixture(autouse=True)
def _digits():
    with mpmath.workdps(exact.DIGITS):
        yield


def check_curve(curve, laws, A, pi, name):
    for row, mu in enumerate(laws):
        t = 0
        for at, step in enumerate(STEPS):
            while t < step:
                mu, t = mu @ A, t + 1
            for distance, value in exact.distances(mu, pi).items():
                where = (name, distance, row, step)
                found = float(getattr(curve, distance)[row, at])
                error = float(curve.error[distance][row, at])
                assert exact.holds(found - error, value, found + error), (*where, found, value)
                if curve.bounds_kind in PROVEN:
                    assert exact.holds(0.0, value, curve.bounds[distance][row, at]), where


def test_mixing_curves():
    for name, rng, chain, A, pi, inside in cases():
        own = np.flatnonzero(inside)
        gap = fe.spectral_gap(chain, kind="multiplicative", rng=0)
        options = {"steps": STEPS, "distances": ALL_DISTANCES, "gap": gap}
        states = [0, len(own) - 1]
        found = fe.mixing_curve(chain, own[states], **options)
        check_curve(found, exact.number(np.eye(len(own))[states]), A, pi, name)
        # a law in general position, and the stationary one as it is rounded
        laws = np.zeros((2, chain.n_states))
        laws[0, own] = rng.dirichlet(np.ones(len(own)))
        laws[1, own] = pi.astype(float)
        given = exact.number(laws[:, own])
        found = fe.mixing_curve(chain, laws, **options)
        check_curve(found, given / given.sum(axis=1)[:, None], A, pi, name)


def test_asymptotic_variances():
    n_known = n_slow = 0
    for i, (name, rng, chain, A, pi, inside) in enumerate(cases()):
        n = chain.n_states
        f = rng.normal(size=n) if i % 3 else 1.0 * (rng.random(n) < 0.5)
        found = fe.autocorrelation(chain, f)
        value = exact.asymptotic_variance(A, pi, f[inside])
        assert exact.holds(found.lower, value, found.upper), (name, found, value)
        assert found.lower <= found.asymptotic_variance <= found.upper or not found.converged, name
        assert not found.converged or (found.residual <= 1e-10 and found.upper < np.inf), name
        if "sticky" in name or "reducible" in name:
            n_slow += 1
        elif found.converged:
            assert found.upper - found.lower <= 1e-3 * found.upper + 1e-10 * found.variance, (
                name,
                found,
            )
            n_known += 1
    assert n_known > 0.9 * (N_CHAINS - n_slow)


def test_dobrushin_coefficients(monkeypatch):
    module = sys.modules["fastebm.mixing.dobrushin"]
    for name, _, chain, _, _, _ in cases():
        value = exact.dobrushin(exact.exact(chain.to_scipy().toarray())[0])
        found = fe.dobrushin(chain)
        assert found.is_exact and exact.holds(found.lower, value, found.upper), (name, value)
        assert found.upper - found.lower <= 1e-13, name
        monkeypatch.setattr(module, "MAX_PAIRS", 1)
        found = fe.dobrushin(chain)
        assert exact.holds(found.lower, value, found.upper), (name, value, found)
        monkeypatch.undo()


def test_mixing_times(monkeypatch):
    module = sys.modules["fastebm.mixing.time_search"]
    for i, (name, _, chain, A, pi, _) in enumerate(cases()):
        eps = (0.25, 0.01, 0.6)[i % 3]
        if fe.structure(chain).period > 1:
            continue
        value = exact.mixing_time(A, pi, mpmath.mpf(eps) * (1 + mpmath.mpf(TIE)), 2**120)
        value = mpmath.inf if value is None else value
        for largest in (module.MAX_DENSE, 0):
            monkeypatch.setattr(module, "MAX_DENSE", largest)
            found = fe.mixing_time(chain, eps=eps, max_steps=50)
            for side, sign in (("lower", 1), ("upper", -1)):
                for method, bound in found.bounds[side].items():
                    kind = found.gap.lower_kind if found.gap else "rigorous"
                    proven = method in ("evolution", "dense powers", "minorisation")
                    if proven or kind in PROVEN:
                        assert sign * (bound - value) <= 0, (name, side, method, bound, value)
            if found.is_exact:
                assert found.steps == value, name
        monkeypatch.undo()


def test_conductances():
    for name, _, chain, A, pi, inside in cases("reversible"):
        chain = chain if inside.all() else chain.restrict(inside)
        if not chain.is_reversible or len(A) < 2:
            continue
        found = fe.conductance(chain, rng=0)
        least, of = exact.conductance(A, pi)
        rate = exact.symmetric_eigenpairs(A, pi)[0][1]
        value = of(found.cut)
        assert abs(found.conductance - value) <= 1e-12 * value, name
        assert exact.holds(0.0, least, found.upper) or found.upper_kind not in PROVEN, name
        assert exact.holds(0.0, rate, found.gap_upper), name
        # as tight as a sum of some terms is rounded
        assert found.gap_upper <= 2 * found.conductance * (1 + 1e-10), name
        if found.lower_kind in PROVEN:
            assert exact.holds(found.lower, least, found.upper), name
            assert exact.holds(found.gap_lower, rate, found.gap_upper), name


def test_log_sobolev_constants():
    for name, rng, chain, A, pi, inside in cases("reversible"):
        chain = chain if inside.all() else chain.restrict(inside)
        if not chain.is_reversible or len(A) < 2:
            continue
        found, F = fe.modified_log_sobolev(chain, rng=0), pi[:, None] * A
        gap, v = exact.symmetric_eigenpairs(A, pi)
        assert exact.holds(0.0, gap[1], 1e9) and found.lower <= found.upper, name
        trials = [exact.number(rng.normal(size=len(A)) * size) for size in (0.01, 1, 8)]
        trials += [s * v[:, 1] / max(abs(v[:, 1])) for s in (-1, 1)]
        for logs in trials:
            f = np.array([mpmath.exp(x) for x in logs])
            f = f / (pi * f).sum()
            logs = np.array([mpmath.log(x) for x in f])
            entropy = (pi * f * logs).sum()
            form = (F * (f[:, None] - f) * (logs[:, None] - logs)).sum() / 2
            if found.lower_kind in PROVEN:
                assert 2 * found.lower * entropy <= form, name
            before = exact.distances(f * pi, pi)["kl"]
            after = exact.distances((f * pi) @ A, pi)["kl"]
            if found.discrete_kind in PROVEN:
                assert after <= mpmath.exp(-2 * mpmath.mpf(found.discrete_rate)) * before, name


def test_the_trial_density_attains_the_upper_end():
    """`upper` is the functional of a density, from above: not below its value, and by no more than
    rounding above it."""
    n_trials = 0
    for name, _, chain, A, pi, inside in cases("reversible"):
        chain = chain if inside.all() else chain.restrict(inside)
        if not chain.is_reversible or len(A) < 3:
            continue
        found = fe.modified_log_sobolev(chain, rng=0)
        rates, X = exact.symmetric_eigenpairs(A, pi)
        if found.trial == 0 or rates[1] < 1e-3 or rates[2] - rates[1] < 1e-3:
            continue
        v = X[:, 1] / max(abs(X[:, 1]))
        values = []
        for s in (-found.trial, found.trial):  # the sign of v is free
            f = np.array([mpmath.exp(s * x) for x in v])
            f = f / (pi * f).sum()
            logs = np.array([mpmath.log(x) for x in f])
            form = ((pi[:, None] * A) * (f[:, None] - f) * (logs[:, None] - logs)).sum() / 2
            values.append(form / (pi * f * logs).sum() / 2)
        near = min(values, key=lambda value: abs(value - found.upper))
        assert abs(found.upper - near) <= 1e-6 * near, (name, found, values)
        n_trials += 1
    assert n_trials > 0.03 * N_CHAINS
