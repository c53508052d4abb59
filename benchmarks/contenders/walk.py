"""Walkers: whole paths, or the times at which they first reach a target.

Tables, cumulative sums and compilation are not timed; the note gives the time of the tables.
"""

import time
import warnings

import numpy as np
from numba import njit

import fastebm as fe

from ..problem import Answer, Unavailable, Verdict

# The target of the hitting question: states of highest reward with this stationary mass in total.
TARGET_MASS = 1e-2


def inputs(chain, options):
    n = chain.n_states
    target = np.zeros(n, bool)
    pi = chain.pi if chain.pi is not None else fe.stationary(chain).pi
    best = np.argsort(-chain.reward, kind="stable")
    target[best[: 1 + np.searchsorted(np.cumsum(pi[best]), TARGET_MASS)]] = True
    starts = np.random.default_rng(1).integers(0, n, options["n_walkers"])
    return {"P": chain.to_scipy(), "target": target, "starts": starts}


def fastebm(problem):
    chain, starts, target, options = (
        problem.chain,
        problem.array("starts"),
        problem.array("target"),
        problem.options,
    )
    before, clock = chain.nbytes, time.perf_counter()
    fe.simulate(chain, 1, start=0)
    seconds, per_entry = time.perf_counter() - clock, (chain.nbytes - before) / chain.nnz
    tables = f"tables {seconds:.2g} s, {per_entry:.3g} bytes an entry"

    def paths():
        found = fe.simulate(chain, options["n_steps"], start=starts, n_walkers=len(starts), rng=0)
        return Answer(found, steps=len(starts) * options["n_steps"], note=tables)

    def hits():
        with warnings.catch_warnings():
            # Censored walkers are counted below.
            warnings.simplefilter("ignore", fe.errors.ConvergenceWarning)
            found = fe.simulate_hitting_times(
                chain,
                target,
                start=starts,
                n_walkers=len(starts),
                max_steps=options["max_steps"],
                rng=0,
            )
        note = f"{tables}; stepping alone {found.steps_per_second / 1e6:.0f} M/s"
        return Answer((found.mean, found.std), steps=found.n_steps_total, note=note)

    return paths if options["question"] == "paths" else hits


def quantecon(problem):
    """simulate_indices returns whole paths only."""
    import quantecon

    if problem.options["question"] != "paths":
        raise Unavailable("QuantEcon has no hitting times by simulation")
    chain, starts = quantecon.MarkovChain(problem.matrix("P")), problem.array("starts")
    chain.simulate_indices(2, init=starts[:2])
    n_steps = problem.options["n_steps"]

    def solve():
        return Answer(
            chain.simulate_indices(n_steps + 1, init=starts, random_state=0),
            steps=len(starts) * n_steps,
        )

    return solve


def _cumulative(P):
    """Cumulative sums of each row, the last one 1."""
    total = np.cumsum(P.data)
    before = np.concatenate([[0.0], total])[P.indptr[:-1]]
    cdf = total - np.repeat(before, np.diff(P.indptr))
    cdf[P.indptr[1:] - 1] = 1.0
    return cdf


@njit
def _seed(number):
    np.random.seed(number)  # Numba's own generator


@njit(nogil=True)
def _next(indptr, indices, cdf, x):
    low, high, u = indptr[x], indptr[x + 1] - 1, np.random.random()
    while low < high:
        middle = (low + high) // 2
        if cdf[middle] > u:
            high = middle
        else:
            low = middle + 1
    return indices[low]


@njit(nogil=True)
def _paths(indptr, indices, cdf, paths):
    for w in range(paths.shape[0]):
        for t in range(1, paths.shape[1]):
            paths[w, t] = _next(indptr, indices, cdf, paths[w, t - 1])


@njit(nogil=True)
def _hits(indptr, indices, cdf, target, starts, max_steps, times):
    for w in range(starts.size):
        x, t = starts[w], 0
        while not target[x] and t < max_steps:
            x = _next(indptr, indices, cdf, x)
            t += 1
        times[w] = t


def numba_loop(problem):
    """One thread, binary search in the cumulative sums of the row."""
    P, starts, target, options = (
        problem.matrix("P"),
        problem.array("starts"),
        problem.array("target"),
        problem.options,
    )
    cdf = _cumulative(P)
    arrays = (P.indptr, P.indices, cdf)
    _seed(options.get("seed", 1))

    def paths(starts, n_steps):
        found = np.empty((len(starts), n_steps + 1), np.int32)
        found[:, 0] = starts
        _paths(*arrays, found)
        return Answer(found, steps=len(starts) * n_steps)

    def hits(starts, max_steps):
        times = np.empty(len(starts), np.int64)
        _hits(*arrays, target, starts, max_steps, times)
        return Answer((times.mean(), times.std(ddof=1)), steps=int(times.sum()))

    run, limit = (
        (paths, options["n_steps"])
        if options["question"] == "paths"
        else (hits, options["max_steps"])
    )
    run(starts[:2], 1)  # compiles
    return lambda: run(starts, limit)


CONTENDERS = {"fastebm": fastebm, "QuantEcon": quantecon, "Numba loop": numba_loop}


def judge(problem, answers):
    """Statistics of independent samples, and that every step of a hundred paths is an edge.

    The distance of each mean from that of the others is counted in standard errors. The mean is
    that of the hitting time, or of 1 / degree where the paths end.
    """
    P = problem.matrix("P")
    means, edges = {}, {}
    for name, answer in answers.items():
        edges[name] = True
        if problem.options["question"] == "hits":
            means[name] = (answer.value[0], answer.value[1] / np.sqrt(problem.options["n_walkers"]))
            continue
        paths = np.asarray(answer.value)
        score = 1.0 / np.diff(P.indptr)[paths[:, -1]]
        means[name] = (score.mean(), score.std(ddof=1) / np.sqrt(len(score)))
        edges[name] = bool((P[paths[:100, :-1].ravel(), paths[:100, 1:].ravel()] > 0).all())
    verdicts = {}
    for name, (mean, error) in means.items():
        others = [pair for other, pair in means.items() if other != name]
        if not others:
            verdicts[name] = Verdict(False, f"mean {mean:.4g}, nothing to compare it with")
            continue
        centre = np.mean([m for m, _ in others])
        spread = np.hypot(error, np.sqrt(sum(e * e for _, e in others)) / len(others))
        z = abs(mean - centre) / spread if spread > 0 else 0.0
        text = f"mean {mean:.4g}, z = {z:.1f}" + ("" if edges[name] else ", a step that is no edge")
        verdicts[name] = Verdict(edges[name] and z < 5.0, text)
    return verdicts
