"""Checks of simulation, of fits to counts and of policies over answers."""

import numpy as np

import fastebm as fe
from fastebm import rlvr

from .registry import analysis
from .verdicts import holds, near

# Standard errors that a sample may be off: one false alarm in some 1e11.
SIGMAS = 7


@analysis()
def simulate(case):
    truth, walkers, n_steps = case.truth, 50, 40
    start = int(case.rng.integers(case.n))
    paths = fe.simulate(case.chain, n_steps, start=start, n_walkers=walkers, rng=case.index)
    yield holds("start", (paths[:, 0] == start).all() and paths.shape == (walkers, n_steps + 1))
    x, y = paths[:, :-1].ravel(), paths[:, 1:].ravel()
    yield holds("transitions", truth.adjacent[x, y].all(), "a step of probability zero")
    P = truth.P.astype(float)
    visits = np.bincount(x, minlength=case.n)
    seen = np.zeros((case.n, case.n))
    np.add.at(seen, (x, y), 1)
    mean = visits[:, None] * P
    # Bernstein's inequality, for rare steps too.
    allowed = SIGMAS * np.sqrt(mean * (1 - P)) + SIGMAS**2 / 3
    yield holds("frequencies", (np.abs(seen - mean) <= allowed).all(), np.abs(seen - mean).max())


@analysis()
def simulate_hitting_times(case):
    truth, target, walkers = case.truth, case.some_states(), 1000
    start = int(case.rng.integers(case.n))
    mean, unsure = truth.times(target).astype(float), truth.unsure(target)
    longest = mean[~unsure].max()
    if longest > 300 or (unsure.any() and not unsure[start]):
        return
    found = fe.simulate_hitting_times(
        case.chain, target, start=start, n_walkers=walkers, max_steps=10**5, rng=case.index
    )
    if unsure[start]:
        yield holds("mean", found.mean == np.inf, found.mean)
        return
    # A tail that halves at least every 2 `longest` steps.
    allowed = SIGMAS * 3 * longest / np.sqrt(walkers) + 100 * longest / walkers
    yield near("mean", found.mean, mean[start], 0.0, allowed)
    yield holds("n_censored", found.n_censored == 0, found.n_censored)


@analysis()
def reversible_fit(case):
    """The likelihood equations, at counts of one to thousands."""
    n = case.n
    counts = np.floor(10.0 ** case.rng.uniform(0, 3.5, (n, n))) * case.truth.adjacent
    reach = case.truth.reach
    if not (reach & reach.T).all():
        return
    found = fe.reversible_fit(counts)
    if n == 1:
        return
    P, pi = found.chain.to_scipy().toarray(), found.chain.pi
    both, total = counts + counts.T, counts.sum(axis=1)
    flux = pi[:, None] * P
    yield near("detailed balance", flux, flux.T, 1e-9)
    edge = both > 0
    share = flux * np.add.outer(total / pi, total / pi)
    scale = share[edge].sum() / both[edge].sum()
    yield near("likelihood", share[edge], scale * both[edge], 1e-7, converged=found.converged)
    loss = (counts[counts > 0] * np.log(P[counts > 0])).sum()
    yield near("log_likelihood", found.log_likelihood, loss, 1e-9, 1e-9)


@analysis()
def optimal_policy(case):
    """Tilted laws in closed form, and the optimality conditions of other divergences."""
    rng, m = case.rng, int(case.rng.integers(1, 8))
    reference = rng.random(m) ** rng.choice([1, 8]) + 1e-12
    reference /= reference.sum()
    reward = rng.normal(size=m) * 10.0 ** rng.uniform(-1, 1)
    beta = float(10.0 ** rng.uniform(-1.5, 1.5))
    found = rlvr.optimal_policy(reference, reward, beta)
    shift = reward / beta - (reward / beta).max()
    want = reference * np.exp(shift) / (reference * np.exp(shift)).sum()
    rel = 1e-11 + 1e-15 * np.ptp(reward) / beta
    yield near("policy", found.policy, want, rel, 1e-300)
    log_z = np.log((reference * np.exp(shift)).sum()) + (reward / beta).max()
    yield near("value", found.value, beta * log_z, 1e-10, 1e-10 * np.abs(reward).max())
    name = str(rng.choice(["forward_kl", "chi2", "hellinger"]))
    other = rlvr.optimal_policy(reference, reward, beta, divergence=name)
    yield near("sum", other.policy.sum(), 1.0, 1e-10)
    best = other.policy @ reward - beta * rlvr.divergence(other.policy, reference, name)
    scale = np.abs(reward).max() + beta
    yield near("value", other.value, best, 1e-9, 1e-9 * scale)
    for _ in range(5):  # no law nearby is better
        law = other.policy + 10.0 ** rng.uniform(-6, 0) * (rng.dirichlet(np.ones(m)) - other.policy)
        law = np.maximum(law, 0) / np.maximum(law, 0).sum()
        value = law @ reward - beta * rlvr.divergence(law, reference, name)
        yield holds("optimal", value <= best + 1e-9 * scale, f"{name}: {value} > {best}")
