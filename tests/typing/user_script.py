"""What a user's type checker sees: `test_public_types.py` runs mypy --strict on this script."""

from typing import assert_type

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

import fastebm as fe

Floats = NDArray[np.float64]

# A chain from a matrix, from edges, and one whose rows are computed.
P = sp.csr_array(np.array([[0.5, 0.5, 0.0], [0.25, 0.5, 0.25], [0.0, 0.5, 0.5]]))
reward = np.array([0.0, 0.0, 1.0])
chain = fe.MarkovChain(P, reward=reward, labels=["a", "b", "c"])
walk = fe.MarkovChain.from_edges([0, 1, 2], [1, 2, 3], [1.0, 2.0, 1.0], symmetric=True)
cube = fe.Hypercube(4)
assert_type(chain.n_states, int)
assert_type(chain.nbytes, int)
assert_type(chain.is_reversible, bool)
assert_type(chain.lazy(0.5), fe.MarkovChain)
assert_type(chain.pi, Floats | None)

# The equilibrium.
law = fe.stationary(chain, tol=1e-12)
assert_type(law, fe.StationaryResult)
assert_type(law.pi, Floats)
assert_type(law.converged, bool)
balance = fe.detailed_balance(chain)
assert_type(balance, fe.BalanceResult)
assert_type(fe.structure(chain), fe.StructureResult)

# Tilting, gaps, hitting and mixing times.
policy = fe.tilt(chain, reward, beta=1.0)
assert_type(policy, fe.TiltedChain)
gap = fe.spectral_gap(policy, kind="spectral", rng=0)
assert_type(gap, fe.GapResult)
assert_type(gap.gap, float)
assert_type(gap.relaxation_time, float | None)
assert_type(gap.converged, bool)
hits = fe.hitting_times(policy, reward >= 1.0, gap=gap)
assert_type(hits, fe.HittingResult)
assert_type(hits.mean, Floats)
assert_type(hits.mean_from_pi, float)
assert_type(hits.bound_from_gap, float | None)
assert_type(hits.converged, bool)
curve = fe.mixing_curve(chain, 0, 4)
assert_type(curve, fe.MixingResult)
assert_type(curve.tv, Floats | None)  # None if not among `distances`
assert_type(fe.mixing_time(chain), fe.MixingTimeResult)
pairs = fe.eigenpairs(walk, 2, rng=0)
assert_type(pairs, fe.EigenResult)
assert_type(pairs.converged, bool)
sets = fe.metastable_sets(walk, 2, rng=0)
assert_type(sets, fe.MetastableResult)
assert_type(sets.converged, bool)

# Simulation.
sample = fe.simulate_hitting_times(walk, [3], start=0, n_walkers=100, rng=np.random.default_rng(1))
assert_type(sample, fe.HittingSample)
assert_type(sample.mean, float)

# From data.
counts = fe.count_transitions([np.array([0, 1, 2, 1, 0, 0, 1, 1, 2, 2, 1])])
assert_type(counts, fe.TransitionCounts)
fit = fe.reversible_fit(counts)
assert_type(fit, fe.ReversibleFit)
assert_type(fit.converged, bool)
assert_type(fe.MarkovChain.from_counts(counts, reversible=True), fe.MarkovChain)

# The whole analysis, and results as plain values.
report = fe.analyze(chain, level=1.0, rng=0)
assert_type(report, fe.Report)
assert_type(report.converged, bool)
document = gap.to_dict()
print(document["gap"], cube.n_states)

# Verifiable rewards: a number for numbers, an array for arrays.
assert_type(fe.rlvr.target_accuracy(0.25, 1.0), float)
assert_type(fe.rlvr.target_accuracy(np.array([0.25, 0.5]), 1.0), Floats)
