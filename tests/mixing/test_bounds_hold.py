"""Everything that is returned as a lower or an upper bound of how a chain mixes: on 1,000 random reversible chains of seven kinds each, and on
real chains; against dense arithmetic in wider precision, LAPACK, and brute force over cuts and pairs. Bounds carry their own rounding;
what is granted beside it stands in `GRANTED`. A bound that says nothing must be of kind "none"."""

import csv
import gzip
import math
import os
import sys
import warnings
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import gallery
import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose
from scipy.sparse.linalg import LinearOperator, eigsh
from scipy.spatial.distance import cdist

import fastebm as fe
from fastebm.mixing import curve, time_search

N_CHAINS = 1000
# The rounding of the reference: sums of some hundred terms in doubles, and of LAPACK's eigenvalues of matrices of norm one.
GRANTED, LAPACK = 1e-11, 1e-13
dobrushin = sys.modules["fastebm.mixing.dobrushin"]


def random_chains(largest):
    """1,000 chains, (name, P, pi), of every kind in turn."""
    rng = np.random.default_rng(20261126)
    for i in range(N_CHAINS):
        kind = gallery.VARIED[i % len(gallery.VARIED)]
        yield (
            f"{kind}, chain {i}",
            *gallery.varied_reversible(kind, int(rng.integers(2, largest + 1)), rng),
        )


