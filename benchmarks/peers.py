"""What a user would pick instead, written as its documentation suggests."""

import numpy as np
import scipy.sparse as sp
from numba import njit
from scipy.sparse.linalg import eigsh, spsolve


def tilt(q, reward, beta):
    """log Z and the new matrix, entry by entry."""
    weight = np.exp(reward / beta)
    values = q.data * weight[q.indices]
    Z = np.add.reduceat(values, q.indptr[:-1])
    sp.csr_array((values / np.repeat(Z, np.diff(q.indptr)), q.indices, q.indptr), shape=q.shape)
    return np.log(Z)


def symmetrize(P, log_pi):
    S = P.copy()
    S.data *= np.exp(0.5 * (np.repeat(log_pi, np.diff(P.indptr)) - log_pi[P.indices]))
    return S


def gap_eigsh(S):
    values = eigsh(S, k=2, which="LA", tol=1e-10, return_eigenvectors=False, v0=np.random.default_rng(0).random(S.shape[0]))
    return 1.0 - values.min()


def hitting_spsolve(P, target):
    inside = np.flatnonzero(~target)
    P_BB = P[inside][:, inside]
    h = np.zeros(len(target))
    h[inside] = spsolve((sp.eye_array(len(inside)) - P_BB).tocsc(), np.ones(len(inside)))
    return h


def mixing(P, pi, starts, n_steps):
    PT = P.T.tocsr()
    tv = np.empty((len(starts), n_steps + 1))
    for i, start in enumerate(starts):
        mu = np.zeros(len(pi))
        mu[start] = 1.0
        for t in range(n_steps + 1):
            tv[i, t] = 0.5 * np.abs(mu - pi).sum()
            ratio = np.where(mu > 0, mu / pi, 1.0)
            (mu * np.log(ratio)).sum()
            mu = PT @ mu
    return tv


def cumulative(P):
    """Cumulative sums of each row, the last one 1."""
    total = np.cumsum(P.data)
    before = np.concatenate([[0.0], total])[P.indptr[:-1]]
    cdf = total - np.repeat(before, np.diff(P.indptr))
    cdf[P.indptr[1:] - 1] = 1.0
    return cdf


@njit(nogil=True)
def _walk(indptr, indices, cdf, paths):
    for w in range(paths.shape[0]):
        x = paths[w, 0]
        for t in range(1, paths.shape[1]):
            low, high, u = indptr[x], indptr[x + 1] - 1, np.random.random()
            while low < high:
                middle = (low + high) // 2
                if cdf[middle] > u:
                    high = middle
                else:
                    low = middle + 1
            x = indices[low]
            paths[w, t] = x


def walk(P, cdf, starts, n_steps):
    paths = np.empty((len(starts), n_steps + 1), np.int32)
    paths[:, 0] = starts
    _walk(P.indptr, P.indices, cdf, paths)
    return paths
