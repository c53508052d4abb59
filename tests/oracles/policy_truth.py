"""Optimal policies of chains of up to some hundred states by dense multiprecision solves: the
formulas of docs/theory.md, section 7, and no code of the package.

The numbers are balls of FLINT (package python-flint), which prove their own accuracy, where that is
installed, otherwise those of mpmath: a hundred times slower from a hundred states on.
"""

import mpmath as mp
import numpy as np

try:
    import flint
except ImportError:
    flint = None

DIGITS = (60, 240, 960)  # with more of them where these do not suffice
ACCURACY = 1e-30  # of a solve; the next Newton step is about the square
SMALL = 1e-15  # of a KL, no smaller number is solved for to a relative accuracy
TINY = 1e-320  # nor is a probability below the range of doubles


def random_chain(rng, n, *, reversible=False):
    """A random irreducible chain as a dense array, its entries spread over some orders."""
    P = rng.random((n, n)) ** 4 * (rng.random((n, n)) < max(0.3, 3.0 / n))
    P += 0.2 * np.roll(np.eye(n), 1, axis=1)
    return P + P.T if reversible else P / P.sum(axis=1, keepdims=True)


if flint is None:
    mp.mp.dps = DIGITS[0]  # of what the tests make of the answers
    number, exp, log = mp.mpf, mp.exp, mp.log

    def solve(A, b, floor=0.0):
        """The solution of A x = b, lists of rows and of numbers."""
        return list(mp.lu_solve(mp.matrix(A), mp.matrix(b))) if b else []

    def middle(x):
        """A number of no uncertainty."""
        return x

    def with_digits(n):
        return mp.workdps(n)

else:
    flint.ctx.dps = DIGITS[0]
    number = flint.arb

    def exp(x):
        return x.exp()

    def log(x):
        return x.log()

    def solve(A, b, floor=0.0):
        """The solution of A x = b, lists of rows and of numbers, proven to 30 digits of each
        number or of `floor`."""
        n = len(b)
        if not n:
            return []
        matrix = flint.arb_mat(n, n, [x for row in A for x in row])
        found = matrix.solve(flint.arb_mat(n, 1, b))
        x = [found[i, 0] for i in range(n)]
        if not all(y.rad() <= ACCURACY * max(abs(y.mid()), number(floor)) for y in x):
            raise ZeroDivisionError("more digits are needed")
        return x

    def middle(x):
        """A number of no uncertainty."""
        return x.mid()

    def with_digits(n):
        return flint.ctx.workdps(n)


def precisely(method):
    """Call a method with as many digits as it needs."""

    def call(self, *args):
        for digits in DIGITS:
            with with_digits(digits):
                self.set_entries()
                try:
                    return method(self, *args)
                except ZeroDivisionError:
                    continue
        raise AssertionError("the oracle needs more digits")

    return call


