"""The large-deviation rate at the largest or smallest mean reward of a cycle.

Let S be transitions among which every cycle has the mean reward m, and rho the spectral radius of q
on S. Then ``lambda(theta) >= rho exp(theta m)`` for every real theta, so that ``I(m) <= -log rho``.
Towards the largest mean the supremum is reached in the limit theta -> inf only, where the policy
keeps such transitions: they are read off a policy at a large theta, and that their cycles have one
mean is decided in exact arithmetic.
"""

import math
from collections import deque
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..chains.chain import MarkovChain
from ..linalg.rounding import UNIT
from .iteration import PerronSearch, frequent_state
from .log_kernel import LogKernel
from .perron_cycles import Report
from .result import MAX_ITER

# Transitions of less probability are not among those that are tried; nan: the most probable one of
# each state only.
CUTS = (1e-20, 1e-8, 1e-3, math.nan)
# More of them are not tried: arithmetic with exact numbers is slow.
MAX_TRANSITIONS = 100_000
# Wanted accuracy of log rho.
TOL = 1e-12


def extreme_rate(kernel: LogKernel, v: np.ndarray[Any, Any], reward: Any, report: Report) -> Any:
    """(m, an upper end of I(m)) for the cycles of the most frequent states of the policy P_v of a
    large theta; None if no set of transitions with one mean was found."""
    policy = kernel.policy(v).to_scipy()
    start = frequent_state(kernel, v)
    for cut in CUTS:
        members, kept = _cyclic_class(policy, cut, start)
        if members is None or kept.nnz > MAX_TRANSITIONS:
            continue
        x, y = kept.nonzero()
        mean = _mean_of_cycles(len(members), x, y, _rewards(reward, members[x], members[y]))
        if mean is not None:
            return mean, _escape_rate(kernel, members, kept, report)
    return None


def _cyclic_class(policy: Any, cut: float, start: int) -> tuple[Any, Any]:
    """(the states that communicate with `start` by transitions above the cut, these transitions
    among them as a csr_array); (None, None) if there is no cycle."""
    if math.isnan(cut):
        first = policy.argmax(axis=1)
        n = policy.shape[0]
        kept = sp.csr_array((np.ones(n), np.ravel(first), np.arange(n + 1)), shape=policy.shape)
    else:
        kept = policy.copy()
        kept.data = (kept.data >= cut).astype(np.float64)
        kept.eliminate_zeros()
    _, labels = sp.csgraph.connected_components(kept, connection="strong")
    if math.isnan(cut):  # the cycle to which the most probable steps lead
        for _ in range(policy.shape[0]):
            start = int(kept.indices[start])
    members = np.flatnonzero(labels == labels[start])
    kept = kept[members][:, members]
    return (members, kept) if kept.nnz else (None, None)


def _rewards(reward: Any, x: Any, y: Any) -> list[float]:
    found = reward[y] if isinstance(reward, np.ndarray) else np.ravel(reward[x, y])
    return [float(r) for r in found]


def _mean_of_cycles(n: int, x: Any, y: Any, reward: list[float]) -> Fraction | None:
    """The mean reward of every cycle of a strongly connected graph, or None if they differ. Along
    paths from state 0, sums of rewards and numbers of steps make a potential: each transition must
    change one by m times what it changes the other."""
    exact = [Fraction(r) for r in reward]
    scale = max(r.denominator for r in exact)  # a power of two
    numbers = [int(r * scale) for r in exact]
    following: list[list[tuple[int, int]]] = [[] for _ in range(n)]
    for i, (a, b) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        following[a].append((b, i))
    sums: list[int | None] = [None] * n
    steps, queue = [0] * n, deque([0])
    sums[0] = 0
    mean: tuple[int, int] | None = None
    edges: list[tuple[int, int]] = []
    while queue:
        a = queue.popleft()
        for b, i in following[a]:
            total = (sums[a] or 0) + numbers[i]
            before = sums[b]
            if before is None:
                sums[b], steps[b] = total, steps[a] + 1
                queue.append(b)
            else:
                edges.append((total - before, steps[a] + 1 - steps[b]))
    for excess, length in edges:
        if length:
            mean = excess, length
            break
    if mean is None or any(e * mean[1] != mean[0] * length for e, length in edges):
        return None
    return Fraction(mean[0], mean[1] * scale)


def _escape_rate(kernel: LogKernel, members: Any, kept: Any, report: Report) -> float:
    """-log of the spectral radius of q on the transitions of a class, rounded up."""
    q = kernel.chain.to_scipy()[members][:, members] * kept
    mass = np.asarray(q.sum(axis=1)).ravel()
    factor = np.log(mass)
    part = MarkovChain(sp.csr_array(q), normalize=True)
    own = LogKernel(part, factor, np.zeros(len(members)), kernel.threads)
    step = PerronSearch(own, np.zeros(len(members)), TOL, MAX_ITER).run(report)
    rounding = step.rounding + UNIT * (2.0 * kernel.chain._scaled.pattern.max_degree + 16.0)
    return max(rounding - float(step.rho.min()), 0.0)
