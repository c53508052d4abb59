"""Public calls with absurd sizes: a program that runs them in a small address space and prints what
each did. ``python -m absurd_calls`` prints one JSON object a call.

A name is "function.argument", with a number if an argument has several calls."""

import json
import resource
import signal
import sys
import tempfile
import time
import warnings

import numpy as np

import fastebm as fe
from fastebm import llm, rlvr

SIZES = (2**31 - 2, 10**13, 2**62, 2**64, 10**30)
# Bytes that the calls may add to the address space of the program.
ROOM = 2**31

CYCLE = fe.MarkovChain.from_edges(range(6), [1, 2, 3, 4, 5, 0], symmetric=True).lazy(0.5)
GENERAL = fe.MarkovChain(np.array([[0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6]]))
LATTICE = fe.Torus((40, 40))
TILTED = fe.tilt(CYCLE, np.arange(6.0) / 6, 1.0)
LEVEL = np.arange(6.0)
COUNTS = np.array([[0, 5, 2], [3, 0, 4], [2, 6, 0]])
PATHS = [np.random.default_rng(i).integers(0, 3, 200) for i in range(3)]
ANSWERS = np.broadcast_to(2e-7, 5_000_000)
P0 = np.broadcast_to(0.1, (200_000, 1))
EDGES = [0, 1, 2], [1, 2, 0]
FLIP = fe.MarkovChain(np.array([[0.9, 0.1], [0.1, 0.9]]))
HORIZON = fe.policy.finite_horizon(FLIP, [0.0, 1.0], 1.0, horizon=3)
PROMPTS = rlvr.fit_prompts(0.6, 0.186, 0.0624, 8)


TABLE = llm.TableModel(["a", "b", ""], [0.5, 0.3, 0.2], end=[2])


def answered(function=llm.answers, **options):
    """A tree that `verify` decides after two tokens."""
    arguments = {"max_nodes": 9, "max_length": 5} | options
    prompts = "a" if function is llm.answers else ["a", "b"]
    return function(
        TABLE, prompts, lambda text, ended: ended if ended or len(text) > 1 else None, **arguments
    )


def log_of(text="step,reward\n1,0.25\n2,0.5\n"):
    """A training log."""
    file = tempfile.NamedTemporaryFile("w", suffix=".csv")
    file.write(text)
    file.flush()
    return file


LOG = log_of()
COIN = fe.llm.TableModel([" a", " b"], [0.5, 0.5])
REWRITES = llm.rewrite_trajectories(TABLE, ["a"] * 3, "a{text}", 3, len, max_length=2, rng=0)


def first(chain):
    return float(chain.to_scipy().sum())


def rule(state, data, out_states, out_weights):
    out_states[0], out_weights[0] = state, 1.0
    return 1


def stop(info):
    """A callback for calls that take time and not memory."""
    raise KeyboardInterrupt