@pytest.fixture(autouse=True)
def quiet():
    """Gaps below rounding warn that they are known from above only: the bounds are to hold all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        yield


# ------------------------------------------------------------------------------------------------------ what must hold


def t_mix(P, pi, eps):
    """The exact mixing time by squaring and bisection, in long doubles, rows divided by their sums: entries keep their relative accuracy."""
    powers, pi = [P / P.sum(axis=1, keepdims=True)], np.asarray(pi)
    reached = eps * (1 + time_search.TIE)

    def distance(X):
        return np.abs(X - pi).sum(axis=1).max() / 2

    if (1 - pi).max() <= reached:
        return 0
    while distance(powers[-1]) > reached:
        X = powers[-1] @ powers[-1]
        powers.append(X / X.sum(axis=1, keepdims=True))
    X, t = np.eye(len(P), dtype=P.dtype), 0
    for k in range(len(powers) - 2, -1, -1):
        Y = X @ powers[k]
        if distance(Y) > reached:
            X, t = Y / Y.sum(axis=1, keepdims=True), t + 2**k
    return t + 1


def check_mixing_time(found, exact, name):
    for bound in found.bounds["lower"].values():
        assert bound <= exact, (name, found)
    for bound in found.bounds["upper"].values():
        assert bound >= exact, (name, found)
    assert found.lower <= exact <= found.upper == found.steps, name
    for value, nothing, kind, method in (
        (found.lower, 0, found.lower_kind, found.lower_method),
        (found.upper, math.inf, found.upper_kind, found.upper_method),
    ):
        assert kind in ("rigorous", "probabilistic", "estimate", "none")
        assert (kind == "none") == (method == "none") and (kind != "none" or value == nothing), name
        assert value != nothing or kind == "none" or exact == nothing, name


def check_curve(chain, P, starts, n_steps, name):
    """Each recorded distance against the definition, and below its bound from either gap."""
    P = P.astype(np.longdouble)
    P /= P.sum(axis=1)[:, None]
    pi = reference.gth(P)
    mu, exact = np.eye(len(P), dtype=np.longdouble)[starts], []
    for _ in range(n_steps + 1):
        g = mu / pi - 1
        with np.errstate(divide="ignore", invalid="ignore"):
            kl = np.where(mu > 0, mu * np.log(mu / pi), 0).sum(axis=1)
        chi2 = (pi * g * g).sum(axis=1)
        exact.append([np.abs(mu - pi).sum(axis=1) / 2, kl, chi2, (-g).max(axis=1), np.sqrt(chi2)])
        mu = mu @ P
    exact = dict(zip(curve.ALL_DISTANCES, np.moveaxis(np.array(exact), 0, -1)))
    for kind in ("absolute", "multiplicative"):
        gap = fe.spectral_gap(chain, kind=kind, rng=0)
        found = fe.mixing_curve(chain, starts, n_steps, gap=gap, distances=curve.ALL_DISTANCES)
        assert found.bounds_kind == gap.lower_kind and (
            gap.gap_lower > 0 or found.bounds_kind in ("none", "rigorous")
        ), name
        for distance, bound in found.bounds.items():
            assert (exact[distance] <= bound * (1 + GRANTED) + 1e-17).all(), (
                name,
                kind,
                distance,
            )  # which cancels at that size
            assert (getattr(found, distance) <= bound * (1 + GRANTED) + 1e-30).all(), (
                name,
                kind,
                distance,
            )
        assert (found.bounds["tv"] <= 1).all() and (found.bounds["separation"] <= 1).all()


def conductance_of(F, pi, S):
    return F[S][:, ~S].sum() / min(pi[S].sum(), pi[~S].sum())


def all_cuts(n):
    for size in range(1, n // 2 + 1):
        for S in combinations(range(n), size):
            yield np.isin(np.arange(n), S)


def check_conductance(found, F, pi, least, gap, name):
    """least: the conductance of the best cut, or of the best one known."""
    S = found.cut
    assert found.conductance == pytest.approx(conductance_of(F, pi, S), rel=1e-9), name
    assert_allclose([found.flow, found.mass], [F[S][:, ~S].sum(), pi[S].sum()], rtol=1e-9)
    assert found.lower <= least * (1 + GRANTED), name
    assert (
        found.conductance * (1 + GRANTED) >= least
        and found.gap_upper * (1 + GRANTED) >= gap - LAPACK
    ), name
    assert found.gap_lower <= gap + LAPACK and found.lower <= 0.5 * gap + LAPACK
    assert (found.lower_kind == "none") == (found.lower == 0) and found.upper_kind == "rigorous", (
        name
    )


def check_log_sobolev(m, chain, P, F, pi, densities, name):
    assert (m.lower_kind == "none") == (m.lower == 0) and (m.discrete_kind == "none") <= (
        m.discrete_rate == 0
    ), name
    assert m.lower <= m.upper and m.upper_kind == "rigorous", name
    for logs in densities:
        f = np.exp(logs - logs.max())
        f /= pi @ f
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = pi @ np.where(f > 0, f * np.log(f) - f + 1, 1)
            form = 0.5 * np.where(f > 0, F * (f[:, None] - f) * (logs[:, None] - logs), 0).sum()
        assert 2 * m.lower * entropy <= form * (1 + GRANTED) + 1e-16 * pi @ f, name
        law = f * pi / (f @ pi)
        kl = fe.mixing_curve(chain, law[None] / law.sum(), 3, distances="kl").kl[0]
        assert (
            kl <= np.exp(-2 * m.discrete_rate * np.arange(4)) * kl[0] * (1 + GRANTED) + 1e-16
        ).all(), name


def check_dobrushin(found, P, name):
    distance = 0.5 * cdist(P, P, "cityblock")
    assert found.lower <= distance.max() + 1e-15 and distance.max() <= found.upper + 1e-15, name
    assert found.lower == pytest.approx(distance[found.pair], abs=1e-13), name
    assert (found.lower_kind == "none") == (found.lower == 0 and not found.is_exact), name
    assert (found.upper_kind == "none") == (found.upper == 1 and not found.is_exact), name


def check_autocorrelation(chain, exact, f, name, granted):
    found = fe.autocorrelation(chain, f)
    assert found.lower <= exact * (1 + granted) and exact * (1 - granted) <= found.upper, (
        name,
        exact,
        found,
    )
    assert (found.lower_kind == "none") == (found.lower == 0) and (found.upper_kind == "none") == (
        found.upper == math.inf
    ), name


# ------------------------------------------------------------------------------------------------- 1,000 random chains


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
    for name, P, pi in random_chains(9):
        found = fe.dobrushin(fe.MarkovChain(P))
        check_dobrushin(found, P, name)
        proper += not found.is_exact
    assert proper > 100


def test_asymptotic_variances():
    rng = np.random.default_rng(4)
    for name, P, pi in random_chains(7):
        f = rng.normal(size=len(P))
        check_autocorrelation(
            fe.MarkovChain(P), reference.asymptotic_variance(P, f, dps=150), f, name, GRANTED
        )


# ------------------------------------------------------------------------------------------------------- real chains


def histories(name, n_words):
    """The histories of the most frequent words (phones) of a language model and of the sentence start, which the words enter with 1e-99."""
    model = fe.datasets.load(name)
    first, last, words = model.labels.first, model.labels.last, model.labels.words
    row = model._scaled.row_range(model.n_states - 1, model.n_states)
    chosen = np.zeros(len(words) + 1, bool)
    chosen[[*last[row.indices[np.argsort(-row.data)[:n_words]]], words.index("<s>"), -1]] = True
    return model.restrict(chosen[first] & chosen[last]).largest_class(), True


def phones():
    return histories("english-phones", 25)


def trigrams():
    return histories("english-trigram", 20)


@lru_cache
def network():
    """The word association network of Mistral as conductances: 20,339 words."""
    path = Path(os.environ.get("FASTEBM_SHARED_DATA", ""), "llm_word_association_mistral.csv.gz")
    if "FASTEBM_SHARED_DATA" not in os.environ or not path.exists():
        pytest.skip("FASTEBM_SHARED_DATA does not name the folder of real inputs")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    number = {
        word: i
        for i, word in enumerate(sorted({row[end] for row in rows for end in ("src", "tgt")}))
    }
    source, target = ([number[row[end]] for row in rows] for end in ("src", "tgt"))
    return fe.MarkovChain.from_edges(
        source, target, [float(row["wt"]) for row in rows], symmetric=True
    )


def associations():
    """Its most frequent words."""
    return network().restrict(np.argsort(network().pi, kind="stable")[-400:]).largest_class(), False


@pytest.fixture(
    scope="module", params=[phones, trigrams, associations], ids=lambda build: build.__name__
)
def real(request):
    if request.param is not associations:
        pytest.importorskip(
            "pocketsphinx", reason="needs the language models of the pocketsphinx wheel"
        )
        pytest.importorskip(
            "vaderSentiment", reason="needs the valences of the vaderSentiment wheel"
        )
    chain, general = request.param()
    assert 300 < chain.n_states < 1000
    return chain, fe.reversibilize(chain) if general else chain


def test_every_bound_on_real_chains(real, monkeypatch):
    monkeypatch.setattr(time_search, "MAX_DENSE", 0)
    monkeypatch.setattr(dobrushin, "MAX_PAIRS", 1)
    general, chain = real
    rng, P, n = np.random.default_rng(5), chain.to_scipy().toarray(), chain.n_states
    pi = reference.gth(P)
    F, root = pi[:, None] * P, np.sqrt(pi)
    values, vectors = np.linalg.eigh(
        0.5 * (root[:, None] * P / root + (root[:, None] * P / root).T)
    )
    gap = 1 - values[-2]

    lazy = chain.lazy(0.1)
    check_mixing_time(
        fe.mixing_time(lazy, max_steps=100), t_mix(lazy.to_scipy().toarray(), pi, 0.25), "real"
    )
    check_curve(chain, P, [int(np.argmax(pi)), int(np.argmin(pi)), 1], 15, "real")

    f = vectors[:, -2] / root
    cuts = [f < level for level in np.quantile(f, np.linspace(0.01, 0.99, 50))] + [
        np.arange(n) == x for x in range(n)
    ]
    least = min(conductance_of(F, pi, S) for S in cuts if 0 < S.sum() < n)
    found = fe.conductance(chain, rng=0)
    check_conductance(found, F, pi, min(least, found.conductance), gap, "real")
    assert found.conductance <= min(conductance_of(F, pi, S) for S in cuts[:50]) * (1 + 1e-6)

    densities = [*(s * f / np.abs(f).max() for s in (-2, 0.1, 2)), rng.normal(size=n)]
    check_log_sobolev(fe.modified_log_sobolev(chain, rng=0), chain, P, F, pi, densities, "real")
    for each in (general, chain):
        Q = each.to_scipy().toarray()
        check_dobrushin(fe.dobrushin(each), Q, "real")
        g = rng.normal(size=n)
        check_autocorrelation(each, variance(Q, g), g, "real", 1e-9)


def variance(P, f):
    """sigma^2 by LAPACK, with the diagonal of what leaves each state."""
    pi = reference.gth(P)
    g, keep = f - pi @ f, np.arange(len(P)) != np.argmax(pi)
    M = (
        np.diag(np.where(np.eye(len(P), dtype=bool), 0, P).sum(axis=1)[keep])
        - np.where(np.eye(len(P), dtype=bool), 0, P)[np.ix_(keep, keep)]
    )
    h = np.zeros(len(P))
    h[keep] = np.linalg.solve(M, g[keep])
    return 2 * pi @ (g * h) - pi @ (g * g)


def test_bounds_on_a_whole_network_against_its_evolution():
    """SciPy's products stand in for the dense references."""
    chain = network()
    P, pi, n = chain.to_scipy().T.tocsr(), chain.pi, chain.n_states
    rng = np.random.default_rng(6)
    starts = np.unique([int(np.argmin(pi)), int(np.argmax(pi)), *rng.integers(n, size=2)])
    found = fe.mixing_time(chain, max_steps=60)
    check_mixing_time(found, found.lower, "network")  # confirmed below
    curve = fe.mixing_curve(
        chain,
        starts,
        found.upper,
        gap=fe.spectral_gap(chain, kind="absolute", rng=0),
        distances=("tv", "kl", "chi2"),
    )
    mu, worst = np.zeros((n, len(starts) + 1)), found.worst_start
    mu[np.append(starts, worst), np.arange(len(starts) + 1)] = 1
    m = fe.modified_log_sobolev(chain, tol=1e-4, rng=0)
    for t in range(found.upper + 1):
        tv, chi2 = (
            np.abs(mu - pi[:, None]).sum(axis=0) / 2,
            ((mu - pi[:, None]) ** 2 / pi[:, None]).sum(axis=0),
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            kl = np.where(mu > 0, mu * np.log(mu / pi[:, None]), 0).sum(axis=0)
        for name, exact in (("tv", tv), ("kl", kl), ("chi2", chi2)):
            assert (exact[:-1] <= curve.bounds[name][:, t] * (1 + GRANTED) + 1e-13).all(), (name, t)
        assert (
            kl[:-1] <= np.exp(-2 * m.discrete_rate * t) * curve.kl[:, 0] * (1 + GRANTED) + 1e-13
        ).all()
        assert t >= found.lower or tv[-1] > 0.25
        mu = P @ mu
    assert (
        (tv <= 0.25).all()
        and found.lower > 1
        and m.discrete_rate > 0
        and curve.bounds_kind == "estimate"
    )

    cut = fe.conductance(chain, tol=1e-4, rng=0)
    F = chain.to_scipy().multiply(pi[:, None]).tocsr()
    assert (
        cut.conductance
        == pytest.approx(F[cut.cut][:, ~cut.cut].sum() / pi[cut.cut].sum(), rel=1e-9)
        and pi[cut.cut].sum() <= 0.5
    )
    top = eigsh(
        LinearOperator(
            (n, n),
            matvec=lambda x: (
                np.sqrt(pi) * (P.T @ (x.ravel() / np.sqrt(pi)))
                - np.sqrt(pi) * (np.sqrt(pi) @ x.ravel())
            ),
            dtype=float,
        ),
        k=1,
        which="LA",
        tol=1e-9,
        v0=np.ones(n) + np.arange(n) % 2,
        return_eigenvectors=False,
    )[0]
    assert (
        cut.gap_lower <= 1 - top <= cut.gap_upper
        and cut.lower <= 0.5 * (1 - top) + 1e-9
        and cut.upper <= cut.conductance
    )
    assert fe.dobrushin(chain).upper_kind == "rigorous" and fe.dobrushin(chain).lower == 1

    f = np.sqrt(pi) * rng.normal(size=n) * np.sqrt(n)
    g = f - pi @ f
    total, x = pi @ g**2, g
    T = chain.to_scipy()
    for _ in range(300):  # 0.9^300 of it is left
        x = T @ x
        total += 2 * pi @ (g * x)
    check_autocorrelation(chain, total, f, "network", 1e-9)
