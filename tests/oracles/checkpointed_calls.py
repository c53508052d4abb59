"""A small call of every public function with `checkpoint=`, and results as digests of their bits.

As a program: ``python checkpointed_calls.py NAME CHECKPOINT`` makes a call with a save after every
step, and prints the digest of its result.
"""

import dataclasses
import hashlib
import sys
import warnings
from functools import cache

import numpy as np
import scipy.sparse as sp
from enumerated_answers import HashVerifier, random_model_parts

import fastebm as fe
from fastebm import llm, rlvr
from fastebm._runtime import checkpoint as module

# Fields that differ between a whole call and a resumed one: times, rates of work, and what a chain
# happens to hold.
CLOCKS = {"wall_s", "steps_per_second", "timings", "nbytes"}


@cache
def reversible(n=1500):
    """A ring with shortcuts and random weights."""
    rng = np.random.default_rng(1)
    x = np.arange(n)
    source, target = (
        np.concatenate([x, x[:60]]),
        np.concatenate([(x + 1) % n, (7 * x[:60] + 3) % n]),
    )
    W = sp.coo_array((rng.uniform(0.5, 2.0, len(source)), (source, target)), shape=(n, n))
    return fe.MarkovChain((W + W.T).tocsr(), normalize=True)


@cache
def directed(n=1500):
    """Random jumps and a drift along a ring."""
    rng = np.random.default_rng(2)
    x = np.arange(n)
    target = np.stack([(x + 1) % n, (x + 2) % n, (x - 1) % n, rng.integers(0, n, n)])
    weight = np.stack([np.ones(n), rng.uniform(0.1, 0.5, n), np.full(n, 0.2), np.full(n, 0.02)])
    P = sp.coo_array((weight.ravel(), (np.tile(x, 4), target.ravel())), shape=(n, n))
    return fe.MarkovChain(P.tocsr(), normalize=True)


@cache
def generator(n=700):
    """A continuous-time ring; n <= 512 is squared."""
    x = np.arange(n)
    rates = sp.coo_array((np.ones(2 * n), (np.r_[x, x], np.r_[(x + 1) % n, (x - 1) % n])))
    Q = 4.0 * rates - 8.0 * sp.eye_array(n)
    return fe.MarkovChain.from_generator(Q)


@cache
def lazy():
    return reversible().lazy(0.5)


@cache
def tilted():
    ring = fe.MarkovChain.from_edges(np.arange(30), (np.arange(30) + 1) % 30, symmetric=True)
    return fe.tilt(ring, -np.abs(np.arange(30) - 15.0), 4.0)


@cache
def counts(n=400):
    rng = np.random.default_rng(3)
    x = np.arange(n)
    rows, columns = np.tile(x, 4), np.concatenate([(x + k) % n for k in (1, 3, n - 1, n - 3)])
    table = sp.coo_array((rng.integers(1, 9, 4 * n).astype(float), (rows, columns)), shape=(n, n))
    return table.tocsr()


@cache
def scattered(n=2001):
    """Counts of random pairs: more states than exact standard errors are computed for."""
    rng = np.random.default_rng(5)
    x = np.tile(np.arange(n), 8)
    table = sp.coo_array((np.full(len(x), 5.0), (x, rng.permutation(x))), shape=(n, n)).tocsr()
    return table + table.T


@cache
def paths():
    return list(fe.simulate(directed(60), 200, start=np.arange(8), n_walkers=8, rng=4))


WORDS = ["a", "b", "ab", "ba", "bb", "abba"]


@cache
def letters():
    """A language model of letters and a space, which ends a word."""
    law = np.random.default_rng(6).dirichlet(np.ones(5), (5, 5))
    return fe.llm.TableModel(["a", "b", " a", " b", "<end>"], law, end=[4])


def waves(n=1500):
    """A reward of each state."""
    return np.sin(np.arange(n) / 40.0)


def halves(chain):
    return np.arange(chain.n_states) % 2