CALLS = {
    "HammingGraph.length": lambda v: fe.HammingGraph(v, 2),
    "HammingGraph.alphabet": lambda v: fe.HammingGraph(2, v),
    "Hypercube.m": lambda v: fe.Hypercube(min(v, 40)),
    "Torus.shape": lambda v: fe.Torus(v),
    "Torus.shape 2": lambda v: fe.Torus((v, v)),
    "row_kernel.n_states": lambda v: fe.row_kernel(rule, v, 1),
    "row_kernel.max_degree": lambda v: fe.row_kernel(rule, 3, v),
    "MarkovChain.from_counts.lag": lambda v: fe.MarkovChain.from_counts(COUNTS, lag=v),
    "MarkovChain.from_edges.n_states": lambda v: fe.MarkovChain.from_edges(*EDGES, n_states=v),
    "MarkovChain.from_edges.states": lambda v: fe.MarkovChain.from_edges([0, v], [v, 0]),
    "MarkovChain.from_trajectories.lag": lambda v: fe.MarkovChain.from_trajectories(PATHS, lag=v),
    "MarkovChain.from_trajectories.n_states": lambda v: fe.MarkovChain.from_trajectories(
        PATHS, n_states=v
    ),
    "implied_timescales.lags": lambda v: fe.implied_timescales(PATHS, [v], k=1),
    "implied_timescales.k": lambda v: fe.implied_timescales(PATHS, [1], k=v),
    "implied_timescales.bootstrap": lambda v: fe.implied_timescales(PATHS, [1], k=1, bootstrap=v),
    "chapman_kolmogorov.lag": lambda v: fe.chapman_kolmogorov(PATHS, v, [[0], [1]], 1),
    "chapman_kolmogorov.sets": lambda v: fe.chapman_kolmogorov(PATHS, 1, v, 1),
    "chapman_kolmogorov.steps": lambda v: fe.chapman_kolmogorov(PATHS, 1, [[0], [1]], v),
    "chapman_kolmogorov.steps 2": lambda v: fe.chapman_kolmogorov(PATHS, 1, [[0], [1]], [v]),
    "chapman_kolmogorov.bootstrap": lambda v: fe.chapman_kolmogorov(
        PATHS, 1, [[0], [1]], 1, bootstrap=v
    ),
    "reactive_flux.max_iter": lambda v: fe.reactive_flux(CYCLE, [0], [3], max_iter=v),
    "ReactiveFlux.pathways.k": lambda v: fe.reactive_flux(CYCLE, [0], [3]).pathways(v),
    "sample_posterior.n": lambda v: fe.sample_posterior(COUNTS, v),
    "sample_posterior.burn_in": lambda v: fe.sample_posterior(COUNTS, 9, burn_in=v, callback=stop),
    "sample_posterior.thin": lambda v: fe.sample_posterior(COUNTS, 9, thin=v, callback=stop),
    "PosteriorSample.chain.i": lambda v: fe.sample_posterior(COUNTS, 40, rng=0).chain(v),
    "count_transitions.lag": lambda v: fe.count_transitions(PATHS, lag=v),
    "count_transitions.n_states": lambda v: fe.count_transitions(PATHS, n_states=v),
    "count_transitions.states": lambda v: fe.count_transitions([[0, v, 0]]),
    "discretize.bins": lambda v: fe.discretize(np.arange(10.0), v),
    "discretize.bins 2": lambda v: fe.discretize(np.arange(10.0), v, method="uniform"),
    "bootstrap.n": lambda v: fe.bootstrap(COUNTS, first, n=v),
    "bootstrap.n 2": lambda v: fe.bootstrap(PATHS, first, n=v),
    "bootstrap.lag": lambda v: fe.bootstrap(PATHS, first, n=9, lag=v),
    "balance_test.n_bootstrap": lambda v: fe.balance_test(COUNTS, n_bootstrap=v),
    "balance_test.n_bootstrap 2": lambda v: fe.balance_test(COUNTS, n_bootstrap=v, sampling="rows"),
    "markov_test.lags": lambda v: fe.markov_test(PATHS, lags=(v,), n_bootstrap=3),
    "markov_test.n_bootstrap": lambda v: fe.markov_test(PATHS, n_bootstrap=v),
    "stationary.max_iter": lambda v: fe.stationary(GENERAL, max_iter=v),
    "CyclicResult.power.phase": lambda v: fe.cyclic_classes(CYCLE).power(v),
    "pagerank.max_iter": lambda v: fe.pagerank(COUNTS, max_iter=v),
    "expected_reward.max_iter": lambda v: fe.expected_reward(CYCLE, LEVEL, [0], max_iter=v),
    "expected_visits.max_iter": lambda v: fe.expected_visits(CYCLE, [1], target=[0], max_iter=v),
    "long_run_average.max_iter": lambda v: fe.long_run_average(CYCLE, LEVEL, max_iter=v),
    "absorption_probabilities.max_iter": lambda v: fe.absorption_probabilities(
        CYCLE, [[0], [3]], max_iter=v
    ),
    "hitting_bounds.max_iter": lambda v: fe.hitting_bounds(CYCLE, [0], max_iter=v),
    "hitting_moments.max_iter": lambda v: fe.hitting_moments(CYCLE, [0], max_iter=v),
    "hitting_probabilities.max_iter": lambda v: fe.hitting_probabilities(CYCLE, [0], max_iter=v),
    "hitting_probabilities.within": lambda v: fe.hitting_probabilities(CYCLE, [0], within=v),
    "hitting_times.max_iter": lambda v: fe.hitting_times(CYCLE, [0], max_iter=v),
    "hitting_distribution.n_steps": lambda v: fe.hitting_distribution(CYCLE, [0], v),
    "kemeny_constant.n_probes": lambda v: fe.kemeny_constant(LATTICE, n_probes=v),
    "analyze.spectrum": lambda v: fe.analyze(CYCLE, spectrum=v),
    "analyze.n_steps": lambda v: fe.analyze(CYCLE, n_steps=v),
    "analyze.n_walkers": lambda v: fe.analyze(
        CYCLE, score=LEVEL, level=5.0, n_walkers=v, callback=stop
    ),
    "analyze.max_steps": lambda v: fe.analyze(CYCLE, score=LEVEL, level=5.0, max_steps=v),
    "autocorrelation.n_lags": lambda v: fe.autocorrelation(CYCLE, LEVEL, n_lags=v),
    "autocorrelation.n_lags 2": lambda v: fe.autocorrelation(CYCLE, np.ones(6), n_lags=v),
    "mixing_curve.n_steps": lambda v: fe.mixing_curve(CYCLE, 0, v),
    "mixing_curve.n_steps 2": lambda v: fe.mixing_curve(CYCLE, 0, v, steps="log", callback=stop),
    "mixing_curve.steps": lambda v: fe.mixing_curve(CYCLE, 0, steps=[v], callback=stop),
    "mixing_time.max_steps": lambda v: fe.mixing_time(CYCLE, max_steps=v),
    "mixing_time.max_steps 2": lambda v: fe.mixing_time(LATTICE.lazy(0.5), max_steps=v),
    "eigenpairs.k": lambda v: fe.eigenpairs(CYCLE, v),
    "eigenpairs.max_matvecs": lambda v: fe.eigenpairs(CYCLE, 2, max_matvecs=v),
    "metastable_sets.k": lambda v: fe.metastable_sets(CYCLE, v),
    "spectral_gap.max_matvecs": lambda v: fe.spectral_gap(CYCLE, max_matvecs=v),
    "spectral_gap.num_threads": lambda v: fe.spectral_gap(LATTICE, num_threads=v),
    "simulate.n_steps": lambda v: fe.simulate(CYCLE, v),
    "simulate.n_walkers": lambda v: fe.simulate(CYCLE, 3, n_walkers=v),
    "simulate.rng": lambda v: fe.simulate(CYCLE, 3, rng=v),
    "simulate_hitting_times.n_walkers": lambda v: fe.simulate_hitting_times(
        CYCLE, [0], n_walkers=v, callback=stop
    ),
    "simulate_hitting_times.max_steps": lambda v: fe.simulate_hitting_times(
        CYCLE, [0], n_walkers=100, max_steps=v
    ),
    "importance_hitting.n_walkers": lambda v: fe.importance_hitting(
        TILTED, 0, [3], beta=2.0, n_walkers=v, callback=stop
    ),
    "importance_hitting.max_steps": lambda v: fe.importance_hitting(
        TILTED, 0, [3], beta=2.0, max_steps=v
    ),
    "splitting_hitting_time.n_particles": lambda v: fe.splitting_hitting_time(
        CYCLE, 0, [3], score=LEVEL, n_particles=v
    ),
    "splitting_hitting_time.n_replicas": lambda v: fe.splitting_hitting_time(
        CYCLE, 0, [3], score=LEVEL, n_replicas=v
    ),
    "splitting_probability.n_particles": lambda v: fe.splitting_probability(
        CYCLE, 1, [3], [0], score=LEVEL, n_particles=v
    ),
    "splitting_probability.n_replicas": lambda v: fe.splitting_probability(
        CYCLE, 1, [3], [0], score=LEVEL, n_replicas=v
    ),
    "information_curve.n_starts": lambda v: fe.information_curve(CYCLE, 3, n_starts=v),
    "information_curve.lags": lambda v: fe.information_curve(CYCLE, v),
    "information_bound.n_states": lambda v: fe.information_bound([1.0, 0.8], [1, 2], n_states=v),
    "decoding_schedule.length": lambda v: fe.decoding_schedule([0.5, 0.2, 0.1], v, 2),
    "decoding_schedule.n_rounds": lambda v: fe.decoding_schedule([0.5, 0.2, 0.1], 4, v),
    "average.max_iter": lambda v: fe.policy.average(CYCLE, LEVEL, 1.0, max_iter=v),
    "average.max_iter 2": lambda v: fe.policy.average(
        LATTICE, np.arange(1600.0) % 7, 1.0, max_iter=v
    ),
    "first_exit.max_iter": lambda v: fe.policy.first_exit(CYCLE, -LEVEL, 1.0, exit=[0], max_iter=v),
    "verifiable.max_iter": lambda v: fe.policy.verifiable(CYCLE, [3], 1.0, wrong=[0], max_iter=v),
    "finite_horizon.horizon": lambda v: fe.policy.finite_horizon(FLIP, [0.0, 1.0], 1.0, horizon=v),
    "HorizonPolicy.chain.t": HORIZON.chain,
    "word_chain.batch_size": lambda v: fe.llm.word_chain(
        COIN, ["a", "b"], prompt=" {word}", batch_size=v
    ),
    "rewrite_trajectories.n_steps": lambda v: fe.llm.rewrite_trajectories(
        COIN, [" a"], "{text}", v, len, max_length=1, callback=stop
    ),
    "rewrite_trajectories.max_length": lambda v: fe.llm.rewrite_trajectories(
        COIN, [" a"], "{text}", 1, len, max_length=v, stop=lambda text: True
    ),
    "rewrite_trajectories.batch_size": lambda v: fe.llm.rewrite_trajectories(
        COIN, [" a"], "{text}", 1, len, max_length=1, batch_size=v
    ),
    "Rewrites.counts.lag": lambda v: REWRITES.counts(lag=v),
    "Rewrites.unseen.step": lambda v: REWRITES.unseen(step=v),
    "OpenStates.expected_new.n": lambda v: REWRITES.unseen().expected_new(v),
    "rewrite_trajectories.bins": lambda v: fe.llm.rewrite_trajectories(
        COIN, [" a"], "{text}", 1, len, max_length=1, bins=v
    ),
    "PromptFit.quadrature.n": PROMPTS.quadrature,
    "fit_prompts.group_size": lambda v: rlvr.fit_prompts(0.6, 0.186, 0.0624, v),
    "fit_prompts.n_groups": lambda v: rlvr.fit_prompts(0.6, 0.186, 0.0624, 8, n_groups=v),
    "grpo_recurrence.n": lambda v: rlvr.grpo_recurrence(0.2, 2.0, v),
    "mean_pass_at_k.k": lambda v: rlvr.mean_pass_at_k([16, 20], [3, 4], v),
    "mean_pass_at_k.k 2": lambda v: rlvr.mean_pass_at_k(2**50, 2**48, min(v, 2**49)),
    "read_log.group_size": lambda v: rlvr.fit_curve(rlvr.read_log(LOG.name, group_size=v)),
    "expectation.axis": lambda v: rlvr.expectation([0.1, 0.2], axis=v),
    "fit_curve.lag": lambda v: rlvr.fit_curve(
        np.arange(50), rlvr.flow(0.1, 0.1, np.arange(50) / 20), lag=v
    ),
    "flow_curve.k": lambda v: rlvr.flow_curve([0.1, 0.2], 0.1, [0.0, 1.0], k=v),
    "sample_texts.max_length": lambda v: llm.sample_texts(
        TABLE, ["a"], max_length=v, rng=1, stop=lambda text: len(text) > 9
    ),
    "sample_texts.batch_size": lambda v: llm.sample_texts(
        TABLE, ["a"], max_length=3, rng=1, batch_size=v
    ),
    "answers.max_nodes": lambda v: answered(max_nodes=v),
    "answers.max_length": lambda v: answered(max_length=v),
    "answers.top_k": lambda v: answered(top_k=v),
    "answers.batch_size": lambda v: answered(batch_size=v),
    "answers_of.max_nodes": lambda v: answered(llm.answers_of, max_nodes=v),
    "answers_of.max_length": lambda v: answered(llm.answers_of, max_length=v),
    "answers_of.top_k": lambda v: answered(llm.answers_of, top_k=v),
    "answers_of.batch_size": lambda v: answered(llm.answers_of, batch_size=v),
    "AnswerTree.expand.more": lambda v: answered().expand(v),
    "AnswerTree.top.k": lambda v: answered().top(v),
    "TreePolicy.prefixes.k": lambda v: answered().policy(1.0).prefixes(v),
    "from_callable.n_vocab": lambda v: llm.from_callable(len, v),
    "from_llama_cpp.n_ctx": lambda v: llm.from_llama_cpp(None, n_ctx=v),
    "load.n_ctx": lambda v: llm.load("smollm2", n_ctx=v),
    "pass_at_k.k": lambda v: rlvr.pass_at_k([0.1, 0.2], v),
}
# Sizes that arrays set, whatever the number.
GRIDS = {
    "policy_flow.answers": lambda: rlvr.policy_flow(ANSWERS, [0], 0.1, [1.0]),
    "target_accuracy.shape": lambda: rlvr.target_accuracy(P0, P0.T),
    "flow.shape": lambda: rlvr.flow(P0[:20_000], P0.T, 1.0),
    "log_partition.shape": lambda: rlvr.log_partition(P0, P0.T),
    "pass_at_k.shape": lambda: rlvr.pass_at_k(P0, P0.T + 1),
    "kl_spent.shape": lambda: rlvr.kl_spent(P0, P0.T),
    "objective.shape": lambda: rlvr.objective(P0, 0.1, P0.T),
    "suboptimality.shape": lambda: rlvr.suboptimality(P0, P0.T, 0.1),
    "entropy.shape": lambda: rlvr.entropy(P0, P0.T, 1.0, 1.0),
    "beta_for_accuracy.shape": lambda: rlvr.beta_for_accuracy(P0, p=P0.T),
    "accuracy_for_kl.shape": lambda: rlvr.accuracy_for_kl(P0, P0.T),
    "beta_for_kl.shape": lambda: rlvr.beta_for_kl(P0, P0.T),
    "time_to_accuracy.shape": lambda: rlvr.time_to_accuracy(P0, P0.T, 0.1),
    "peak_entropy_accuracy.shape": lambda: rlvr.peak_entropy_accuracy(P0, P0.T),
    "alpha_target_accuracy.shape": lambda: rlvr.alpha_target_accuracy(P0, P0.T, 0.5),
    "mixing_curve.start": lambda: fe.mixing_curve(fe.Torus(2**23), np.arange(16), 1),
    "to_scipy.chain": lambda: fe.Torus((7000, 7000)).to_scipy(),
}


def outcome(call, *arguments):
    """{"error": class or None, "text", "expected": an error of fastebm, "seconds"}."""
    begin, found = time.perf_counter(), {"error": None, "text": "", "expected": True}
    signal.alarm(60)
    try:
        call(*arguments)
    except BaseException as error:
        expected = isinstance(error, (fe.FastebmError, fe.Interrupted, TypeError))
        found = {"error": type(error).__name__, "text": str(error), "expected": expected}
    signal.alarm(0)
    return found | {"seconds": time.perf_counter() - begin}


def main():
    def too_slow(*_):
        raise TimeoutError

    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, too_slow)
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM,) * 2)
    for name, call in CALLS.items():
        for value in SIZES:
            print(json.dumps({"name": name, "value": value} | outcome(call, value)), flush=True)
    for name, call in GRIDS.items():
        print(json.dumps({"name": name, "value": None} | outcome(call)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
