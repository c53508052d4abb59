"""The kernel ``M = q o exp(r / beta)`` of an optimal policy, applied to exp(v) in logs.

``M exp(v) = exp(T v)`` defines the soft Bellman operator T, ``(T v)(x) = log sum_y q(x, y)
exp(r(x, y) / beta + v(y))``. Its greedy policy ``P_v(x, y) = M(x, y) exp(v(y) - (T v)(x))`` is the
tilt of q by r / beta and the continuation value v. Where the logs span less than a double holds, T
is one product with scalings; elsewhere a sum of logs, row by row.
"""

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .. import _core
from .._runtime.types import BoolArray, FloatArray
from ..chains.chain import MarkovChain
from ..chains.restriction import restricted
from ..chains.scaling import log_values
from ..chains.tilt import checked_reward, on_pattern, over_beta, tilt
from ..errors import InvalidChainError
from ..linalg.rounding import UNIT
from ..patterns.passes import by_rows
from ..patterns.pattern import MAX_LOG_SPAN, Pattern
from ..patterns.scaled_pattern import ScaledPattern

# Below this size of the logs, exponentials are taken of their difference from one: the relative
# accuracy of small logs is kept, and so that of values at large beta.
SMALL = 0.25
# Rounding errors, in units of u = 2^-53, of an exponential, a logarithm and the sums around them.
LOCAL_ROUNDINGS = 16.0
# No smaller rounding error is stated of logs that are not zero: a product below the normal range of
# doubles is off by 5e-324, in every further operation by no more than a small part of this.
LEAST_ROUNDING = 1e-305


