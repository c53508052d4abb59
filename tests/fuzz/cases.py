"""A case: one small chain, how it is given to the package, and what is true of it.

Case `index` of a seed is a function of the two numbers alone.
"""

import copy
import zlib
from functools import cached_property, partial

import elimination
import mpmath
import numpy as np
import reference
import scipy.sparse as sp

import fastebm as fe

from .kinds import KINDS
from .truth import DIGITS, EPS, Truth

TILTS = ("tilted", "tilted_reversible", "tilted_steps")
# What is tilted: chains that are not reversible, and chains that are.
BASES = (
    ("dense", "sparse", "wide", "queue", "one_way"),
    (
        "dense_reversible",
        "sparse_reversible",
        "wide_reversible",
        "repeated",
        "bipartite_reversible",
    ),
)
NAMES = (*KINDS, *TILTS, "lattice")


def lattice(rng):
    """(a chain computed from the state number, its matrix)."""
    holding = float(rng.choice([0.0, 0.5, rng.random()]))
    name = str(rng.choice(["cube", "torus", "words"]))
    if name == "cube":
        m = int(rng.integers(1, 4))
        x = np.arange(2**m)
        A = np.isin(x[:, None] ^ x, 1 << np.arange(m)).astype(float)
        chain = partial(fe.Hypercube, m, holding=holding)
    else:
        shape = [(3,), (5,), (3, 3), (3, 4), (2, 2), (2, 3)][rng.integers(6)]
        if name == "words":
            shape = (shape[0],) * len(shape)
        x, y = reference.lattice_steps(shape, cyclic=name == "torus")
        A = np.zeros((np.prod(shape),) * 2)
        np.add.at(A, (x, y), 1)
        chain = partial(fe.Torus, shape, holding=holding)
        if name == "words":
            chain = partial(fe.HammingGraph, len(shape), shape[0], holding=holding)
    return chain, (1 - holding) * A / A.sum(axis=1)[:, None] + holding * np.eye(len(A))


def uniformised(rates, rate):
    """1 + Q / rate, Q with those off-diagonal rates; the state of the largest exit rate, which
    `rate` is but for rounding, never holds."""
    with mpmath.workdps(DIGITS):
        off = elimination.precise(rates) / mpmath.mpf(rate)
        hold = 1 - off.sum(axis=1)
        hold[np.asarray(abs(hold) < 1e-12, dtype=bool)] = 0
        return off + np.diag(hold)


