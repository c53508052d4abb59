"""What is true of a small chain, from its entries alone."""

from functools import cached_property
from math import lcm

import elimination
import mpmath
import numpy as np
import reference

EPS = np.finfo(float).eps
DIGITS = 60  # of the multiprecision oracle, unless a result needs more


class Truth:
    """A chain of at most some dozen states, rows divided by their sums.

    Parameters
    ----------
    P : ndarray of float or mpmath numbers (n, n)
    eps : float
        Relative accuracy to which the entries are known to the package: of its own rounding of
        rows, weights and tilts.
    """

    def __init__(self, P, eps=EPS):
        P = np.asarray(P)
        off = P[~np.eye(len(P), dtype=bool)]
        smallest = off[off > 0].min(initial=1.0)
        if P.dtype != object and smallest < elimination.SMALL:
            P = elimination.precise(P)
        self.P = P / P.sum(axis=1)[:, None]
        self.n, self.eps = len(P), eps
        # The relative change of any quantity made of sums, products and quotients of positive
        # entries when each entry changes by eps.
        self.slack = (8 * self.n + 16) * eps
        self.off = self.P.copy()
        self.off[np.arange(self.n), np.arange(self.n)] = 0

    @cached_property
    def exact(self):
        """The same chain in multiprecision."""
        if self.P.dtype == object:
            return self
        with mpmath.workdps(DIGITS):
            return Truth(elimination.precise(self.P), self.eps)

    # --- structure --------------------------------------------------------------------------------

    @cached_property
    def adjacent(self):
        return np.asarray(self.P > 0, dtype=bool)

    @cached_property
    def reach(self):
        """reach[x, y]: a path leads from x to y, of length 0 or more."""
        return _closure(self.adjacent)

    @cached_property
    def classes(self):
        """A mask of each communicating class, by smallest state."""
        both = self.reach & self.reach.T
        return [both[x] for x in range(self.n) if not both[x, :x].any()]

    @cached_property
    def closed(self):
        """The masks of the closed classes."""
        return [mask for mask in self.classes if not self.adjacent[np.ix_(mask, ~mask)].any()]

    @cached_property
    def periods(self):
        """Of each class; 0 where it has no cycle."""
        return [
            reference.period(self.adjacent[np.ix_(mask, mask)].astype(float))
            if self.adjacent[np.ix_(mask, mask)].any()
            else 0
            for mask in self.classes
        ]

    @cached_property
    def period(self):
        """Of the chain in the long run."""
        return lcm(
            *(
                d
                for mask, d in zip(self.classes, self.periods, strict=True)
                if any(mask is other for other in self.closed)
            )
        )

    @property
    def is_irreducible(self):
        return len(self.classes) == 1

    @property
    def has_one_law(self):
        return len(self.closed) == 1

    @cached_property
    def core(self):
        """The chain on its only closed class."""
        if self.is_irreducible:
            return self
        mask = self.closed[0]
        return Truth(self.P[np.ix_(mask, mask)], self.eps)

    # --- the stationary law -----------------------------------------------------------------------

    @cached_property
    def pi(self):
        if not self.is_irreducible:
            pi = np.zeros_like(self.P[0])
            pi[self.closed[0]] = self.core.pi
            return pi
        with mpmath.workdps(max(DIGITS, mpmath.mp.dps)):
            pi = elimination.stationary(self.off)
            if pi.dtype != object and pi.min() < elimination.SMALL:
                pi = self.exact.pi
            return pi

    @cached_property
    def log_pi(self):
        with mpmath.workdps(DIGITS):
            return elimination.log(self.pi)

    @cached_property
    def flux(self):
        return self.pi[:, None] * self.P

    @cached_property
    def asymmetry(self):
        """(largest |F - F^T| relative to F + F^T, sum |F - F^T| / 2)."""
        difference, total = abs(self.flux - self.flux.T), self.flux + self.flux.T
        edge = np.asarray(total > 0, dtype=bool)
        relative = difference[edge] / total[edge]
        return float(relative.max(initial=0)), float(difference.sum() / 2)

    @property
    def is_reversible(self):
        """None between what rounding leaves and what a tolerance of 1e-10 sees."""
        relative, total = self.core.asymmetry
        if relative <= 4 * self.slack:
            return True
        return False if total > 2e-10 else None

    # --- hitting ----------------------------------------------------------------------------------

    def unsure(self, target):
        """The states from which the target is missed with positive probability."""
        hopeless = ~self.reach[:, target].any(axis=1)
        inner = self.adjacent & ~target[:, None]
        return _closure(inner)[:, hopeless].any(axis=1) & ~target

    def times(self, target, right=None):
        """Mean hitting times; with `right`, the means of its sum over the states before the hit."""
        unsure = self.unsure(target)
        rest = ~target & ~unsure
        mean = np.zeros_like(self.P[0])
        if rest.any():
            off = self.off[np.ix_(rest, rest)]
            leak = self.P[np.ix_(rest, target)].sum(axis=1) + np.zeros_like(off[0])
            right = np.ones_like(off[0]) if right is None else right[rest]
            mean[rest] = elimination.solve(off, leak, right)
        mean[unsure] = np.inf
        return mean

    def first_of(self, targets):
        """(P_x(targets[i] is hit first) (n, k), P_x(none is hit), mean time until a target or a
        state that can reach none)."""
        inside = np.any(targets, axis=0)
        inner = self.adjacent & ~inside[:, None]
        lost = ~_closure(inner)[:, inside].any(axis=1)
        rest = ~inside & ~lost
        result = np.zeros((self.n, len(targets) + 2), dtype=self.P.dtype)
        for i, target in enumerate([*targets, lost]):
            result[target, i] = 1
        if rest.any():
            off = self.off[np.ix_(rest, rest)]
            into = [self.P[np.ix_(rest, part)].sum(axis=1) for part in [*targets, lost]]
            into = np.array(into, dtype=self.P.dtype).T
            right = np.column_stack([into, np.ones_like(off[0])])
            result[rest] = elimination.solve(off, into.sum(axis=1), right)
        return result[:, :-2], result[:, -2], result[:, -1]

    @cached_property
    def kemeny(self):
        core = self.core
        total = 0.0 * core.P[0, 0]
        for y in range(1, core.n):
            total += core.pi[y] * core.times(np.arange(core.n) == y)[0]
        return float(total)

    # --- eigenvalues ------------------------------------------------------------------------------

    @cached_property
    def similar(self):
        """D^(1/2) P D^(-1/2) with D = diag(pi), in doubles."""
        with mpmath.workdps(DIGITS):
            root = np.frompyfunc(mpmath.sqrt, 1, 1)(self.exact.pi)
            return (self.exact.P * root[:, None] / root).astype(float)

    @cached_property
    def spectrum(self):
        """(1 - lambda, 1 - |lambda|, bounds on the absolute errors of both) of the eigenvalues of
        the only closed class, by |1 - lambda| ascending."""
        core = self.core
        if not core.is_reversible:
            return elimination.general_rates(core.off, core.pi)
        rates, errors = elimination.symmetric_rates(core.off, core.pi)
        moduli = np.minimum(rates, 2 - rates)
        if rates[-1] > 2 - 1e-5:
            # Near -1 too: the eigenvalues of 1 + P, which 2 - rate knows to rounding only.
            moduli = np.minimum(rates, core.sum_rates[::-1])
        return rates, moduli, errors * np.maximum(moduli, 0)

    def reversed_pair(self, kind):
        """The reversible chain (P + P*) / 2 or P P* on the closed class; in multiprecision where it
        may be so slow that it shows if doubles are not quite in balance."""
        core = self.core
        with mpmath.workdps(DIGITS):
            core = core if core.off[core.off > 0].min(initial=1.0) > 1e-6 else core.exact
            back = core.P.T * core.pi / core.pi[:, None]
            return Truth((core.P + back) / 2 if kind == "additive" else core.P @ back, self.eps)

    @cached_property
    def sum_rates(self):
        """1 + lambda, ascending, of a reversible chain."""
        core = self.core
        with mpmath.workdps(DIGITS):
            P = core.exact.P
            S = mpmath.matrix(core.n, core.n)
            for x in range(core.n):
                for y in range(core.n):
                    S[x, y] = mpmath.sqrt(P[x, y] * P[y, x]) + (x == y)
            values = sorted(mpmath.eigsy(S, eigvals_only=True))
            if core.period == 2:
                values[0] = 0  # these square roots are of entries in balance but for rounding
            return np.array([float(v) if v > 1e-50 else 0.0 for v in values])


def _closure(adjacent):
    """Reachability in any number of steps."""
    reach = adjacent | np.eye(len(adjacent), dtype=bool)
    for _ in range(max(1, int(np.ceil(np.log2(len(adjacent) + 1))))):
        reach = reach @ reach
    return reach
