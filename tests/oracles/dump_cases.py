"""The chains, data and calls of dump_results.py. Tables hold one call a line, known by its text. A
line "<= N" limits those that follow to chains of N states, as they take long on larger ones. The
functions `questions`, `data` and `formulas` make the names in these expressions."""

# ruff: noqa: B023 - a chain is made before the loops go on

import example_rules
import gallery
import numpy as np
import scipy.sparse as sp

import fastebm


class Used:
    """A module that records which of its functions are used."""

    def __init__(self, module):
        self._module, self.names = module, set()

    def __getattr__(self, name):
        self.names.add(name)
        return getattr(self._module, name)


fe, rlvr = Used(fastebm), Used(fastebm.rlvr)


def csr(case):
    return case.P.indptr, case.P.indices, case.P.data


def chains(folder):
    """Yield (name, function that makes the chain anew); use each before the next one is made."""
    rng = np.random.default_rng(5)
    MC, tilt = fe.MarkovChain, fe.tilt
    for i, case in enumerate(gallery.cases()):
        yield f"{i:02d} {case.name}", lambda case=case: MC(case.P)
        if case.reversible:
            score = rng.normal(size=case.P.shape[0])
            for beta in (1.0, 0.1 if score.size < 300 else 0.4):
                name = f"{i:02d} {case.name} at {beta}"
                yield name, lambda beta=beta: tilt(MC(case.P), score, beta)
    for kind in gallery.VARIED:
        P, pi = gallery.varied_reversible(kind, 14, rng)
        yield f"varied {kind}", lambda P=P, pi=pi: MC(P)
    cube, torus, rules = np.sin(np.arange(64.0)), np.sin(np.arange(9100.0)), example_rules
    small = gallery.random_chain(20, 0.1, 3).P
    both = [x for M in (small, small.T.tocsr()) for x in (M.indptr, M.indices, M.data)]
    listed = {"data": tuple(both), "incoming": rules.listed_columns}
    yield "Hypercube(6)", lambda: fe.Hypercube(6)
    yield "Torus(5, 7)", lambda: fe.Torus((5, 7), holding=0.2, self_loop=True)
    yield "HammingGraph(4, 3)", lambda: fe.HammingGraph(4, 3, holding=0.1)
    yield "Hypercube(6) tilted", lambda: tilt(fe.Hypercube(6), cube, 0.2)
    yield "Hypercube(13)", lambda: fe.Hypercube(13)  # in two blocks of states
    yield "Torus(100, 91) tilted", lambda: tilt(fe.Torus((100, 91)), torus, 0.5)
    bits = {"data": (6,), "symmetric": True}
    yield "rule hypercube", lambda: fe.row_kernel(rules.hypercube, 64, 6, **bits)
    yield "rule birth_death", lambda: fe.row_kernel(rules.birth_death, 40, 2, data=(0.3, 0.5, 40))
    yield "rule listed", lambda: fe.row_kernel(rules.listed, 20, 20, **listed)
    for n, density in ((50, 0.1), (700, 0.01), (3000, 0.001)):
        case, other = gallery.random_reversible(n, density, n), gallery.random_chain(n, density, n)
        score, beyond = rng.normal(size=n), np.where(np.arange(n) % 7 == 3, -np.inf, 0.0)
        A = sp.csr_array(sp.diags_array(case.pi) @ case.P, dtype=np.float32)
        sparse = sp.csr_array((rng.normal(size=other.P.nnz), *csr(other)[1::-1]), shape=(n, n))
        cold = 800.0 * score / np.ptp(score)
        own = {
            "reversible": lambda case=case: MC(case.P, pi=case.pi, reward=score),
            "general": lambda other=other: MC(other.P, labels=[f"s{i}" for i in range(n)]),
            "float32": lambda A=A: MC(A, normalize=True),
            "float32 general": lambda other=other: MC(other.P.astype(np.float32), normalize=True),
            "cold": lambda case=case, cold=cold: tilt(MC(case.P), cold, 1.0),
            "cold general": lambda other=other, cold=cold: tilt(MC(other.P), cold, 1.0),
            "forbidden": lambda case=case, cold=cold: tilt(MC(case.P), score + beyond, 0.5),
            "sparse reward": lambda other=other: tilt(MC(other.P), sparse, 0.7),
            "lazy": lambda other=other: MC(other.P).lazy(0.25),
            "lazy reversible": lambda case=case: MC(case.P).lazy(0.5),
            "restricted": lambda case=case: MC(case.P).restrict(np.arange(n // 2)),
            "reversed": lambda other=other: MC(other.P).reverse(),
            "reversibilized": lambda other=other: fe.reversibilize(MC(other.P)),
            "continuous": lambda other=other: MC.from_generator(2.0 * (other.P - sp.eye_array(n))),
        }
        place = folder / str(n)
        own["reversible"]().save(place)
        own["memory-mapped"] = lambda place=place: fe.load(place)
        for name, make in own.items():
            if n < 3000 or name in ("reversible", "general", "lazy", "memory-mapped"):
                yield f"{name} {n}", make
    P = gallery.random_chain(12, 0.2, 1).P
    two = sp.block_diag((P, P), format="lil")
    yield "two closed classes", lambda: MC(sp.csr_array(two))
    joined = two.copy()
    joined[0] *= 0.5
    joined[0, 15] = 0.5
    yield "transient states", lambda: MC(sp.csr_array(joined))
    yield "largest class", lambda: MC(sp.csr_array(two)).largest_class()
    yield "one state", lambda: MC(np.ones((1, 1)))
    yield "english-phones", lambda: fe.datasets.load("english-phones")


CHAINS = """
c
[c @ f, f @ c, c @ np.outer(f, [1, 2, 3]), c.fingerprint()]
c.lazy(0.3)
c.reverse()
c.restrict(np.arange(n // 2 + 1))
c.largest_class()
[(t := fe.tilt(c, f, 0.4, **k)), t.log_partition, t.reference_kl()]
fe.structure(c, **k)
fe.stationary(c, **k)
fe.detailed_balance(c, **k)
fe.detailed_balance(c, hodge=True, **k)
fe.reversibilize(c, **k)
fe.spectral_gap(c, **r)
fe.spectral_gap(c, certify=True, **r)
fe.spectral_gap(c, kind='absolute', **r)
fe.spectral_gap(c, kind='absolute', certify=True, **r)
fe.spectral_gap(c, method='lanczos', max_matvecs=2000, **r)
fe.spectral_gap(c, method='lanczos', certify=True, max_matvecs=2000, **r)
fe.spectral_gap(c, method='multigrid', **r)
fe.spectral_gap(c, kind='absolute', method='lanczos', max_matvecs=2000, **r)
fe.spectral_gap(c, kind='absolute', method='multigrid', certify=True, **r)
fe.hitting_times(c, a, **k)
fe.hitting_times(c, b, tol=1e-3, **k)
fe.hitting_times(c, a, gap=fe.spectral_gap(c, **r), **k)
fe.hitting_probabilities(c, a, **k)
fe.hitting_probabilities(c, a, avoid=b, **k)
fe.committor(c, b, a, **k)
fe.absorption_probabilities(c, [b, a], **k)
fe.hitting_moments(c, a, **k)
fe.hitting_distribution(c, a, 20, start=[0], **k)
fe.hitting_distribution(c, a, 20, **k)
fe.return_times(c, **k)
fe.return_times(c, a, **k)
fe.commute_times(c, 0, n - 1, **k)
fe.conductance(c, vector=f, **r)
fe.autocorrelation(c, f, n_lags=5, **k)
fe.lumpability(c, np.arange(n) % min(3, n), **k)
fe.simulate(c, 20, start=[0, n - 1], n_walkers=3, **r)
fe.simulate(c, 5, n_walkers=3, **r)
fe.simulate_hitting_times(c, a, **walk)
fe.simulate_hitting_times(c, a, start=0, rel_ci=0.5, **walk)
fe.importance_hitting(c, n // 3, a, avoid=b, beta=2 * getattr(c, 'beta', 1), **walk)
fe.mixing_curve(c, [0, n - 1], 12, **k)
fe.mixing_curve(c, [0], 200, steps='log', gap=fe.spectral_gap(c, kind='absolute', **r), **k)
<= 3500
fe.eigenpairs(c, min(4, n), max_matvecs=1000, **r)
fe.kemeny_constant(c, n_probes=4, **r)
fe.conductance(c, **r)
fe.modified_log_sobolev(c, **r)
fe.dobrushin(c, **k)
fe.metastable_sets(c, 2 if n < 9 else 3, tol=1e-6, **r)
fe.fit_potential(c, action='exponential', std_error=False, **r)
<= 1600
fe.spectral_gap(c, kind='multiplicative', max_matvecs=2000, **r)
fe.spectral_gap(c, kind='multiplicative', certify=True, max_matvecs=2000, **r)
fe.spectral_gap(c, kind='additive', **r)
fe.spectral_gap(c, kind='additive', certify=True, **r)
fe.spectral_gap(c, kind='multiplicative', method='multigrid', max_matvecs=2000, **r)
fe.eigenpairs(c, min(4, n), which='modulus', max_matvecs=1000, **r)
fe.eigenpairs(c, min(4, n), which='both', max_matvecs=1000, **r)
fe.eigenpairs(c, min(4, n), which='smallest', max_matvecs=1000, **r)
fe.hitting_bounds(c, a, **k)
fe.fit_potential(c, **r)
fe.fit_potential(c, method='least-squares', **r)
fe.analyze(c, score=f, level=0.9, betas=(0.5,), spectrum=3, n_steps=5, **walk)
<= 750
fe.mixing_time(c, start=[0], max_steps=300, **k)
fe.mixing_time(c, max_steps=300, **k)
"""
# Walkers of the splitting take as many steps as they need: only on chains known to be quick.
SPLITTING = """
fe.splitting_probability(c, n // 3, a, b, score=np.arange(n), **split)
fe.splitting_hitting_time(c, 0, [n - 1], score=np.arange(n), **split)
"""
QUICK = ("cycle(7, 0.0)", "torus((4, 6))", "hypercube(6, 0.1)", "complete(50)", "random_chain(30)")
QUICK += (
    "Hypercube(6)",
    "Torus(5, 7)",
    "rule listed",
    "general 50",
    "float32 general 50",
    "phones",
)

DATA = """
fe.MarkovChain.from_counts(counts)
fe.MarkovChain.from_counts(counts, reversible=True, **k)
fe.reversible_fit(counts, **k)
fe.reversible_fit(both, pi=pi, **k)
fe.balance_test(counts, n_bootstrap=19, **r)
fe.balance_test(counts, method='pairs', n_bootstrap=19, **r)
fe.balance_test(counts, method='triangles', n_bootstrap=19, **r)
fe.markov_test(paths, n_bootstrap=19, **r)
fe.bootstrap(paths, lambda c: fe.stationary(c).pi, n=19, **r)
fe.bootstrap(paths, lambda c: fe.stationary(c).pi, n=19, reversible=True, **r)
fe.bootstrap(counts, lambda c: fe.stationary(c).pi, n=19, **r)
fe.bootstrap(counts, lambda c: fe.stationary(c).pi, n=19, reversible=True, **r)
fe.fit_potential(both, **r)
fe.fit_potential(both, trials=both.sum(axis=1) + 5.0, **r)
fe.fit_potential(counts, method='least-squares', **r)
fe.fit_reward(both, **r)
fe.connected_set(fe.count_transitions(ends))
fe.count_transitions(ends, lag=1)
fe.count_transitions(ends, lag=2)
fe.count_transitions(ends, lag=2, mode='sample')
fe.MarkovChain.from_trajectories(ends, connected=True)
fe.MarkovChain.from_trajectories(ends, connected=True, reversible=True, lag=2)
fe.discretize(pi, 3)
fe.discretize(pi, 3, method='uniform')
fe.superior_states(pi, 0.1)
fe.io.read(folder / 'file.csv')
fe.io.read(folder / 'file.tra')
fe.io.read(folder / 'file.mtx')
"""
FILES = {
    "csv": "from,to,count\nsun,sun,8\nsun,rain,2\nrain,sun,3\n",
    "tra": "3 3\n0 1 1.0\n1 2 0.5\n1 0 0.5\n",
    "mtx": "%%MatrixMarket matrix coordinate real symmetric\n2 2 2\n1 1 0.1\n2 1 0.7\n",
}

FORMULAS = """
rlvr.flow(p0, beta, t, **o)
rlvr.target_accuracy(p0, beta, **o)
rlvr.log_partition(p0, beta, **o)
rlvr.kl_spent(p, p0, **o, **k)
rlvr.objective(p, p0, beta, **o, **k)
rlvr.suboptimality(p, p0, beta, **o, **k)
rlvr.entropy(p, p0[1:-1], 0.7, 5.0, **o)
rlvr.peak_entropy_accuracy(t[:-1], t[-2::-1] / 2, **o)
rlvr.pass_at_k(p, [1, 3, 64, np.inf], **o)
rlvr.beta_for_accuracy(p0, p, **o)
rlvr.accuracy_for_kl(p0, t, **o, **k)
rlvr.beta_for_kl(p0, t, **o, **k)
rlvr.time_to_accuracy(p0, p, beta, **o)
[rlvr.alpha_target_accuracy(p0, beta, alpha, **o) for alpha in (0.0, 0.5, 1.0, 2.0, -1.0)]
rlvr.beta_for_mean(inner, accuracy=0.8, **o, **k)
rlvr.beta_for_mean(inner, kl=0.4, weights=1 + np.arange(inner.size), **o, **k)
rlvr.flow_curve(inner, 0.3, t.ravel(), h_correct=0.5, h_wrong=2.0, k=(1, 8), **o, **k)
rlvr.expectation(np.outer(law, law), weights=law)
[rlvr.divergence(other, law, kind) for kind in kinds]
[rlvr.optimal_policy(law, score, 0.05, divergence=kind) for kind in kinds]
[rlvr.optimal_policy(law, score, 1.0, divergence=kind) for kind in kinds]
rlvr.conditional_entropies(law, [0, 2])
rlvr.policy_flow(law, [0, 2], 0.3, [0.0, 0.5, 2.0, 30.0])
rlvr.policy_flow(law, [0, 2], 0.3, [0.0, 0.5, 2.0, 30.0], kind='vanilla')
rlvr.fit_curve(steps, noisy)
rlvr.fit_curve(steps, noisy, lag=0)
rlvr.fit_curve(steps, noisy, kl=rlvr.kl_spent(curve, 0.3), lag=3)
rlvr.fit_curve(steps, noisy, kl=rlvr.kl_spent(curve, 0.3), entropy=spread)
"""


def data(n, threads, folder):
    """The names of DATA: trajectories and counts of a chain, files."""
    rng, P = np.random.default_rng(n), gallery.random_chain(n, 0.3, n).P.toarray()
    paths = []
    for _ in range(12):
        paths.append([int(rng.integers(n))])
        for _ in range(60):
            paths[-1].append(int(rng.choice(n, p=P[paths[-1][-1]])))
    paths = [np.array(path) for path in paths]
    counts = rng.poisson(40.0 * P) + np.eye(n, dtype=int) + np.roll(np.eye(n, dtype=int), 1, axis=1)
    for suffix, text in FILES.items():
        (folder / f"file.{suffix}").write_text(text)
    ends, both = [*paths, np.array([n, n, 0])], counts + counts.T + 1
    pi, k = gallery.random_reversible(n, 0.3, n).pi, {"num_threads": threads}
    r = {"rng": 3, **k}
    return locals()


def formulas(logit, threads):
    """The names of FORMULAS."""
    p0 = np.array([0.0, 1e-300, 1e-9, 0.03, 0.2, 0.5, 0.97, 1 - 1e-12, 1.0])[:, None, None]
    p = np.array([0.0, 1e-12, 0.1, 0.5, 0.9, 1.0])[:, None]
    if logit:
        with np.errstate(divide="ignore"):
            p0, p = np.log(p0) - np.log1p(-p0), np.log(p) - np.log1p(-p)
    inner, beta = p0[1:-1].ravel(), np.array([0.0, 1e-3, 0.07, 0.5, 3.0, np.inf])
    t, o = np.array([0.0, 0.3, 4.0, 1e5, np.inf])[:, None], {"logit": logit}
    law, other = np.array([0.1, 0.3, 0.05, 0.55]), np.array([0.5, 0.2, 0.3, 0.0])
    score, kinds = [1.0, 0.4, -2.0, 0.0], ("kl", "forward_kl", "chi2", "hellinger", 0.5, 2.0, -1.0)
    steps, k = np.arange(1, 121), {"num_threads": threads}
    curve = rlvr.flow(0.3, 0.5, 0.02 * steps)
    spread = rlvr.entropy(curve, 0.3, 1.0, 2.0)
    noisy = curve + 0.02 * np.random.default_rng(0).normal(size=steps.size)
    return locals()
