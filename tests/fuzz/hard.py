"""Hard chains: gaps and eigenvalues of reversible chains of hundreds of states against counts of
eigenvalues by inertia."""

import warnings

import elimination
import hard_chains
import numpy as np
import scipy.sparse as sp

import fastebm as fe

from .registry import Analysis, verdicts_of
from .runner import Tally, guarded
from .verdicts import END, between, holds, near

NAMES = tuple(hard_chains.FAMILIES)
SECONDS = 300
CHUNK = 4
# Relative accuracy of the fluxes of the package, and of the counts.
ROUNDING = 1e-10


class HardCase:
    """A chain of a hard family: `graph` is what is true, `chain` what the package gets."""

    def __init__(self, seed, index):
        rng = np.random.default_rng([seed, index, 3])
        self.index, self.kind = index, str(rng.choice(NAMES))
        self.graph = hard_chains.FAMILIES[self.kind](rng)
        self.n, self.rng = self.graph.n, rng
        self.form = str(rng.choice(["edges", "edges", "rows"]))
        self.chain = self._given()

    def __repr__(self):
        return f"{self.kind} of {self.n} states, {self.form}"

    def _given(self):
        graph = self.graph
        if self.form == "edges":
            return fe.MarkovChain.from_edges(
                graph.source, graph.target, graph.weight, n_states=graph.n, symmetric=True
            )
        x, y = np.r_[graph.source, graph.target], np.r_[graph.target, graph.source]
        loop = graph.source == graph.target
        weight = np.r_[graph.weight, np.where(loop, 0, graph.weight)]
        A = sp.coo_array((weight, (x, y)), shape=(graph.n, graph.n)).tocsr()
        A.eliminate_zeros()
        return fe.MarkovChain(sp.diags_array(1 / A.sum(axis=1)) @ A, normalize=True)

    def is_at(self, place, value, tol):
        """Whether the counts allow that the eigenvalue of I - P number `place`, from 0, is within a
        relative tol of value."""
        below, _ = self.graph.inertia.count(value * (1 - tol - ROUNDING))
        _, up_to = self.graph.inertia.count(value * (1 + tol + ROUNDING))
        return below <= place < up_to

    def not_above(self, value):
        """Whether value <= gap is possible."""
        return value <= 0 or self.graph.inertia.count(value * (1 - ROUNDING))[0] < 2

    def not_below(self, value):
        """Whether value >= gap is possible."""
        return self.graph.inertia.count(min(value * (1 + ROUNDING), 2.0))[1] >= 2 or value >= 2

    def gap(self):
        """For a message."""
        return f"{self.graph.inertia.eigenvalue(2):.9g}"


def ends(case, found):
    for name in ("lower_kind", "upper_kind"):
        end = getattr(found, name)
        yield holds(name, end in ("rigorous", "probabilistic", "none"), f"{end!r}", END)
    for name, good in (("gap_lower", case.not_above), ("gap_upper", case.not_below)):
        value = getattr(found, name)
        ok = good(value)
        yield holds(name, ok, "" if ok else f"{value:.9g}, the gap is {case.gap()}", END)


def hard_gap(case):
    tol = float(case.rng.choice([1e-8, 1e-8, 1e-6, 1e-3]))
    method = str(case.rng.choice(["auto", "auto", "auto", "lanczos"]))
    certify = bool(case.rng.random() < 0.2)
    found = fe.spectral_gap(case.chain, tol=tol, method=method, certify=certify, rng=case.index)
    right = case.is_at(1, found.gap, tol) if found.gap > 0 else False
    said = f"{method}: {found.gap:.9g}, "
    yield holds("gap", right or not found.converged, said + ("" if right else case.gap()))
    if not found.converged:
        yield near("gap", 0.0, 1.0, 0.0, converged=False)
    yield from ends(case, found)
    yield holds("ends", found.gap_lower <= found.gap <= found.gap_upper, found, END)


def hard_eigenpairs(case):
    k = int(case.rng.integers(2, 6))
    found = fe.eigenpairs(case.chain, k, rng=case.index)
    for place in range(1, len(found.eigenvalues)):
        rate = float(np.real(found.rates[place]))
        if not found.converged_each[place]:
            yield near("rate", 0.0, 1.0, 0.0, converged=False)
            return
        right = rate > 0 and case.is_at(place, rate, 1e-8 if rate > 1e-5 else 1e-6)
        detail = ""
        if not right:
            detail = (
                f"number {place}: {rate:.9g}, not {case.graph.inertia.eigenvalue(place + 1):.9g}"
            )
        yield holds("rate", right, detail)


def hard_conductance(case):
    found = fe.conductance(case.chain, rng=case.index)
    yield from ends(case, found)


def hard_log_sobolev(case):
    found = fe.modified_log_sobolev(case.chain, rng=case.index)
    ok = case.not_above(found.lower)
    yield holds("lower", ok, "" if ok else f"{found.lower:.9g} above the gap {case.gap()}", END)


def hard_hitting(case):
    """Times from every state against dense elimination, up to 400 states."""
    if case.n > 400:
        return
    graph = case.graph
    target = np.zeros(case.n, dtype=bool)
    target[case.rng.integers(case.n, size=int(case.rng.integers(1, 4)))] = True
    A = np.zeros((case.n, case.n))
    np.add.at(A, (graph.source, graph.target), graph.weight)
    A = A + np.triu(A, 1).T + np.tril(A, -1).T
    P = A / A.sum(axis=1)[:, None]
    np.fill_diagonal(P, 0)
    rest = ~target
    want = np.zeros(case.n)
    want[rest] = elimination.solve(
        P[np.ix_(rest, rest)], P[np.ix_(rest, target)].sum(axis=1), np.ones(rest.sum())
    )
    found = fe.hitting_times(case.chain, target)
    yield near("mean", found.mean, want, 1e-8 + 1e-11, converged=found.converged)
    yield between("mean", found.lower, want, found.upper, 1e-11)


HARD = {
    check.__name__: Analysis(check.__name__, check, frozenset())
    for check in (hard_gap, hard_eigenpairs, hard_conductance, hard_log_sobolev, hard_hitting)
}
SHARES = {"hard_gap": 1.0, "hard_hitting": 0.5}


def run_hard(tally, seed, index, only=()):
    """Hard case `index` through its gap, and a part of the others."""
    tally.cases += 1
    draw = np.random.default_rng([seed, index, 4])
    chosen = [name for name in HARD if draw.random() < SHARES.get(name, 0.15)]
    for name in only or chosen:
        if name not in HARD:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case = HardCase(seed, index)
            verdicts = guarded(SECONDS, verdicts_of, HARD[name], case)
        tally.add(name, case.kind, verdicts, f"hard:{seed}:{index}")
    return tally


def hard_chunk(task, *, seed, only):
    tally = Tally()
    for index in task:
        run_hard(tally, seed, index, only)
    return tally