class LogKernel:
    """M on the states of `chain`.

    Parameters
    ----------
    chain : MarkovChain
        The rows of q, renormalised where transitions are forbidden or lead out of the states.
    log_factor : ndarray (n_states,), or None
        log of what these rows were divided by; None: zero.
    reward : ndarray (n_states,), or csr_array on the chain's pattern
        r / beta, finite.
    threads : int

    Attributes
    ----------
    n_products : int
        Applications of T so far.
    """

    def __init__(
        self, chain: MarkovChain, log_factor: FloatArray | None, reward: Any, threads: int
    ) -> None:
        self.chain, self.log_factor, self.reward, self.threads = chain, log_factor, reward, threads
        self.n_products = 0
        self._on_states = reward if isinstance(reward, np.ndarray) else None
        self._on_entries: FloatArray | None = None
        if self._on_states is None:
            pattern = chain._scaled.pattern
            self._on_entries = np.ascontiguousarray(on_pattern(pattern, reward))

    @property
    def n_states(self) -> int:
        return self.chain.n_states

    @property
    def is_on_states(self) -> bool:
        """Whether the reward depends on the state entered alone."""
        return self._on_states is not None

    @property
    def largest_reward(self) -> float:
        """The largest r / beta."""
        rewards = self._on_states if self._on_entries is None else self._on_entries
        assert rewards is not None
        return float(rewards.max(initial=-np.inf))

    @cached_property
    def _log_col(self) -> FloatArray | None:
        return self.chain._scaled.log_col

    def _logs(self, v: FloatArray) -> FloatArray:
        """r / beta + v of the state entered, without a reward of transitions."""
        return v if self._on_states is None else self._on_states + v

    def restrict(self, keep: BoolArray) -> "LogKernel":
        """M between the states with keep[i]. One without a transition to another of them, which
        must be an exit, gets one to itself: the row of an exit does not matter."""
        if keep.all():
            return self
        mass = self.chain._scaled.apply(keep.astype(np.float64), num_threads=self.threads)[keep]
        cut = mass == 0.0
        if cut.any():
            rows: Any = self.chain.to_scipy()
            loops: Any = sp.diags_array(cut.astype(np.float64))
            part = MarkovChain(rows[keep][:, keep] + loops, normalize=True)
        else:
            part = MarkovChain._from_scaled(restricted(self.chain._scaled, keep))
        factor = np.log(np.where(cut, 1.0, mass))
        if self.log_factor is not None:
            factor += self.log_factor[keep]
        reward = self.reward
        reward = reward[keep] if self.is_on_states else reward[keep][:, keep]
        return LogKernel(part, factor, reward, self.threads)

    # --- the operator -----------------------------------------------------------------------------

    def apply(self, v: FloatArray) -> FloatArray:
        """T v, for finite v."""
        self.n_products += 1
        scaled, logs = self.chain._scaled, self._logs(v)
        if self._size(logs) <= SMALL:
            if self._on_entries is None:
                grown = scaled.apply(np.expm1(logs), num_threads=self.threads)
            else:
                entry = self._on_entries + logs[scaled.pattern.matrix.indices]
                grown = _row_sums(scaled, np.expm1(entry))
            total: FloatArray = np.log1p(grown)
        elif self._fits(logs):
            middle = 0.5 * float(logs.max() + logs.min())
            total = np.log(scaled.apply(np.exp(logs - middle), num_threads=self.threads)) + middle
        else:
            total = self._log_sums(logs)
        return total if self.log_factor is None else total + self.log_factor

    def _size(self, logs: FloatArray) -> float:
        """The largest |log| that an entry of q is multiplied by, or more."""
        size = float(np.abs(logs).max())
        if self._on_entries is not None and self._on_entries.size:
            size += float(np.abs(self._on_entries).max())
        return size

    def _fits(self, logs: FloatArray) -> bool:
        scaled = self.chain._scaled
        if self._on_entries is not None:
            return False
        spans = np.ptp(logs), np.ptp(logs if self._log_col is None else logs + self._log_col)
        return bool(max(spans) + scaled.pattern.log_span <= MAX_LOG_SPAN)

    def _log_sums(self, logs: FloatArray) -> FloatArray:
        scaled = self.chain._scaled
        matrix, out = scaled.pattern.matrix, np.empty(self.n_states)
        log_row = scaled.log_row
        log_col = logs if scaled.log_col is None else scaled.log_col + logs
        entry = self._on_entries
        by_rows(
            "the policy",
            matrix,
            lambda begin, end: _core.tilt_log_sums(
                matrix, log_row, log_col, entry, begin, end, self.threads, out
            ),
        )
        if scaled.shift is not None:
            with np.errstate(divide="ignore"):
                out = np.logaddexp(out, np.log(scaled.shift) + logs)
        return out

    def rounding(self, v: FloatArray, Tv: FloatArray) -> float:
        """Bound of the absolute error of T v that rounding makes; that of r / beta is included."""
        scaled = self.chain._scaled
        degree = scaled.pattern.max_degree + 1.0
        logs = self._logs(v)
        size = self._size(logs)
        if size <= SMALL and self.log_factor is None:
            relative = 2.0 * UNIT * (degree + LOCAL_ROUNDINGS)
            return max(relative * size, LEAST_ROUNDING) if size else 0.0
        for part in (self._on_states, self.log_factor, v, Tv):
            if part is not None and part.size:
                size += float(np.abs(part).max())
        if not self._fits(logs):
            size += self._entry_size()
        return UNIT * (degree + LOCAL_ROUNDINGS + 4.0 * size)

    def entry_rounding(self, rounding: float) -> float:
        """Bound of the relative error of an entry of P_v."""
        return max(rounding, UNIT * (self.chain._scaled.pattern.max_degree + LOCAL_ROUNDINGS))

    def _entry_size(self) -> float:
        """The largest |log| of a stored number."""
        scaled = self.chain._scaled
        values = scaled.pattern.matrix.values
        parts = [p for p in (scaled.row, scaled.col, values) if p is not None and p.size]
        with np.errstate(divide="ignore"):
            ends = [abs(float(np.log(end))) for part in parts for end in (part.min(), part.max())]
        return sum(end for end in ends if np.isfinite(end))

    # --- the policy -------------------------------------------------------------------------------

    def policy(self, v: FloatArray) -> ScaledPattern:
        """P_v, for finite v."""
        if self._on_entries is None:
            return tilt(self.chain, self._logs(v), 1.0, num_threads=self.threads)._scaled
        scaled = self.chain._scaled
        log_col = v if scaled.log_col is None else scaled.log_col + v
        values, _, _ = log_values(
            scaled.pattern.matrix, scaled.log_row, log_col, self._on_entries, True, self.threads
        )
        matrix = scaled.pattern.matrix
        return ScaledPattern(Pattern(_core.Csr(matrix.indptr, matrix.indices, values)))

    def divergence(
        self, policy: ScaledPattern, v: FloatArray, Tv: FloatArray
    ) -> tuple[FloatArray, float]:
        """(KL(P_v(x, .) || q(x, .)) of every row, a bound of its absolute error)."""
        rounding = self.rounding(v, Tv)
        degree = policy.pattern.max_degree + 8.0
        if self._on_entries is None:
            logs = self._logs(v)
            middle = 0.5 * float(logs.max() + logs.min())
            mean = policy.apply(logs - middle, num_threads=self.threads)
            size = 0.5 * float(np.ptp(logs))
            k = mean - (Tv - middle)
        else:
            x, y = policy.pattern.expand(), policy.pattern.matrix.indices
            ratio = self._on_entries + v[y] - Tv[x]
            k = _row_sums(policy, ratio)
            size = float(np.abs(ratio).max())
        return np.maximum(k, 0.0), 2.0 * rounding + (degree * UNIT + rounding) * (size + 1.0)

    def mean_log_reward(self, policy: ScaledPattern | None = None) -> FloatArray:
        """The mean of r / beta over each row of a policy; without one, over each row of the chain,
        and its log factor: what a step of the unchanged chain earns."""
        scaled = self.chain._scaled if policy is None else policy
        if self._on_states is not None:
            mean = scaled.apply(self._on_states, num_threads=self.threads)
        else:
            assert self._on_entries is not None
            mean = _row_sums(scaled, self._on_entries)
        return mean if self.log_factor is None or policy is not None else mean + self.log_factor

    def largest_gain(self, v: FloatArray) -> float:
        """The largest r / beta + v(y) - v(x) over the transitions: no cycle has a larger mean of
        r / beta, and neither has a path in the long run."""
        scaled, largest = self.chain._scaled, -np.inf
        logs, first = self._logs(v), 0
        for begin, end in scaled.pattern.row_ranges():
            indptr, indices, _ = scaled.pattern.row_range(begin, end)
            entered = logs[indices]
            if self._on_entries is not None:
                entered = entered + self._on_entries[first : first + indices.size]
            first += indices.size
            top = np.maximum.reduceat(entered, indptr[:-1]) - v[begin:end]
            largest = max(largest, float(top.max()))
        if scaled.shift is not None and scaled.shift.any():
            largest = max(largest, float((logs - v)[scaled.shift > 0.0].max()))
        return largest + 8.0 * UNIT * (float(np.abs(v).max()) + self._size(logs))


