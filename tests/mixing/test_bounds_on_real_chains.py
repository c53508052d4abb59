"""Every lower and upper bound on how a chain mixes, on chains from real data."""

import sys

import numpy as np
import pytest
import reference
from mixing_bounds import (
    GRANTED,
    check_autocorrelation,
    check_conductance,
    check_curve,
    check_dobrushin,
    check_log_sobolev,
    check_mixing_time,
    conductance_of,
    t_mix,
)
from scipy.sparse.linalg import LinearOperator, eigsh
from word_network import word_network

import fastebm as fe
from fastebm.mixing import time_search

dobrushin = sys.modules["fastebm.mixing.dobrushin"]
pytestmark = pytest.mark.usefixtures("quiet")


def histories(name, n_words):
    """The histories that consist of the most frequent words (phones) of a language model and of the
    sentence start, which follows a word with probability 1e-99."""
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


def associations():
    """The most frequent words of the word network."""
    _, network = word_network()
    return network.restrict(np.argsort(network.pi, kind="stable")[-400:]).largest_class(), False


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
    """sigma^2 by LAPACK; the diagonal of I - P is summed from the off-diagonal entries."""
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
    """With SciPy's sparse products in place of dense references."""
    _, chain = word_network()
    P, pi, n = chain.to_scipy().T.tocsr(), chain.pi, chain.n_states
    rng = np.random.default_rng(6)
    starts = np.unique([int(np.argmin(pi)), int(np.argmax(pi)), *rng.integers(n, size=2)])
    found = fe.mixing_time(chain, max_steps=60)
    check_mixing_time(found, found.lower, "network")  # verified below
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
        and curve.bounds_kind in ("rigorous", "probabilistic")
    )

    cut = fe.conductance(chain, tol=1e-4, rng=0)
    F = chain.to_scipy().multiply(pi[:, None]).tocsr()
    assert (
        cut.conductance
        == pytest.approx(F[cut.cut][:, ~cut.cut].sum() / pi[cut.cut].sum(), rel=1e-9, abs=0.0)
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
        and cut.upper <= cut.conductance * (1 + 1e-11)
    )
    assert fe.dobrushin(chain).upper_kind == "rigorous" and fe.dobrushin(chain).lower == 1

    f = np.sqrt(pi) * rng.normal(size=n) * np.sqrt(n)
    g = f - pi @ f
    total, x = pi @ g**2, g
    T = chain.to_scipy()
    for _ in range(300):  # the rest is 0.9^300 of it
        x = T @ x
        total += 2 * pi @ (g * x)
    check_autocorrelation(chain, total, f, "network", 1e-9)
