"""Hitting quantities of small chains in multiprecision, by elimination without subtractions.

Everything is a function of the off-diagonal entries of P divided by their row sums; the diagonal is
what is left of one. States are lists of numbers; P is a dense array of doubles.
"""

import mpmath as mp
import numpy as np
import reference

DIGITS = 60


def rates(P):
    """P as rows of mpf, each divided by its sum; to be called in a precision of DIGITS."""
    rows = [[mp.mpf(float(p)) for p in row] for row in P]
    totals = [mp.fsum(row) for row in rows]
    return [[p / total for p in row] for row, total in zip(rows, totals, strict=True)]


def green(A, inside):
    """N = (I - A_BB)^-1 as rows of mpf: mean numbers of visits to B = `inside`, which the chain
    leaves almost surely (Grassmann, Taksar & Heyman 1985)."""
    m = len(inside)
    out = [[A[x][y] for y in inside] for x in inside]
    leak = [mp.fsum(a for y, a in enumerate(A[x]) if y not in inside) for x in inside]
    visits = [[mp.mpf(i == j) for j in range(m)] for i in range(m)]
    exits = []
    for k in range(m):
        exits.append(leak[k] + mp.fsum(out[k][k + 1 :]))
        for i in range(k + 1, m):
            share = out[i][k] / exits[k]
            if share == 0:
                continue
            leak[i] += share * leak[k]
            for j in range(k + 1, m):
                out[i][j] += share * out[k][j]
            for j in range(m):
                visits[i][j] += share * visits[k][j]
    for k in reversed(range(m)):
        for j in range(m):
            later = mp.fsum(out[k][i] * visits[i][j] for i in range(k + 1, m))
            visits[k][j] = (visits[k][j] + later) / exits[k]
    return visits


def _times(matrix, vector):
    return [mp.fsum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def hitting_moments(P, target):
    """(E tau, E tau^2) as lists of mpf, inf where the target may be missed."""
    A, n = rates(P), len(P)
    lost = ~reference.reachable(P.T, target)
    unsure = reference.reachable(P.T, lost, blocked=target)
    inside = [x for x in range(n) if x not in target and not unsure[x]]
    N = green(A, inside)
    mean = _times(N, [mp.mpf(1)] * len(inside))
    second = _times(N, [2 * h - 1 for h in mean])
    result = []
    for values in (mean, second):
        whole = [mp.inf if unsure[x] else mp.mpf(0) for x in range(n)]
        for x, value in zip(inside, values, strict=True):
            whole[x] = value
        result.append(whole)
    return tuple(result)


def first_hits(P, sets, avoid=()):
    """(probabilities that each of `sets` is hit first, and never or `avoid` first, as columns; mean
    time until one of them, or a state that reaches none, is entered)."""
    A, n = rates(P), len(P)
    targets = [x for members in sets for x in members]
    lost = np.flatnonzero(~reference.reachable(P.T, targets, blocked=avoid))
    columns = [*sets, list(lost)]
    inside = [x for x in range(n) if not any(x in members for members in columns)]
    N = green(A, inside)
    probability = [[mp.mpf(x in members) for x in range(n)] for members in columns]
    time = [mp.mpf(0)] * n
    for values, members in zip(probability, columns, strict=True):
        b = [mp.fsum(A[x][y] for y in members) for x in inside]
        for x, u in zip(inside, _times(N, b), strict=True):
            values[x] = u
    for x, t in zip(inside, _times(N, [mp.mpf(1)] * len(inside)), strict=True):
        time[x] = t
    return probability, time


def law(P):
    """pi as a list of mpf, zero on transient states; None if there are several closed classes."""
    A, n = rates(P), len(P)
    labels, closed = reference.scc(P)
    if closed.sum() != 1:
        return None
    members = np.flatnonzero(closed[labels])
    z, others = int(members[0]), [int(x) for x in members[1:]]
    N = green([[A[x][y] for y in members] for x in members], list(range(1, len(members))))
    visits = [mp.fsum(A[z][x] * N[i][j] for i, x in enumerate(others)) for j in range(len(others))]
    total, pi = 1 + mp.fsum(visits), [mp.mpf(0)] * n
    pi[z] = 1 / total
    for x, value in zip(others, visits, strict=True):
        pi[x] = value / total
    return pi


def kemeny(P):
    """Kemeny's constant: trace N - sum pi h without the most probable state, where the difference
    cancels least."""
    A, pi = rates(P), law(P)
    z = max(range(len(P)), key=lambda x: pi[x])
    members = [x for x in range(len(P)) if pi[x] > 0 and x != z]
    N = green(A, members)
    h = _times(N, [mp.mpf(1)] * len(N))
    mean = mp.fsum(pi[x] * value for x, value in zip(members, h, strict=True))
    return mp.fsum(N[i][i] for i in range(len(N))) - mean


def exit_rate(P, inside):
    """1 - lambda_B, B = `inside`, to 1e-18: N^(2^k) grows like (1 - lambda_B)^(-2^k)."""
    N = np.array(green(rates(P), inside))
    log_scale, k = mp.mpf(0), 64
    for step in range(k):
        largest = N.max()
        N = N / largest
        N = N @ N
        log_scale += mp.log(largest) / 2**step
    return mp.exp(-(log_scale + mp.log(N.max()) / 2**k))
