"""Powers of a small dense transition matrix by repeated squaring."""

import math

import numpy as np

from .._runtime.memory import free_memory

# Up to this size the powers P^(2^k) are formed: 0.1 s a product at this size, and 8 MB each.
MAX_DENSE, MAX_DOUBLINGS = 1024, 62
#: The multiples of the mixing time at which the cutoff profile is taken.
PROFILE = (0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)


def profile_steps(own):
    """The steps of the cutoff profile of a start that takes `own` steps."""
    return np.unique(np.ceil(np.array(PROFILE) * own).astype(np.int64))


def _log(x):
    return math.log(x) if x > 0.0 else -math.inf


def _blocks(eps, mass):
    """The least m with (1 - mass)^m <= eps."""
    if mass <= 0.0:
        return math.inf
    return 1 if mass >= 1.0 else max(1, math.ceil(math.log(eps) / math.log1p(-mass)))


class _Powers:
    """The rows of P^t of the starts, by the dense powers P^(2^k) (k < len(self.powers)), all entries of relative accuracy.

    Rows are divided by their sums after every product: sums of rounding errors would double at every squaring, while a relative
    error of an entry, also of a tiny one that leads out of a well, is only added to.
    """

    def __init__(self, chain, log_pi, states, tell):
        self.chain, self.pi, self.states, self._tell = chain, np.exp(log_pi), states, tell
        # of n terms each, in as many products as there are powers
        self.rounding = np.finfo(float).eps * chain.n_states * MAX_DOUBLINGS

    def fit(self, eps):
        """Whether memory and accuracy allow this way."""
        free = free_memory()
        return self.rounding <= 1e-3 * eps and (
            free is None or 8 * self.chain.n_states**2 * (MAX_DOUBLINGS + 6) < free
        )

    def run(self, search):
        P = self.chain.to_scipy().toarray()
        self.powers = [P / P.sum(axis=1, keepdims=True)]
        self.rows = slice(None) if self.states is None else self.states
        threshold = search.reached
        while (
            self._distance(self.powers[-1][self.rows]).max() > threshold - 2.0 * self.rounding
            and len(self.powers) < MAX_DOUBLINGS
        ):
            self.powers.append(self._product(self.powers[-1], self.powers[-1]))
            self._tell(doubled=len(self.powers))
        t, before, after, worst = self._first(threshold)
        low = high = t
        if after > threshold - self.rounding or before <= threshold + self.rounding:
            low, high = (
                self._first(threshold + self.rounding)[0],
                self._first(threshold - self.rounding)[0],
            )
        if t < math.inf:
            search.worst = int(worst if self.states is None else self.states[worst])
            search.starts, search.start_steps = np.array([search.worst]), np.array([float(t)])
        if low == math.inf:
            low = 2 ** (len(self.powers) - 1) + 1
        search._set("lower", "dense powers", low)
        if high < math.inf:
            search._set("upper", "dense powers", high)
        if 0 < t < math.inf:
            steps = profile_steps(t)
            search.profile = (
                steps,
                np.array([self._distance(self._row(search.worst, int(s)))[0] for s in steps]),
            )

    def _product(self, X, Y):
        Z = X @ Y
        return Z / Z.sum(axis=1, keepdims=True)

    def _distance(self, X):
        return 0.5 * np.abs(X - self.pi).sum(axis=1)

    def _first(self, threshold):
        """(the first t at which all starts are within the threshold, the largest distance at t - 1 and at t, who has it at t - 1)."""
        at_once = 1.0 - self.pi[self.rows]
        if at_once.max() <= threshold:
            return 0, math.inf, float(at_once.max()), int(at_once.argmax())
        last = self._distance(self.powers[-1][self.rows])
        if last.max() > threshold:
            return math.inf, float(last.max()), -math.inf, int(last.argmax())
        X, t, before, after = None, 0, at_once, last
        for k in range(len(self.powers) - 2, -1, -1):
            trial = self.powers[k][self.rows] if X is None else self._product(X, self.powers[k])
            distance = self._distance(trial)
            self._tell(tv=float(distance.max()))
            if distance.max() > threshold:
                X, t, before = trial, t + 2**k, distance
            else:
                after = distance
        return t + 1, float(before.max()), float(after.max()), int(before.argmax())

    def _row(self, state, t):
        """P^t(state, .) as a block of one row."""
        x = np.zeros((1, len(self.pi)))
        x[0, state] = 1.0
        for k in range(len(self.powers) - 1, -1, -1):
            while t >= 2**k:
                x, t = self._product(x, self.powers[k]), t - 2**k
        return x
