"""Tilting a reference chain by a reward: the kernel of a KL-regularised RL policy (arXiv
2512.18730, section 2).

A probability that underflows stays an edge (of value zero) of a tilted chain, because classes and
reachability depend on the support alone. Only a reward of -inf removes a transition.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .. import _core
from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.threads import resolve_threads
from .._runtime.types import FloatArray
from ..errors import InvalidChainError
from ..patterns.pattern import MAX_LOG_SPAN, Pattern
from ..patterns.scaled_pattern import ScaledPattern
from . import scaling
from .chain import MarkovChain, require_chain
from .law import StationaryLaw


class TiltedChain(MarkovChain):
    """``P(x, y) = q(x, y) exp(r(x, y) / beta) / Z(x)``, made by `tilt`.

    Attributes
    ----------
    reference : MarkovChain
        The kernel q.
    reward : ndarray (n_states,) or scipy.sparse.csr_array
        r: the score of the state reached, or one number for each transition.
    beta : float
        The KL coefficient ("temperature").
    log_partition : ndarray (n_states,)
        log Z(x); beta times it is the optimal value at x.
    """

    reference: MarkovChain
    reward: FloatArray | sp.csr_array
    beta: float
    log_partition: FloatArray

    def with_beta(self, beta: float, *, num_threads: int | None = None) -> "TiltedChain":
        """The same reference and reward at another beta. With a reward vector this takes
        O(n_states) memory and one product.

        Parameters
        ----------
        beta : float
            As in `tilt`.

        Returns
        -------
        TiltedChain

        Raises
        ------
        InvalidChainError
            As in `tilt`.

        Examples
        --------
        >>> import fastebm as fe
        >>> q = fe.MarkovChain.from_edges([0, 1], [1, 2], symmetric=True)
        >>> fe.tilt(q, [0.0, 0.0, 1.0], beta=0.5).with_beta(2.0).beta
        2.0
        """
        return tilt(self.reference, self.reward, beta, num_threads=num_threads)

    def reference_kl(self) -> FloatArray:
        """KL(P(x, .) || q(x, .)) in nats for every x: ``E_P[r] / beta - log Z``.

        The difference is exact to about 1e-16 of max |r| / beta. Negative rounding errors are set
        to zero.

        Returns
        -------
        ndarray float64 (n_states,)

        Examples
        --------
        >>> import fastebm as fe
        >>> q = fe.MarkovChain.from_edges([0, 1], [1, 2], symmetric=True)
        >>> fe.tilt(q, [0.0, 0.0, 1.0], beta=0.5).reference_kl().round(3).tolist()
        [0.0, 0.328, 0.0]
        """
        if self.beta == np.inf:
            return np.zeros(self.n_states)
        if isinstance(self.reward, np.ndarray):
            mean = self @ np.where(np.isneginf(self.reward), 0.0, self.reward)
        else:
            P: Any = self.to_scipy()
            finite = self.reward.copy()
            finite.data[np.isneginf(finite.data)] = 0.0  # P is zero there
            mean = np.asarray(P.multiply(finite).sum(axis=1)).ravel()
        return np.maximum(mean / self.beta - self.log_partition, 0.0)

    def __reduce__(self) -> tuple[Any, ...]:
        return tilt, (self.reference, self.reward, self.beta)

    def _parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """A saved tilt is its recipe: the chain that was tilted first, then the reward and beta of
        each tilt. Loading takes one product a tilt, and no matrix is stored twice."""
        arrays, facts = self.reference._parts()
        prefix = f"tilt{len(facts['tilts'])}_"
        if isinstance(self.reward, np.ndarray):
            arrays[f"{prefix}reward"] = self.reward
        else:
            own = {"indptr": self.reward.indptr, "indices": self.reward.indices}
            arrays |= {prefix + name: array for name, array in own.items()}
            arrays[f"{prefix}values"] = self.reward.data
        return arrays, facts | {"tilts": [*facts["tilts"], repr(self.beta)]}


def tilted_again(
    chain: MarkovChain, arrays: Mapping[str, Any], betas: Iterable[str]
) -> MarkovChain:
    """The chain with the tilts of `TiltedChain._parts`."""
    for k, beta in enumerate(betas):
        reward: Any = arrays.get(f"tilt{k}_reward")
        if reward is None:
            parts = (arrays[f"tilt{k}_{name}"] for name in ("values", "indices", "indptr"))
            reward = sp.csr_array(tuple(parts), shape=chain.shape)
        chain = tilt(chain, reward, float(beta))
    return chain


def tilt(
    reference: MarkovChain,
    reward: npt.ArrayLike | sp.sparray | sp.spmatrix,
    beta: float,
    *,
    num_threads: int | None = None,
) -> TiltedChain:
    """The RL-tuned kernel ``P(x, y) = q(x, y) exp(r(x, y) / beta) / Z(x)``, which maximises
    ``E_p[r] - beta KL(p || q)``.

    Parameters
    ----------
    reference : MarkovChain
        The pretrained kernel q.
    reward : array_like (n_states,) or scipy sparse (n_states, n_states)
        A score R(y) of the state reached (the potential difference R(y) - R(x) gives the same
        kernel), or r(x, y) on transitions of the reference, zero if nothing is stored. -inf forbids
        a state or transition.
    beta : float
        The KL coefficient, > 0; inf gives the reference itself.

    Returns
    -------
    TiltedChain
        With a reward vector it shares the reference's pattern: O(n_states) new memory and one
        product. A sparse reward, a forbidden state, or reward / beta beyond about +-300 stores new
        values, computed row by row in the log domain. If the reference is reversible with respect
        to mu, a reward vector gives ``pi ∝ mu Z exp(R / beta)`` in closed form. It has no `rate`:
        where a uniformised reference holds is tilted too, so that the result is of no generator at
        that rate.

    Raises
    ------
    InvalidChainError
        beta is NaN or not positive; the reward is NaN or +inf somewhere, or set where the reference
        has no transition; or every transition of a row is forbidden.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> q = fe.MarkovChain.from_edges([0, 1], [1, 2], symmetric=True)
    >>> tilted = fe.tilt(q, [0.0, 0.0, 1.0], beta=0.5)
    >>> tilted.to_scipy().toarray().round(3).tolist()
    [[0.0, 1.0, 0.0], [0.119, 0.0, 0.881], [0.0, 1.0, 0.0]]
    """
    require_chain(reference, "reference")
    if isinstance(beta, (int, float, np.integer, np.floating)) and beta == np.inf:
        beta = np.inf
    else:
        beta = validate.number(beta, "beta", above=0.0)
    threads = resolve_threads(num_threads)
    n = reference.n_states
    checked = checked_reward(reward, reference)
    if beta == np.inf:
        return _make(
            reference, checked, beta, np.zeros(n), reference._scaled, law=reference._law.best
        )
    if not isinstance(checked, np.ndarray):
        return _stored_tilt(reference, checked, beta, None, threads)
    logs = over_beta(checked, beta)
    old_col = reference._scaled.log_col
    log_col = logs if old_col is None else old_col + logs
    with np.errstate(invalid="ignore"):  # every state forbidden: refused below, with its row
        span = max(np.ptp(log_col), np.ptp(logs)) + reference._scaled.pattern.log_span
    if np.isfinite(span) and span <= MAX_LOG_SPAN:
        return _scaled_tilt(reference, checked, beta, logs, log_col, threads)
    return _stored_tilt(reference, checked, beta, logs, threads)


def checked_reward(
    reward: npt.ArrayLike | sp.sparray | sp.spmatrix, reference: MarkovChain
) -> FloatArray | Any:
    """A reward as a float64 vector, or as a CSR array; -inf is allowed."""
    n = reference.n_states
    if isinstance(reward, (sp.sparray, sp.spmatrix)):
        return _checked_sparse(reward, n)
    return validate.vector(reward, n, "reward", reference.labels, allow_minus_inf=True)


def _make(
    reference: MarkovChain,
    reward: FloatArray | sp.csr_array,
    beta: float,
    log_partition: FloatArray,
    scaled: ScaledPattern,
    *,
    law: StationaryLaw | None = None,
) -> TiltedChain:
    chain = TiltedChain.__new__(TiltedChain)
    chain._set(scaled, labels=reference.labels, law=law, **reference._clock)
    chain.reference, chain.reward = reference, reward
    chain.beta, chain.log_partition = beta, log_partition
    return chain


def _scaled_tilt(
    reference: MarkovChain,
    reward: FloatArray,
    beta: float,
    logs: FloatArray,
    log_col: FloatArray,
    threads: int,
) -> TiltedChain:
    """New scalings on the same pattern. A constant in log_col cancels in P, so its middle is
    subtracted to stay in range."""
    old = reference._scaled
    middle = 0.5 * (log_col.max() + log_col.min())
    col = np.exp(log_col - middle)
    total = ScaledPattern(old.pattern, old.row).apply(col, num_threads=threads)
    shift = None
    if old.shift is not None:
        shift = old.shift * np.exp(logs - middle)
        total = total + shift
        shift /= total
    row = 1.0 / total if old.row is None else old.row / total
    scaled = ScaledPattern(old.pattern, row, col, shift)
    return _make(reference, reward, beta, np.log(total) + middle, scaled)


def _stored_tilt(
    reference: MarkovChain,
    reward: FloatArray | sp.csr_array,
    beta: float,
    logs: FloatArray | None,
    threads: int,
) -> TiltedChain:
    """New values, entry by entry in the log domain. logs is reward / beta for a vector, None for a
    sparse reward."""
    plain, stored = reference, reference._scaled.pattern.matrix.values
    if stored is not None and not stored.all():
        raise InvalidChainError(
            "the reference is a tilted chain with transitions that underflowed to zero; "
            "tilt its own reference by the sum of both rewards"
        )
    if reference._scaled.shift is not None:
        # holding competes with moving, so it must be an entry like the others
        plain = MarkovChain(reference.to_scipy())
    pattern, matrix = plain._scaled.pattern, plain._scaled.pattern.matrix
    forecast_memory(24 * matrix.nnz, "the values of the tilted chain")
    log_row, log_col, entry = plain._scaled.log_row, plain._scaled.log_col, None
    if logs is None:
        entry = over_beta(on_pattern(pattern, reward), beta)
        forbidden = np.isneginf(entry)
    else:
        log_col = logs if log_col is None else log_col + logs
        forbidden = np.isneginf(logs)[matrix.indices]
    values, log_norm, empty = scaling.log_values(matrix, log_row, log_col, entry, True, threads)
    assert log_norm is not None  # the rows are normalised
    if empty >= 0:
        raise InvalidChainError(
            f"row {empty}: the reward forbids every transition; allow one, or restrict the chain "
            "first"
        )

    def log_entries() -> FloatArray:
        """log P of every entry that is not forbidden."""
        x, y = pattern.expand(), matrix.indices
        found = -log_norm[x]
        if matrix.values is not None:
            found += np.log(matrix.values.astype(np.float64))
        for more in (
            None if log_row is None else log_row[x],
            None if log_col is None else log_col[y],
            entry,
        ):
            found = found if more is None else found + more
        return found[~forbidden]

    if forbidden.any():
        # A forbidden transition is removed; one that merely underflows stays an edge of value zero.
        keep = ~forbidden
        indptr = np.concatenate([[0], np.cumsum(keep, dtype=np.int64)])[matrix.indptr]
        tilted = Pattern(
            _core.Csr(indptr, matrix.indices[keep], values[keep]),
            log_entries=_lost_logs(values[keep], log_entries),
        )
        return _make(reference, reward, beta, log_norm, ScaledPattern(tilted))
    potential = None
    if logs is not None and pattern.potential is not None:
        # log pi of the reference is potential - log row + log col
        old_row, old_col = plain._scaled.log_row, plain._scaled.log_col
        potential = pattern.potential + log_norm + logs
        potential = potential if old_row is None else potential - old_row
        potential = potential if old_col is None else potential + old_col
    tilted = Pattern(
        _core.Csr(matrix.indptr, matrix.indices, values),
        potential=potential,
        log_entries=_lost_logs(values, log_entries),
    )
    return _make(reference, reward, beta, log_norm, ScaledPattern(tilted))


def _lost_logs(
    values: FloatArray, log_entries: Callable[[], FloatArray]
) -> Callable[[], FloatArray] | None:
    """`log_entries` if some of the values underflowed."""
    return log_entries if values.min(initial=1.0) < np.finfo(np.float64).tiny else None


def over_beta(reward: FloatArray, beta: float) -> FloatArray:
    """reward / beta; a finite reward must stay finite."""
    with np.errstate(over="ignore"):
        logs: FloatArray = reward / beta
    overflow = np.isinf(logs) & np.isfinite(reward)
    if overflow.any():
        raise InvalidChainError(
            f"a reward of {reward[np.argmax(overflow)]} / beta ({beta}) overflows; raise beta or "
            "scale the reward"
        )
    return logs


def _checked_sparse(reward: Any, n_states: int) -> Any:
    if reward.shape != (n_states, n_states):
        raise InvalidChainError(
            f"a sparse reward must have shape {(n_states, n_states)}, got {reward.shape}"
        )
    reward = validate.sparse_float64(reward, "reward")
    bad = np.isnan(reward.data) | np.isposinf(reward.data)
    if bad.any():
        at = int(np.argmax(bad))
        row = int(np.searchsorted(reward.indptr, at, side="right")) - 1
        raise InvalidChainError(
            f"reward[{row}, {reward.indices[at]}] is {reward.data[at]}; "
            "replace it by a number or -inf"
        )
    return reward


def on_pattern(pattern: Pattern, reward: Any) -> FloatArray:
    """The reward of every entry of A, zero if none is stored."""
    matrix, n = pattern.matrix, pattern.n_states
    keys = pattern.expand().astype(np.int64) * n + matrix.indices
    wanted = np.repeat(np.arange(n, dtype=np.int64), np.diff(reward.indptr)) * n + reward.indices
    at = np.searchsorted(keys, wanted)
    found = keys[np.minimum(at, keys.size - 1)] == wanted
    if not found.all():
        row, col = divmod(int(wanted[np.argmin(found)]), n)
        raise InvalidChainError(
            f"reward[{row}, {col}] is set, but the reference has no transition {row} -> {col}; "
            "remove it"
        )
    if wanted.size == 0:
        return np.zeros(keys.size)
    place = np.minimum(np.searchsorted(wanted, keys), wanted.size - 1)
    return np.where(wanted[place] == keys, reward.data[place], 0.0)