class Case:
    """A chain of a random kind.

    Attributes
    ----------
    kind, form : str
        The kind of chain, and the form in which the package gets it.
    chain : fe.MarkovChain
    truth : Truth
    rng : Generator
        For the arguments of the analyses.
    """

    def __init__(self, seed, index, only_kind=None):
        rng = np.random.default_rng([seed, index])
        self.seed, self.index, self.rng = seed, index, rng
        self.kind = str(rng.choice(NAMES))
        self.kind = only_kind or self.kind
        self.lattice, self.reward, self.beta = None, None, None
        self.W = self._matrix(rng)
        self.n = len(self.W)
        self.form = self._form(rng)
        self.lazy = float(rng.choice([0.0, 0.0, 0.0, 0.5, rng.random(), 1e-9]))
        if self.kind in TILTS:
            shape = self.W.shape if self.kind == "tilted_steps" else self.n
            self.reward = rng.normal(size=shape) * 10.0 ** rng.uniform(-1, 1.5)
            self.beta = float(10.0 ** rng.uniform(-2.3, 1.5))
        self._sum_error = 10.0 ** -rng.uniform(7, 17) if rng.random() < 0.1 else 0.0
        # Exit rates of a generator, one of them the largest, so that no holding probability is what
        # cancellation leaves of one.
        exits = rng.uniform(0.1, 0.9, self.n)
        self._exits = np.where(np.arange(self.n) == rng.integers(self.n), 1.0, exits)
        self._exponents = rng.integers(-250, 250, size=self.n)

    def _matrix(self, rng):
        """Weights of the transitions, states in any order."""
        if self.kind == "lattice":
            self.lattice, W = lattice(rng)
            return W
        base = self.kind
        if self.kind in TILTS:
            base = str(rng.choice(BASES[self.kind == "tilted_reversible"]))
        W = KINDS[base](rng)
        order = rng.permutation(len(W))
        return W[np.ix_(order, order)]

    def _form(self, rng):
        """How the package gets the chain."""
        forms = ["dense", "csr", "csc", "coo", "tuple", "weights", "labels"]
        if self.kind not in TILTS:
            forms += ["float32"]
            if (self.W > np.diag(np.diag(self.W))).any():
                forms += ["generator"]
        if (self.W == self.W.T).all():
            forms += ["edges", "edges"]
        form = str(rng.choice(forms))
        return "computed" if self.lattice is not None else form

    def for_analysis(self, name, *, same_chain):
        """This case for one more analysis, with arguments that depend on its name only."""
        other = copy.copy(self)
        other.rng = np.random.default_rng([self.seed, self.index, zlib.crc32(name.encode())])
        other.truth, other.moving = self.truth, self.moving
        if not same_chain:
            other.__dict__.pop("chain", None)
        other.chain  # noqa: B018  # errors of the construction are not errors of the analysis
        return other

    def __repr__(self):
        tilt = "" if self.beta is None else f", beta={self.beta:.3g}"
        lazy = f", lazy({self.lazy:.2g})" if self.lazy else ""
        return f"{self.kind} of {self.n} states, {self.form}{tilt}{lazy}"

    @cached_property
    def rows(self):
        """The rows as they are given, sums near one."""
        if self.form in ("edges", "weights"):
            return self.W
        P = self.W / self.W.sum(axis=1)[:, None]
        return P.astype(np.float32) if self.form == "float32" else P * (1 + self._sum_error)

    @cached_property
    def _rates(self):
        off = self.W - np.diag(np.diag(self.W))
        sums = off.sum(axis=1)
        return off * (self._exits / np.where(sums > 0, sums, 1))[:, None]

    @cached_property
    def truth(self):
        if not self.lazy:
            return self.moving
        with mpmath.workdps(DIGITS):
            P, eps = self.moving.P, 2 * self.moving.eps
            return Truth((1 - self.lazy) * P + self.lazy * np.eye(self.n), eps)

    @cached_property
    def moving(self):
        """The truth of the chain before it is made lazy."""
        with mpmath.workdps(DIGITS):
            P, eps = self.rows.astype(float), EPS
            if self.form == "generator":
                P = uniformised(self._rates, self._untilted().rate)
            if self.beta is not None:
                exponent = elimination.precise(self.reward) / mpmath.mpf(self.beta)
                if exponent.ndim == 2:
                    exponent = exponent - exponent.max(axis=1)[:, None]
                else:
                    exponent = exponent - exponent.max()
                P = elimination.precise(P) * np.frompyfunc(mpmath.exp, 1, 1)(exponent)
                # exp(x) of a rounded x is off by |x| eps.
                eps = EPS * (4 + 2 * np.ptp(self.reward) / self.beta)
            return Truth(P, eps)

    @cached_property
    def chain(self):
        chain = self._untilted()
        if self.beta is not None:
            reward = self.reward
            if reward.ndim == 2:
                x, y = np.nonzero(self.rows)
                reward = sp.coo_array((reward[x, y], (x, y)), shape=reward.shape).tocsr()
            chain = fe.tilt(chain, reward, self.beta)
        return chain.lazy(self.lazy) if self.lazy else chain

    def _untilted(self):
        P = self.rows
        if self.lattice is not None:
            return self.lattice()
        if self.form == "edges":
            x, y = np.nonzero(np.triu(P))
            return fe.MarkovChain.from_edges(x, y, P[x, y], n_states=self.n, symmetric=True)
        if self.form == "csr":
            return fe.MarkovChain(sp.csr_array(P))
        if self.form == "csc":
            return fe.MarkovChain(sp.csc_array(P))
        if self.form == "coo":  # every entry in two equal parts, in any order
            x, y = np.nonzero(P)
            order = np.random.default_rng([self.seed, self.index, 1]).permutation(2 * len(x))
            x, y, halves = np.tile(x, 2)[order], np.tile(y, 2)[order], np.tile(P[x, y] / 2, 2)
            return fe.MarkovChain(sp.coo_array((halves[order], (x, y)), shape=P.shape))
        if self.form == "tuple":
            A = sp.csr_array(P)
            return fe.MarkovChain((A.indptr.astype(np.int64), A.indices, A.data))
        if self.form == "weights":  # rows of any scale, powers of two
            return fe.MarkovChain(np.ldexp(P, self._exponents[:, None]), normalize=True)
        if self.form == "float32":
            return fe.MarkovChain(P, normalize=True)
        if self.form == "generator":
            return fe.MarkovChain.from_generator(self._rates - np.diag(self._rates.sum(axis=1)))
        if self.form == "labels":
            return fe.MarkovChain(P, labels=[f"s{x}" for x in range(self.n)])
        return fe.MarkovChain(P)

    # --- arguments of analyses --------------------------------------------------------------------

    def some_states(self, most=None):
        """A mask of at least one state, and not of all unless there is only one."""
        size = int(self.rng.integers(1, max(2, most or self.n)))
        mask = np.zeros(self.n, dtype=bool)
        mask[self.rng.choice(self.n, size=min(size, max(1, self.n - 1)), replace=False)] = True
        return mask

    def disjoint_sets(self):
        """Masks of two disjoint sets of states, or None for a chain of one state."""
        if self.n < 2:
            return None
        first = self.some_states(max(2, self.n // 2))
        rest = np.flatnonzero(~first)
        second = np.zeros(self.n, dtype=bool)
        second[
            self.rng.choice(rest, size=int(self.rng.integers(1, len(rest) + 1)), replace=False)
        ] = True
        return first, second