def _row_sums(scaled: ScaledPattern, entry: FloatArray) -> FloatArray:
    """sum_y P(x, y) entry(x, y) of a stored matrix without shift."""
    matrix = scaled.pattern.matrix
    entry = entry if matrix.values is None else entry * matrix.values
    entry = entry if scaled.col is None else entry * scaled.col[matrix.indices]
    sums = np.bincount(scaled.pattern.expand(), entry, scaled.n_states)
    total = np.asarray(sums, np.float64)
    return total if scaled.row is None else total * scaled.row


def log_kernel(
    reference: MarkovChain,
    reward: npt.ArrayLike | sp.sparray | sp.spmatrix,
    beta: float,
    threads: int,
) -> LogKernel:
    """M of a reference and a reward; transitions of reward -inf are removed.

    Raises
    ------
    InvalidChainError
        The reward is NaN or +inf somewhere, or set where the reference has no transition; or every
        transition of a row is forbidden.
    """
    checked = checked_reward(reward, reference)
    chain, factor = reference, None
    if reference._scaled.pattern.loses_transitions:
        raise InvalidChainError(
            "the reference is a tilted chain with transitions that underflowed to zero; use its "
            "own reference and the sum of both rewards"
        )
    if not isinstance(checked, np.ndarray):
        checked = checked.copy()
        checked.data = over_beta(checked.data, beta)
        if chain._scaled.shift is not None:  # holding is a transition like the others
            chain = MarkovChain(chain.to_scipy(), labels=chain.labels, **chain._clock)
        forbidden = np.isneginf(checked.data)
        if forbidden.any():
            on_pattern(chain._scaled.pattern, checked)  # every entry is a transition
            gone = checked.copy()
            gone.data = np.where(forbidden, -np.inf, 0.0)
            chain = tilt(chain, gone, 1.0, num_threads=threads)
            factor = chain.log_partition
            x = np.repeat(np.arange(reference.n_states), np.diff(checked.indptr))[~forbidden]
            checked = sp.csr_array(
                (checked.data[~forbidden], (x, checked.indices[~forbidden])), shape=checked.shape
            )
        return LogKernel(chain, factor, checked, threads)
    logs = over_beta(checked, beta)
    forbidden = np.isneginf(logs)
    if forbidden.any():
        chain = tilt(chain, np.where(forbidden, -np.inf, 0.0), 1.0, num_threads=threads)
        factor, logs = chain.log_partition, np.where(forbidden, 0.0, logs)
    return LogKernel(chain, factor, logs, threads)
