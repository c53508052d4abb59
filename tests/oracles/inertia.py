"""How many eigenvalues of I - P lie below a number: Sylvester's law of inertia, by a sparse LDL^T
without subtractions.

For a reversible chain with flux F = diag(pi) P, the matrix diag(pi) (I - P - sigma) has the
off-diagonal entries -F and row sums -sigma pi. Elimination keeps the off-diagonal fluxes and the
row sums: the fluxes stay sums of non-negative numbers, the row sums sums of numbers of one sign,
and a pivot is the sum of both. A pivot is accurate unless its two parts cancel. States where they
nearly do are kept for a dense block at the end, whose eigenvalues are counted; a block with an
eigenvalue near zero leaves the count open.
"""

import numba
import numpy as np

# A pivot keeps at least this part of the fluxes that it is the sum of; a state with a smaller one
# waits for the block.
SAFE = 0.03
EPS = np.finfo(float).eps


class Inertia:
    """The counts of one chain.

    Parameters
    ----------
    n : int
    source, target, flux : array (n_edges,)
        The edges between different states, each once; fluxes positive.
    hold : array (n,)
        The flux from each state to itself.
    """

    def __init__(self, n, source, target, flux, hold):
        rows, columns = np.r_[source, target], np.r_[target, source]
        flux = np.r_[flux, flux].astype(float)
        order = np.lexsort((columns, rows))
        rows, columns, flux = rows[order], columns[order], flux[order]
        first = np.ones(len(rows), dtype=bool)
        first[1:] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
        at = np.flatnonzero(first)
        self.n = n
        self.flux = np.add.reduceat(flux, at) if len(at) else flux
        self.columns = columns[at].astype(np.int64)
        self.begin = np.searchsorted(rows[at], np.arange(n + 1)).astype(np.int64)
        self.pi = np.bincount(rows[at], self.flux, minlength=n) + hold

    def count(self, sigma):
        """(least, most): how many eigenvalues of I - P lie below sigma; equal unless sigma is too
        near to one of them."""
        values = self._block(sigma)
        rounding = 4 * self.n * EPS / SAFE
        return int((values < -rounding).sum()), int((values < rounding).sum())

    def eigenvalue(self, k, rtol=1e-10, low=1e-300, high=2.0):
        """The k-th smallest eigenvalue of I - P, of which 0 is the first, to a relative rtol."""
        low, high = np.log(low), np.log(high)
        while high - low > rtol:
            middle = (low + high) / 2
            if (self._block(np.exp(middle)) < 0).sum() >= k:
                high = middle
            else:
                low = middle
        return float(np.exp((low + high) / 2))

    def _block(self, sigma):
        """The eigenvalues of the dense block, its diagonal scaled to one."""
        leak = -sigma * self.pi
        block = _eliminate(self.n, self.begin, self.columns, self.flux, leak, SAFE)
        scale = np.sqrt(np.abs(np.diag(block)))
        scale[scale == 0] = 1
        return np.linalg.eigvalsh(block / scale[:, None] / scale) if len(block) else np.zeros(0)