class PolicyTruth:
    """q, r and beta in multiprecision; q is the chain's own entries, each row divided by its sum.
    Values are in units of beta. Every method that takes `start`, which should be nearly right,
    works in its coordinates, so that no entry overflows."""

    def __init__(self, chain, reward, beta):
        dense = chain.to_scipy().toarray()
        self.n = len(dense)
        self._beta = float(beta)
        reward = np.asarray(reward, float)
        self._rows = [(np.flatnonzero(row).tolist(), row[row != 0].tolist()) for row in dense]
        self._reward = np.broadcast_to(reward, dense.shape)
        self.set_entries()

    def set_entries(self):
        self.q, self.r, self.beta = [], [], number(self._beta)
        for i, (where, values) in enumerate(self._rows):
            total = sum(map(number, values), number(0))
            q = {j: number(x) / total for j, x in zip(where, values, strict=True)}
            self.q.append(q)
            self.r.append({j: number(float(self._reward[i, j])) / self.beta for j in q})

    def weights(self, v):
        """(T v, rows of P_v)."""
        Tv, rows = [], []
        for q, r in zip(self.q, self.r, strict=True):
            logs = {j: r[j] + v[j] for j in q if v[j] is not None}
            top = middle(max(logs.values(), key=float))
            row = {j: q[j] * exp(x - top) for j, x in logs.items()}
            total = sum(row.values(), number(0))
            Tv.append(top + log(total))
            rows.append({j: x / total for j, x in row.items()})
        return Tv, rows

    def bellman(self, v):
        """T v for a list v; None stands for -inf."""
        return self.weights(v)[0]

    def policy(self, v):
        """The rows of P_v, and the KL of each from q."""
        Tv, rows = self.weights(v)
        kl = [
            sum((p * (self.r[i][j] + v[j] - Tv[i]) for j, p in row.items()), number(0))
            for i, row in enumerate(rows)
        ]
        return rows, kl

    def _matrix(self, rows, where, discount=1):
        place = {i: a for a, i in enumerate(where)}
        A = [[number(0)] * len(where) for _ in where]
        for a, i in enumerate(where):
            for j, p in rows[i].items():
                if j in place:
                    A[a][place[j]] -= discount * p
            A[a][a] += 1
        return A

    def along(self, rows, earned, inside, discount=1, floor=0.0):
        """The solution of x = earned + discount P x on `inside`, zero elsewhere."""
        where = np.flatnonzero(inside).tolist()
        found = solve(self._matrix(rows, where, discount), [earned[i] for i in where], floor)
        x = [number(0)] * self.n
        for i, value in zip(where, found, strict=True):
            x[i] = value
        return x

    def another_policy(self, rows, rng):
        """(rows near the given ones, what a step from each state earns, less its KL)."""
        size, found, earned = 10.0 ** rng.uniform(-3, 0.5), [], []
        for row, q, r in zip(rows, self.q, self.r, strict=True):
            row = {j: p * exp(number(size * rng.normal())) for j, p in row.items()}
            total = sum(row.values(), number(0))
            row = {j: p / total for j, p in row.items()}
            found.append(row)
            earned.append(sum((p * (r[j] - log(p / q[j])) for j, p in row.items()), number(0)))
        return found, earned

    @precisely
    def value_along(self, rows, earned, at_exit=None, discount=1.0):
        """What a policy is worth: until the exits, or discounted."""
        inside = [i not in (at_exit or {}) for i in range(self.n)]
        end = {i: number(float(x)) / self.beta for i, x in (at_exit or {}).items()}
        earned = [
            x + sum((p * end[j] for j, p in row.items() if j in end), number(0))
            for x, row in zip(earned, rows, strict=True)
        ]
        x = self.along(rows, earned, inside, number(discount), SMALL)
        return [end.get(i, value) for i, value in enumerate(x)]

    @precisely
    def gain_along(self, rows, earned):
        """What a policy earns a step in the long run."""
        A = self._matrix(rows, range(self.n))
        for row in A:
            row[0] = number(1)
        return solve(A, earned, SMALL)[0]

    def _start(self, start):
        return [number(float(x)) / self.beta for x in start]

    @precisely
    def first_exit(self, at_exit, start):
        """(log z, path KL) by one linear solve; at_exit: {state: reward}."""
        inside = [i not in at_exit for i in range(self.n)]
        v = [middle(x) for x in self._start(start)]
        for i, reward in at_exit.items():
            v[i] = number(float(reward)) / self.beta
        Tv, rows = self.weights(v)
        grown = [exp(a - b) for a, b in zip(Tv, v, strict=True)]
        scaled = [{j: g * p for j, p in row.items()} for g, row in zip(grown, rows, strict=True)]
        leaving = [sum((p for j, p in row.items() if not inside[j]), number(0)) for row in scaled]
        h = self.along(scaled, leaving, inside)
        v = [x + log(h[i]) if inside[i] else x for i, x in enumerate(v)]
        rows, kl = self.policy(v)
        return v, self.along(rows, kl, inside, 1, SMALL)

    @precisely
    def discounted(self, discount, start):
        """(V / beta, discounted KL) by Newton's method."""
        g, v = number(float(discount)), self._start(start)
        every = [True] * self.n
        for _ in range(12):
            v = [middle(x) for x in v]
            Tv, rows = self.weights([g * x for x in v])
            step = self.along(rows, [a - b for a, b in zip(Tv, v, strict=True)], every, g, 1.0)
            v = [a + b for a, b in zip(v, step, strict=True)]
            if max(abs(float(x)) for x in step) < ACCURACY:
                break
        else:
            raise ZeroDivisionError("no convergence")
        rows, kl = self.policy([g * x for x in v])
        return v, self.along(rows, kl, every, g, SMALL)

    @precisely
    def average(self, start):
        """(log lambda, log v, pi, KL rate) by Newton's method for T v = v + log lambda."""
        n, v = self.n, self._start(start)
        anchor, every = int(np.argmax(np.abs(np.asarray(start)) == 0.0)), range(self.n)
        for _ in range(12):
            v = [middle(x) for x in v]
            Tv, rows = self.weights(v)
            A = self._matrix(rows, every)
            for row in A:
                row[anchor] = number(1)
            step = solve(A, [a - b for a, b in zip(Tv, v, strict=True)], 1.0)
            gain, step[anchor] = step[anchor], number(0)
            v = [a + b for a, b in zip(v, step, strict=True)]
            if max(abs(float(x)) for x in step) < ACCURACY:
                break
        else:
            raise ZeroDivisionError("no convergence")
        rows, kl = self.policy(v)
        A = self._matrix(rows, every)
        for row in A:
            row[anchor] = number(1)
        pi = solve([list(column) for column in zip(*A, strict=True)], unit(n, anchor), TINY)
        return gain, v, pi, sum((p * k for p, k in zip(pi, kl, strict=True)), number(0))


def unit(n, at):
    return [number(1 if i == at else 0) for i in range(n)]


def numbers(values):
    return np.array([float(x) for x in values])


def assert_value(found, lower, upper, exact, tol=1e-12, scale=1.0):
    """found = exact to tol relative to max(1, |exact|, scale), and exact, in multiprecision,
    between the ends."""
    found, lower, upper = (np.atleast_1d(x).tolist() for x in (found, lower, upper))
    exact = exact if isinstance(exact, list) else [exact]
    scale = np.broadcast_to(scale, len(exact)).tolist()
    for i, x in enumerate(exact):
        size = max(1.0, abs(float(x)), scale[i])
        error = float(abs(number(found[i]) - x))
        assert error <= tol * size, (i, error / size)
        assert not (number(lower[i]) > x or x > number(upper[i])), (i, lower[i], x, upper[i])


def assert_no_better(values, upper, scale):
    """What another policy is worth, in units of `scale`, is not above the proven upper ends."""
    for value, end in zip(values, np.atleast_1d(upper).tolist(), strict=True):
        assert not scale * value > number(end), (value, end)
