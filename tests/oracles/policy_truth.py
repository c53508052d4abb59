"""Optimal policies of small chains by dense multiprecision solves: the formulas of docs/theory.md,
section 7, and no code of the package."""

import mpmath as mp
import numpy as np

mp.mp.dps = 60


def random_chain(rng, n, *, reversible=False):
    """A random irreducible chain as a dense array, its entries spread over some orders."""
    P = rng.random((n, n)) ** 4 * (rng.random((n, n)) < max(0.3, 3.0 / n))
    P += 0.2 * np.roll(np.eye(n), 1, axis=1)
    return P + P.T if reversible else P / P.sum(axis=1, keepdims=True)


class PolicyTruth:
    """q, r and beta in multiprecision; q is the chain's own entries, each row divided by its
    sum."""

    def __init__(self, chain, reward, beta):
        dense = chain.to_scipy().toarray()
        self.n = len(dense)
        self.next = [np.flatnonzero(row) for row in dense]
        self.q = [{j: mp.mpf(float(row[j])) for j in np.flatnonzero(row)} for row in dense]
        for row in self.q:
            total = mp.fsum(row.values())
            for j in row:
                row[j] /= total
        self.beta = mp.mpf(float(beta))
        reward = np.asarray(reward, float)
        entry = reward if reward.ndim == 2 else np.broadcast_to(reward, dense.shape)
        self.r = [
            {j: mp.mpf(float(entry[i, j])) / self.beta for j in self.q[i]} for i in range(self.n)
        ]

    def bellman(self, v):
        """T v for a list v; None stands for -inf."""
        out = []
        for i in range(self.n):
            logs = [self.r[i][j] + v[j] for j in self.q[i] if v[j] is not None]
            top = max(logs)
            total = mp.fsum(
                self.q[i][j] * mp.exp(self.r[i][j] + v[j] - top)
                for j in self.q[i]
                if v[j] is not None
            )
            out.append(top + mp.log(total))
        return out

    def policy(self, v):
        """The rows of P_v, and the KL of each from q."""
        Tv, rows, kl = self.bellman(v), [], []
        for i in range(self.n):
            row = {
                j: self.q[i][j] * mp.exp(self.r[i][j] + v[j] - Tv[i])
                for j in self.q[i]
                if v[j] is not None
            }
            rows.append(row)
            kl.append(mp.fsum(p * mp.log(p / self.q[i][j]) for j, p in row.items()))
        return rows, kl

    def along(self, rows, earned, inside, discount=1):
        """The solution of x = earned + discount P x on `inside`, zero elsewhere."""
        where = [i for i in range(self.n) if inside[i]]
        place = {i: a for a, i in enumerate(where)}
        A, b = mp.eye(len(where)), mp.matrix(len(where), 1)
        for a, i in enumerate(where):
            b[a] = earned[i]
            for j, p in rows[i].items():
                if j in place:
                    A[a, place[j]] -= discount * p
        x = mp.lu_solve(A, b)
        return [x[place[i]] if i in place else mp.mpf(0) for i in range(self.n)]

    def first_exit(self, at_exit):
        """(log z, path KL) by one linear solve; at_exit: {state: reward}."""
        inside = [i not in at_exit for i in range(self.n)]
        where = [i for i in range(self.n) if inside[i]]
        place = {i: a for a, i in enumerate(where)}
        A, b = mp.eye(len(where)), mp.matrix(len(where), 1)
        for a, i in enumerate(where):
            for j, q in self.q[i].items():
                weight = q * mp.exp(self.r[i][j])
                if j in place:
                    A[a, place[j]] -= weight
                else:
                    b[a] += weight * mp.exp(mp.mpf(float(at_exit[j])) / self.beta)
        z = mp.lu_solve(A, b)
        v = [
            mp.log(z[place[i]]) if i in place else mp.mpf(float(at_exit[i])) / self.beta
            for i in range(self.n)
        ]
        rows, kl = self.policy(v)
        return v, self.along(rows, kl, inside)

    def discounted(self, discount, start):
        """(V / beta, discounted KL) by Newton's method from a start that is nearly right."""
        g, v = mp.mpf(float(discount)), [mp.mpf(float(x)) / self.beta for x in start]
        every = [True] * self.n
        for _ in range(4):
            rows, kl = self.policy([g * x for x in v])
            off = [a - b for a, b in zip(self.bellman([g * x for x in v]), v, strict=True)]
            step = self.along(rows, off, every, g)
            v = [a + b for a, b in zip(v, step, strict=True)]
        assert max(abs(x) for x in step) < mp.mpf(10) ** -40
        rows, kl = self.policy([g * x for x in v])
        return v, self.along(rows, kl, every, g)

    def average(self, start):
        """(log lambda, log v, pi, KL rate) by inverse iteration from a start that is nearly
        right."""
        n, shift = self.n, [mp.mpf(float(x)) / self.beta for x in start]
        M = mp.matrix(n, n)  # in the coordinates of the start: no overflow
        for i in range(n):
            for j, q in self.q[i].items():
                M[i, j] = q * mp.exp(self.r[i][j] + shift[j] - shift[i])
        right = self._leading(M)
        lam = mp.fsum(M[0, j] * right[j] for j in range(n)) / right[0]
        left = self._leading(M.T)
        pi = [left[i] * right[i] for i in range(n)]
        total = mp.fsum(pi)
        pi = [x / total for x in pi]
        v = [mp.log(right[i]) + shift[i] for i in range(n)]
        _, kl = self.policy(v)
        return mp.log(lam), v, pi, mp.fsum(p * k for p, k in zip(pi, kl, strict=True))

    def _leading(self, M):
        n = self.n
        x = mp.matrix([mp.mpf(1)] * n)
        for _ in range(200):
            y = M * x
            ratio = [y[i] / x[i] for i in range(n)]
            x = y / max(y)
            if max(ratio) / min(ratio) - 1 < mp.mpf(10) ** -3:
                break
        for _ in range(60):  # Noda's iteration, quadratic
            y = M * x
            ratio = [y[i] / x[i] for i in range(n)]
            width = max(ratio) / min(ratio) - 1
            if width < mp.mpf(10) ** -45:
                return x
            x = mp.lu_solve((max(ratio) * (1 + width)) * mp.eye(n) - M, x)
            x = x / max(x)
        raise AssertionError("inverse iteration did not converge")


def numbers(values):
    return np.array([float(x) for x in values])


def assert_value(found, lower, upper, exact, tol=1e-12, scale=1.0):
    """found = exact to tol relative to max(1, |exact|, scale), and exact between the ends."""
    exact = np.asarray(exact, float)
    size = np.maximum(1.0, np.maximum(np.abs(exact), scale))
    assert (np.abs(found - exact) <= tol * size).all(), np.max(np.abs(found - exact) / size)
    # the double nearest to the truth may be rounded across an end that is one, too
    ulp = 2.3e-16 * np.abs(exact)
    assert (lower <= exact + ulp).all() and (exact - ulp <= upper).all()