@numba.njit(cache=True)
def _eliminate(n, begin, columns, flux, leak, safe):
    """The dense block of the states without a safe pivot, after all others are eliminated in the
    order of their degrees. leak is overwritten.

    Rows are linked lists of (column, flux); when the rest is nearly complete it becomes a matrix.
    """
    room = 4 * len(columns) + 16 * n + 64
    column, value = np.empty(room, np.int64), np.empty(room)
    after = np.empty(room, np.int64)
    used, free = 0, -1
    head, degree = np.full(n, -1, np.int64), np.zeros(n, np.int64)
    for x in range(n):
        for e in range(begin[x], begin[x + 1]):
            column[used], value[used], after[used] = columns[e], flux[e], head[x]
            head[x] = used
            used += 1
            degree[x] += 1
    # 0 live, 1 eliminated, 2 without a safe pivot
    state = np.zeros(n, np.int8)
    # States by degree: doubly linked lists.
    first, right, left = (
        np.full(n + 1, -1, np.int64),
        np.full(n, -1, np.int64),
        np.full(n, -1, np.int64),
    )
    for x in range(n):
        _insert(x, degree[x], first, right, left)
    place = np.full(n, -1, np.int64)
    names, weights = np.empty(n, np.int64), np.empty(n)
    live, lowest = n, 0
    while live:
        lowest = 0
        while first[lowest] < 0:
            lowest += 1
        if live > 2 and 2 * lowest > live:
            break
        k = first[lowest]
        _remove(k, degree[k], first, right, left)
        live -= 1
        m, total, e = 0, 0.0, head[k]
        while e >= 0:
            names[m], weights[m] = column[e], value[e]
            total += value[e]
            m += 1
            e = after[e]
        pivot = total + leak[k]
        if not pivot > safe * total:
            state[k] = 2
            continue
        state[k] = 1
        # Room for the fill: m (m - 1) entries at most.
        if used + m * m > room:
            room = 2 * room + m * m
            column, value, after = (
                _longer(column, room),
                _longer_floats(value, room),
                _longer(after, room),
            )
        for a in range(m):
            x = names[a]
            share = weights[a] / pivot
            leak[x] += share * leak[k]
            if state[x] == 0:
                _remove(x, degree[x], first, right, left)
            # Drop k from the row and note where its columns are.
            e, before = head[x], -1
            while e >= 0:
                following = after[e]
                if column[e] == k:
                    if before < 0:
                        head[x] = following
                    else:
                        after[before] = following
                    after[e], free = free, e
                    degree[x] -= 1
                else:
                    place[column[e]] = e
                    before = e
                e = following
            for b in range(m):
                y = names[b]
                if y == x:
                    continue
                if place[y] >= 0:
                    value[place[y]] += share * weights[b]
                else:
                    if free >= 0:
                        new, free = free, after[free]
                    else:
                        new = used
                        used += 1
                    column[new], value[new], after[new] = y, share * weights[b], head[x]
                    head[x] = new
                    degree[x] += 1
            e = head[x]
            while e >= 0:
                place[column[e]] = -1
                e = after[e]
            if state[x] == 0:
                _insert(x, degree[x], first, right, left)
    # The rest as a matrix: states without a safe pivot, and live ones of high degree.
    rest = np.flatnonzero(state != 1)
    place[rest] = np.arange(len(rest))
    F = np.zeros((len(rest), len(rest)))
    for i in range(len(rest)):
        e = head[rest[i]]
        while e >= 0:
            F[i, place[column[e]]] += value[e]
            e = after[e]
    return _eliminate_dense(F, leak[rest], safe)


@numba.njit(cache=True)
def _insert(x, degree, first, right, left):
    right[x], left[x] = first[degree], -1
    if first[degree] >= 0:
        left[first[degree]] = x
    first[degree] = x


@numba.njit(cache=True)
def _remove(x, degree, first, right, left):
    if left[x] >= 0:
        right[left[x]] = right[x]
    else:
        first[degree] = right[x]
    if right[x] >= 0:
        left[right[x]] = left[x]


@numba.njit(cache=True)
def _longer(array, room):
    out = np.empty(room, np.int64)
    out[: len(array)] = array
    return out


@numba.njit(cache=True)
def _longer_floats(array, room):
    out = np.empty(room)
    out[: len(array)] = array
    return out


@numba.njit(cache=True)
def _eliminate_dense(F, leak, safe):
    """The Schur complement of the states that never have a safe pivot; each step takes the state
    whose pivot keeps most of its fluxes."""
    n = len(F)
    live = np.ones(n, np.bool_)
    for _ in range(n):
        best, at, chosen = safe, -1, 0.0
        for x in range(n):
            if live[x]:
                total = 0.0
                for y in range(n):
                    total += F[x, y]
                if total + leak[x] > best * total and total > 0:
                    best, at, chosen = (total + leak[x]) / total, x, total + leak[x]
                    if best > 0.5:
                        break
        if at < 0:
            break
        live[at] = False
        row = F[at].copy()
        for x in range(n):
            if row[x] > 0:
                share = row[x] / chosen
                leak[x] += share * leak[at]
                for y in range(n):
                    F[x, y] += share * row[y]
                F[x, x] = 0.0
                F[x, at] = 0.0
        F[at] = 0.0
        F[:, at] = 0.0
    rest = np.flatnonzero(live)
    block = np.zeros((len(rest), len(rest)))
    for i in range(len(rest)):
        total = leak[rest[i]]
        for y in range(n):
            total += F[rest[i], y]
        for j in range(len(rest)):
            block[i, j] = -F[rest[i], rest[j]]
        block[i, i] = total
    return block