@cache
def language_model():
    tokens, table, end = random_model_parts(np.random.default_rng(3), n_vocab=6, zeros=0.0)
    return llm.TableModel(tokens, table, end=end)


def gap_of(chain):
    return fe.spectral_gap(chain, rng=0, num_threads=1).gap


# Calls without `num_threads`: a language model has its own.
WITHOUT_THREADS = {"policy_flow", "word_chain", "rewrite_trajectories", "answers", "answers_of"}

#: {name: call(**options)}.
CALLS = {
    "stationary": lambda **o: fe.stationary(fresh(directed()), **o),
    "effective_resistances": lambda **o: fe.effective_resistances(
        counts() + counts().T, [0, 5], [70, 90], **o
    ),
    "pagerank": lambda **o: fe.pagerank(directed(), 0.99, **o),
    "law_at": lambda **o: fe.law_at(generator(), 9.0, 0, **o),
    "law_at, squaring": lambda **o: fe.law_at(generator(40), 1e6, 0, **o),
    "reached_by": lambda **o: fe.reached_by(generator(), [5], 9.0, **o),
    "expected_reward": lambda **o: fe.expected_reward(
        directed(), np.sin(np.arange(1500.0)), [0], **o
    ),
    "expected_visits": lambda **o: fe.expected_visits(reversible(), [7], target=[0], **o),
    "long_run_average": lambda **o: fe.long_run_average(directed(), np.sin(np.arange(1500.0)), **o),
    "hitting_times": lambda **o: fe.hitting_times(reversible(), [0], **o),
    "hitting_times, directed": lambda **o: fe.hitting_times(fresh(directed()), [0], **o),
    "hitting_distribution": lambda **o: fe.hitting_distribution(directed(), [0], 300, **o),
    "hitting_probabilities": lambda **o: fe.hitting_probabilities(
        reversible(), [0], avoid=[700], tol=1e-9, **o
    ),
    "hitting_probabilities, within": lambda **o: fe.hitting_probabilities(
        directed(), [0], avoid=[700], within=300, **o
    ),
    "committor": lambda **o: fe.committor(directed(), [0], [700], **o),
    "absorption_probabilities": lambda **o: fe.absorption_probabilities(
        reversible(), [[0], [500], [1000]], **o
    ),
    "hitting_moments": lambda **o: fe.hitting_moments(reversible(), [0], **o),
    "hitting_bounds": lambda **o: fe.hitting_bounds(fresh(directed()), [0], **o),
    "commute_times": lambda **o: fe.commute_times(reversible(), [0, 5], [700, 900], **o),
    "kemeny_constant": lambda **o: fe.kemeny_constant(reversible(), n_probes=5, rng=1, **o),
    "autocorrelation": lambda **o: fe.autocorrelation(
        fresh(directed()), np.sin(np.arange(1500)), n_lags=40, **o
    ),
    "conductance": lambda **o: fe.conductance(reversible(), rng=1, **o),
    "modified_log_sobolev": lambda **o: fe.modified_log_sobolev(reversible(), rng=1, **o),
    "mixing_curve": lambda **o: fe.mixing_curve(
        fresh(directed()), np.arange(0, 1500, 60), 150, **o
    ),
    "information_curve": lambda **o: fe.information_curve(
        fresh(directed()), [1, 40, 90], n_starts=40, rng=1, **o
    ),
    "mixing_time": lambda **o: fe.mixing_time(lazy(), max_steps=300, **o),
    "mixing_time, starts": lambda **o: fe.mixing_time(
        lazy(), start=np.arange(0, 1500, 70), max_steps=150, **o
    ),
    "spectral_gap": lambda **o: fe.spectral_gap(reversible(), rng=1, **o),
    "spectral_gap, certify": lambda **o: fe.spectral_gap(
        reversible(), method="lanczos", certify=True, tol=1e-6, rng=1, **o
    ),
    "spectral_gap, multigrid": lambda **o: fe.spectral_gap(
        reversible(), method="multigrid", tol=1e-3, rng=1, **o
    ),
    "spectral_gap, directed": lambda **o: fe.spectral_gap(fresh(directed(180)), rng=1, **o),
    "spectral_gap, absolute": lambda **o: fe.spectral_gap(
        fresh(directed(180)), kind="absolute", rng=1, **o
    ),
    "spectral_gap, additive": lambda **o: fe.spectral_gap(
        fresh(directed(180)), kind="additive", rng=1, **o
    ),
    "spectral_gap, multiplicative": lambda **o: fe.spectral_gap(
        fresh(directed(180)), kind="multiplicative", rng=1, **o
    ),
    "eigenpairs": lambda **o: fe.eigenpairs(reversible(), 4, rng=1, **o),
    "eigenpairs, directed": lambda **o: fe.eigenpairs(
        fresh(directed(180)), 3, tol=1e-6, which="modulus", rng=1, **o
    ),
    "metastable_sets": lambda **o: fe.metastable_sets(reversible(), 3, rng=1, **o),
    "lumpability": lambda **o: fe.lumpability(fresh(directed(180)), halves(directed(180)), **o),
    "detailed_balance": lambda **o: fe.detailed_balance(fresh(directed(180)), hodge=True, **o),
    "simulate": lambda **o: fe.simulate(
        directed(), 20_000, start=np.arange(20), n_walkers=20, rng=1, **o
    ),
    "simulate_hitting_times": lambda **o: fe.simulate_hitting_times(
        reversible(200), [0], n_walkers=40_000, rng=1, **o
    ),
    "splitting_probability": lambda **o: fe.splitting_probability(
        tilted(), 14, [0], [15], score=-np.arange(30.0), n_particles=50, n_replicas=48, rng=1, **o
    ),
    "splitting_hitting_time": lambda **o: fe.splitting_hitting_time(
        tilted(), 15, [0], score=-np.arange(30.0), n_particles=50, n_replicas=48, rng=1, **o
    ),
    "importance_hitting": lambda **o: fe.importance_hitting(
        tilted(), 14, [0], avoid=[15], beta=8.0, n_walkers=60_000, rng=1, **o
    ),
    "balance_test": lambda **o: fe.balance_test(counts(), n_bootstrap=450, rng=1, **o),
    "markov_test": lambda **o: fe.markov_test(paths(), n_bootstrap=30, rng=1, **o),
    "bootstrap": lambda **o: fe.bootstrap(paths(), gap_of, n=12, rng=1, reversible=True, **o),
    "implied_timescales": lambda **o: fe.implied_timescales(
        paths(), [1, 3], k=3, bootstrap=6, rng=1, **o
    ),
    "chapman_kolmogorov": lambda **o: fe.chapman_kolmogorov(
        paths(), 1, 3, 3, bootstrap=6, rng=1, **o
    ),
    "reactive_flux": lambda **o: fe.reactive_flux(reversible(), [0], [700], **o),
    "reactive_flux, directed": lambda **o: fe.reactive_flux(fresh(directed()), [0], [700], **o),
    "sample_posterior": lambda **o: fe.sample_posterior(counts(60), 60, burn_in=20, rng=1, **o),
    "sample_posterior, rows": lambda **o: fe.sample_posterior(
        counts(60), 60, reversible=False, rng=1, **o
    ),
    "fit_potential": lambda **o: fe.fit_potential(scattered(), rng=1, **o),
    "fit_potential, squares": lambda **o: fe.fit_potential(
        counts(), method="least-squares", rng=1, **o
    ),
    "fit_reward": lambda **o: fe.fit_reward(counts(), **o),
    "reversible_fit": lambda **o: fe.reversible_fit(counts(), **o),
    "reversible_fit, pi": lambda **o: fe.reversible_fit(
        counts(), pi=np.arange(1.0, 401.0) / 80_200, **o
    ),
    "policy_flow": lambda **o: rlvr.policy_flow(
        np.full(40, 1 / 40), [0, 3], 0.3, np.linspace(0, 6, 25), kind="vanilla", **o
    ),
    "flow_curve": lambda **o: rlvr.flow_curve(
        np.linspace(0.01, 0.9, 500), 0.25, np.linspace(0, 6, 40), **o
    ),
    "average": lambda **o: fe.policy.average(fresh(directed()), waves(), 0.5, **o),
    "average, small": lambda **o: fe.policy.average(fresh(directed(180)), waves(180), 0.05, **o),
    "first_exit": lambda **o: fe.policy.first_exit(
        reversible(), -1e-3 - waves() ** 2, 2.0, exit=[0, 700], **o
    ),
    "verifiable": lambda **o: fe.policy.verifiable(reversible(), [0], 0.5, wrong=[700], **o),
    "discounted": lambda **o: fe.policy.discounted(
        fresh(directed()), waves(), 0.5, discount=0.999, **o
    ),
    "finite_horizon": lambda **o: fe.policy.finite_horizon(
        directed(), waves(), 0.5, horizon=60, **o
    ),
    "rate_function": lambda **o: fe.policy.rate_function(
        fresh(directed(180)), waves(180), [0.1, -0.2, 0.0, 3.0], **o
    ),
    "word_chain": lambda **o: fe.llm.word_chain(
        letters(), WORDS, prompt=" {word}", batch_size=2, **o
    ),
    "rewrite_trajectories": lambda **o: fe.llm.rewrite_trajectories(
        letters(), WORDS, "a{text}", 6, len, max_length=4, rng=1, **o
    ),
    "answers": lambda **o: llm.answers(
        language_model(), "ab", HashVerifier(1), max_nodes=400, max_length=9, **o
    ),
    "answers_of": lambda **o: llm.answers_of(
        language_model(),
        ["a", "ab", "a", "c"],
        HashVerifier(2),
        max_nodes=100,
        max_length=9,
        batch_size=3,
        **o,
    ),
    "analyze": lambda **o: fe.analyze(
        fresh(directed(180)),
        score=np.arange(180.0),
        level=175,
        betas=[500.0],
        spectrum=2,
        n_walkers=500,
        tol=1e-6,
        rng=1,
        **o,
    ),
}


