"""What the results of this package share: the optimal policy as a chain."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _core
from .._runtime.types import BoolArray, FloatArray
from ..chains.chain import MarkovChain
from ..chains.scaling import log_values
from ..chains.tilt import on_pattern, tilt
from ..linalg.rounding import UNIT
from ..patterns.pattern import Pattern
from ..patterns.scaled_pattern import ScaledPattern

# Products of a linear solve at most.
MAX_ITER = 100_000


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Problem:
    """A reference, a reward and beta, with the options of the call.

    Attributes
    ----------
    reward : ndarray (n_states,) or csr_array
        In units of the reward.
    kept : ndarray bool (n_states,), or None
        States where the policy is the reference's row: exits, and what cannot reach one.
    threads : int
    """

    reference: MarkovChain
    reward: Any
    beta: float
    kept: BoolArray | None
    options: dict[str, Any]
    threads: int


def policy_chain(problem: Problem, v: FloatArray) -> MarkovChain:
    """The rows ``P(x, y) ∝ q(x, y) exp(r(x, y) / beta + v(y))``, on `kept` those of q.

    It is the tilt of the reference by the reward and the continuation value, with scalings of the
    shared pattern alone, where v is finite and every kept row goes to states of one weight (an
    absorbing exit). Otherwise new values are stored.
    """
    reference, beta, kept = problem.reference, problem.beta, problem.kept
    reward, threads = problem.reward, problem.threads
    if isinstance(reward, np.ndarray):
        shaped = reward / beta + v
        changed = kept is not None and _changes(reference._scaled, kept, shaped)
        if not changed and np.isfinite(v).all():
            return tilt(reference, beta * shaped, beta, num_threads=threads)
    plain = reference
    if reference._scaled.shift is not None:
        plain = MarkovChain(reference.to_scipy(), labels=reference.labels, **reference._clock)
    scaled = plain._scaled
    pattern, matrix = scaled.pattern, scaled.pattern.matrix
    entry = v[matrix.indices]
    if isinstance(reward, np.ndarray):
        entry = entry + (reward / beta)[matrix.indices]
    elif isinstance(reward, (sp.sparray, sp.spmatrix)):
        entry = entry + on_pattern(pattern, reward) / beta
    if kept is not None:
        entry = np.where(kept[pattern.expand()], 0.0, entry)
    values, _, empty = log_values(matrix, scaled.log_row, scaled.log_col, entry, True, threads)
    assert empty < 0  # rows without a transition are kept, or refused before
    keep = ~np.isneginf(entry)
    if keep.all():
        found = _core.Csr(matrix.indptr, matrix.indices, values)
    else:  # a forbidden transition is removed
        indptr = np.concatenate([[0], np.cumsum(keep, dtype=np.int64)])[matrix.indptr]
        found = _core.Csr(indptr, matrix.indices[keep], values[keep])
    return MarkovChain._from_scaled(
        ScaledPattern(Pattern(found)), labels=reference.labels, **reference._clock
    )


def _changes(scaled: ScaledPattern, kept: BoolArray, weights: FloatArray) -> bool:
    """Whether weights of the states entered change a row of `kept`, or leave none of it."""
    indptr, indices, _ = scaled.pattern.rows(kept)
    entered = weights[indices]
    lowest = np.minimum.reduceat(entered, indptr[:-1])
    highest = np.maximum.reduceat(entered, indptr[:-1])
    if scaled.shift is not None:
        own = np.where(scaled.shift[kept] > 0.0, weights[kept], lowest)
        lowest, highest = np.minimum(lowest, own), np.maximum(highest, own)
    return bool(((lowest != highest) | np.isneginf(lowest)).any())


def reward_parts(reward: Any) -> tuple[Any, ...]:
    """The arrays of a checked reward, for a fingerprint."""
    if isinstance(reward, np.ndarray):
        return (reward,)
    return reward.indptr, reward.indices, reward.data


def lower_end(x: FloatArray, size: FloatArray | float = 0.0) -> FloatArray:
    """x rounded down by more than the few operations that made it, of numbers up to itself and
    `size`."""
    return np.asarray(x - 8.0 * UNIT * (np.abs(x) + np.abs(size)), np.float64)


def upper_end(x: FloatArray, size: FloatArray | float = 0.0) -> FloatArray:
    """x rounded up."""
    return np.asarray(x + 8.0 * UNIT * (np.abs(x) + np.abs(size)), np.float64)


def swept(policy: Any, betas: Iterable[float]) -> list[Any]:
    """The policy at each of several beta."""
    return [policy.with_beta(float(beta)) for beta in betas]
