"""Mixing times by definition, for the tests."""

import gallery
import numpy as np
import reference

import fastebm as fe
from fastebm.mixing import time_search

TIE = 1 + time_search.TIE


def chain_of(P):
    return P if isinstance(P, fe.MarkovChain) else fe.MarkovChain(P)


def by_stepping(P, eps, states=None, limit=100_000):
    """(t_mix, mixing time of each start) by definition, P^t step by step."""
    P, pi = reference.dense(P), reference.gth(P)
    mu = np.eye(len(P))[slice(None) if states is None else states]
    own = np.full(len(mu), -1)
    for t in range(limit):
        own[(np.abs(mu - pi).sum(axis=1) / 2 <= eps * TIE) & (own < 0)] = t
        if (own >= 0).all():
            return own.max(), own
        mu = mu @ P
    raise AssertionError("the test's chain is too slow")


def first_below(tv, eps):
    return next(t for t in range(10**6) if tv(t) <= eps * TIE)


def lazy_weight(m):
    """The Hamming weight of the lazy walk on the m-cube. From weight 0 its TV is that of the
    walk."""
    k = np.arange(m + 1)
    return gallery.birth_death((m - k) / m / 2, k / m / 2, gap=False)


def by_powers(P, eps):
    """t_mix by squaring and bisection with plain matrix powers, for small chains that are not
    metastable."""
    P, pi = reference.dense(P), reference.gth(P)
    low, high = 0, 1

    def distance(t):
        return np.abs(np.linalg.matrix_power(P, t) - pi).sum(axis=1).max() / 2

    while distance(high) > eps:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if distance(middle) > eps else (low, middle)
    return high