def fresh(chain):
    """The chain without the stationary law that an earlier call has found."""
    return fe.MarkovChain(chain.to_scipy())


def digest(value):
    """A text that changes with any bit of a result, apart from clocks."""
    found = hashlib.blake2b(digest_size=16)

    def add(part):
        if isinstance(part, fe.MarkovChain):
            part = part.fingerprint()
        if sp.issparse(part):
            part = part.toarray()
        if isinstance(part, llm.AnswerTree):
            add(part._state())
            part = part.to_dict()
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype}{part.shape}".encode())
            found.update(np.ascontiguousarray(part).tobytes())
        elif dataclasses.is_dataclass(part):
            for field in dataclasses.fields(part):
                if field.name not in CLOCKS:
                    found.update(field.name.encode())
                    add(getattr(part, field.name))
        elif isinstance(part, dict):
            for key, item in part.items():
                if key not in CLOCKS:
                    found.update(repr(key).encode())
                    add(item)
        elif isinstance(part, (list, tuple)):
            found.update(f"{len(part)}".encode())
            for item in part:
                add(item)
        else:
            found.update(repr(part).encode())

    add(value)
    return found.hexdigest()


def save_always():
    """From now on, save the state whenever that is possible."""
    module.SAVE_EVERY_S = module.WORK_PER_SAVE = 0.0


def called(name, **options):
    """The digest of a call's result."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        if name.partition(",")[0] not in WITHOUT_THREADS:
            options["num_threads"] = 1
        return digest(CALLS[name](**options))


if __name__ == "__main__":
    save_always()
    print("ready", flush=True)
    print(called(sys.argv[1], checkpoint=sys.argv[2]), flush=True)
