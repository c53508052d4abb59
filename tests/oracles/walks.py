"""Small chains and comparisons for the tests of simulations.

Seeds are fixed, so no test is flaky. For a random seed a correct program fails a comparison at 4
standard errors with probability 6e-5, and the band of a curve with probability 1e-6.
"""

import json

import numpy as np
import scipy.sparse as sp

import fastebm as fe

N_SIGMA = 4.0


def two_states(a, b):
    return fe.MarkovChain(sp.csr_array(np.array([[1 - a, a], [b, 1 - b]])))


def cycle(n, holding=0.0):
    step = sp.diags_array([0.5, 0.5, 0.5, 0.5], offsets=[1, -1, n - 1, 1 - n], shape=(n, n))
    return fe.MarkovChain(sp.csr_array((1 - holding) * step + holding * sp.eye_array(n)))


def ruin(n, up=0.5):
    """The gambler's walk on 0..n, absorbed at both ends."""
    P = np.diag([up] * n, 1) + np.diag([1 - up] * n, -1)
    P[0, :2], P[n, n - 1 :] = [1, 0], [0, 1]
    return fe.MarkovChain(P)


def random_chain(n, degree, rng):
    P = sp.random_array(
        (n, n), density=degree / n, rng=rng, data_sampler=lambda size: rng.random(size) ** 3
    )
    P = P + sp.diags_array(np.ones(n - 1), offsets=1, shape=(n, n)) + sp.eye_array(n)
    return fe.MarkovChain(sp.csr_array(P), normalize=True)


def assert_mean(sample, exact):
    assert sample.n_censored == 0 and sample.converged and not sample.mean_is_lower_bound
    assert abs(sample.mean - exact) < N_SIGMA * sample.std / np.sqrt(sample.n_walkers)


def assert_survival(sample, exact):
    """Dvoretzky-Kiefer-Wolfowitz (constant of Massart 1990): P(sup |S - exact| > e) is at most
    2 exp(-2 n e^2)."""
    band = np.sqrt(np.log(2 / 1e-6) / (2 * sample.n_walkers))
    t = np.arange(sample.survival.times[-1] + 1)
    curve = sample.survival.probability[np.searchsorted(sample.survival.times, t, side="right") - 1]
    assert np.abs(curve - exact(t)).max() < band


def comparable(found):
    """All fields but the measured speed, as text with every bit."""
    fields = found.to_dict()
    fields.get("escape", fields).pop("steps_per_second")
    return json.dumps(fields)
