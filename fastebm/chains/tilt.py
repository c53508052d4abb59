"""Tilting a reference chain by a reward: the kernel of a KL-regularised RL policy (arXiv 2512.18730, section 2)."""

import numpy as np
import scipy.sparse as sp

from .. import _core
from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.threads import resolve_threads
from ..errors import InvalidChainError
from ..patterns.pattern import MAX_LOG_SPAN, Pattern
from . import scaling
from .archive import write_facts, write_folder
from .chain import MarkovChain, is_chain


class TiltedChain(MarkovChain):
    """``P(x, y) = q(x, y) exp(r(x, y) / beta) / Z(x)``, made by `tilt`; see there.

    Attributes
    ----------
    reference : MarkovChain
        The kernel q.
    reward : ndarray (n_states,) or scipy.sparse.csr_array
        r: the score of the state reached, or one number a transition.
    beta : float
        The KL coefficient ("temperature").
    log_partition : ndarray (n_states,)
        log Z(x); beta times it is the optimal value at x.
    """

    def with_beta(self, beta, *, num_threads=None):
        """The same reference and reward at another beta. A reward vector costs O(n_states) memory and one product."""
        return tilt(self.reference, self.reward, beta, num_threads=num_threads)

    def reference_kl(self):
        """KL(P(x, .) || q(x, .)) in nats for every x, float64 (n_states,): ``E_P[r] / beta - log Z``.

        The difference is exact to about 1e-16 of max |r| / beta, and rounding below zero is cut off.
        """
        if self.beta == np.inf:
            return np.zeros(self.n_states)
        if sp.issparse(self.reward):
            P = self.to_scipy()
            forbidden_free = self.reward.copy()
            forbidden_free.data[np.isneginf(forbidden_free.data)] = 0.0  # P is zero there
            mean = np.asarray(P.multiply(forbidden_free).sum(axis=1)).ravel()
        else:
            mean = self @ np.where(np.isneginf(self.reward), 0.0, self.reward)
        return np.maximum(mean / self.beta - self.log_partition, 0.0)

    def __reduce__(self):
        return tilt, (self.reference, self.reward, self.beta)

    def _write(self, folder):
        """A saved tilt is its recipe: the reference (a folder inside), the reward and beta. Loading costs
        one product and no matrix is stored twice."""
        write_folder(folder / "reference", self.reference._write)
        is_sparse = sp.issparse(self.reward)
        if is_sparse:
            sp.save_npz(folder / "tilt_reward.npz", self.reward)
        else:
            np.save(folder / "tilt_reward.npy", self.reward)
        write_facts(
            folder,
            {
                "kind": "tilt",
                "n_states": self.n_states,
                "beta": repr(self.beta),
                "sparse_reward": is_sparse,
            },
        )

    @staticmethod
    def _read(folder, facts, load):
        """The tilt that `_write` wrote; load(folder) reads the reference."""
        if facts["sparse_reward"]:
            reward = sp.load_npz(folder / "tilt_reward.npz")
        else:
            reward = np.load(folder / "tilt_reward.npy")
        return tilt(load(folder / "reference"), reward, float(facts["beta"]))


def tilt(reference, reward, beta, *, num_threads=None):
    """The RL-tuned kernel ``P(x, y) = q(x, y) exp(r(x, y) / beta) / Z(x)``, the maximiser of ``E_p[r] - beta KL(p || q)``.

    Parameters
    ----------
    reference : MarkovChain
        The pretrained kernel q.
    reward : array_like (n_states,) or scipy sparse (n_states, n_states)
        A score R(y) of the state reached (the same kernel as the potential difference R(y) - R(x)), or r(x, y) on transitions
        of the reference, zero where nothing is stored. -inf forbids a state or transition.
    beta : float
        The KL coefficient, > 0; inf gives the reference itself.

    Returns
    -------
    TiltedChain
        Shares the reference's pattern for a reward vector: O(n_states) new memory and one product. A sparse reward, a
        forbidden state, or reward / beta beyond about +-300 stores new values, formed row by row in the log domain.
        Where the reference is reversible with respect to mu, a reward vector gives ``pi ∝ mu Z exp(R / beta)`` in closed form.

    Raises
    ------
    InvalidChainError
        beta <= 0 or NaN, a reward of NaN or +inf, a reward off the reference's pattern, or a row whose every transition is
        forbidden.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> q = fe.MarkovChain.from_edges([0, 1], [1, 2], symmetric=True)
    >>> tilted = fe.tilt(q, [0.0, 0.0, 1.0], beta=0.5)
    >>> tilted.to_scipy().toarray().round(3).tolist()
    [[0.0, 1.0, 0.0], [0.119, 0.0, 0.881], [0.0, 1.0, 0.0]]
    """
    is_chain(reference, "reference")
    if isinstance(beta, (int, float, np.integer, np.floating)) and beta == np.inf:
        beta = np.inf
    else:
        beta = validate.number(beta, "beta", above=0.0)
    threads = resolve_threads(num_threads)
    n = reference.n_states
    if sp.issparse(reward):
        reward = _checked_sparse(reward, n)
    else:
        reward = validate.vector(reward, n, "reward", allow_minus_inf=True)
    if beta == np.inf:
        parts = (
            reference._scaled.pattern,
            reference._scaled.row,
            reference._scaled.col,
            reference._scaled.shift,
        )
        return _make(reference, reward, beta, np.zeros(n), parts, law=reference._law)
    if sp.issparse(reward):
        return _stored_tilt(reference, reward, beta, None, threads)
    logs = _over(reward, beta)
    log_col = logs if reference._scaled.col is None else reference._scaled.log_col + logs
    with np.errstate(invalid="ignore"):  # every state forbidden: named below, by its row
        span = max(np.ptp(log_col), np.ptp(logs)) + reference._scaled.pattern.log_span
    if np.isfinite(span) and span <= MAX_LOG_SPAN:
        return _scaled_tilt(reference, reward, beta, logs, log_col, threads)
    return _stored_tilt(reference, reward, beta, logs, threads)


def _make(reference, reward, beta, log_partition, parts, *, law=None):
    chain = TiltedChain.__new__(TiltedChain)
    chain._set(*parts, labels=reference.labels, law=law)
    chain.reference, chain.reward, chain.beta, chain.log_partition = (
        reference,
        reward,
        beta,
        log_partition,
    )
    return chain


def _scaled_tilt(reference, reward, beta, logs, log_col, threads):
    """New scalings on the same pattern. A constant of log_col cancels in P; its middle is taken out to stay in range."""
    pattern, n = reference._scaled.pattern, reference.n_states
    middle = 0.5 * (log_col.max() + log_col.min())
    col = np.exp(log_col - middle)
    total = np.empty((n, 1))
    _core.scaled_apply(
        pattern.scaled(reference._scaled.row, None, None), col[:, None], total, None, False, threads
    )
    total = total[:, 0]
    shift = None
    if reference._scaled.shift is not None:
        shift = reference._scaled.shift * np.exp(logs - middle)
        total = total + shift
        shift /= total
    row = 1.0 / total if reference._scaled.row is None else reference._scaled.row / total
    return _make(reference, reward, beta, np.log(total) + middle, (pattern, row, col, shift))


def _stored_tilt(reference, reward, beta, logs, threads):
    """New values, entry by entry in the log domain; logs is reward / beta for a vector, None for a sparse reward."""
    plain, stored = reference, reference._scaled.pattern.matrix.values
    if stored is not None and not stored.all():
        raise InvalidChainError(
            "the reference has transitions that underflowed to zero when it was tilted itself; tilt its own reference by both rewards at once"
        )
    if (
        reference._scaled.shift is not None
    ):  # holding competes with moving, so it must be an entry like the others
        plain = MarkovChain(reference.to_scipy())
    pattern, matrix = plain._scaled.pattern, plain._scaled.pattern.matrix
    forecast_memory(24 * matrix.nnz, "the values of the tilted chain")
    log_row, log_col, entry = plain._scaled.log_row, plain._scaled.log_col, None
    if logs is None:
        entry = _over(_on_pattern(pattern, reward), beta)
        forbidden = np.isneginf(entry)
    else:
        log_col = logs if log_col is None else log_col + logs
        forbidden = np.isneginf(logs)[matrix.indices]
    values, log_norm, empty = scaling.log_values(matrix, log_row, log_col, entry, True, threads)
    if empty >= 0:
        raise InvalidChainError(
            f"row {empty}: the reward forbids every transition; allow one, or restrict the chain first"
        )
    if (
        forbidden.any()
    ):  # a forbidden transition is no edge; one that merely underflows stays an edge, of value zero
        keep = ~forbidden
        indptr = np.concatenate([[0], np.cumsum(keep, dtype=np.int64)])[matrix.indptr]
        tilted = Pattern(_core.Csr(indptr, matrix.indices[keep], values[keep]))
        return _make(reference, reward, beta, log_norm, (tilted, None, None, None))
    potential = None
    if (
        logs is not None and plain.is_reversible
    ):  # log pi of the reference is potential - log row + log col
        potential = plain._scaled.pattern.potential + log_norm + logs
        potential = potential if plain._scaled.row is None else potential - plain._scaled.log_row
        potential = potential if plain._scaled.col is None else potential + plain._scaled.log_col
    tilted = Pattern(_core.Csr(matrix.indptr, matrix.indices, values), potential=potential)
    return _make(reference, reward, beta, log_norm, (tilted, None, None, None))


def _over(reward, beta):
    """reward / beta; a finite reward must stay finite."""
    with np.errstate(over="ignore"):
        logs = reward / beta
    overflow = np.isinf(logs) & np.isfinite(reward)
    if overflow.any():
        raise InvalidChainError(
            f"a reward of {reward[np.argmax(overflow)]} / beta ({beta}) overflows; raise beta or scale the reward"
        )
    return logs


def _checked_sparse(reward, n_states):
    if reward.shape != (n_states, n_states):
        raise InvalidChainError(
            f"a sparse reward must have shape {(n_states, n_states)}, got {reward.shape}"
        )
    if reward.dtype.kind not in "biuf":
        raise TypeError(f"reward must hold real numbers, not dtype {reward.dtype}")
    reward = sp.csr_array(reward, dtype=np.float64, copy=True)  # summing duplicates works in place
    reward.sum_duplicates()
    bad = np.isnan(reward.data) | np.isposinf(reward.data)
    if bad.any():
        at = int(np.argmax(bad))
        row = int(np.searchsorted(reward.indptr, at, side="right")) - 1
        raise InvalidChainError(
            f"reward[{row}, {reward.indices[at]}] is {reward.data[at]}; replace it by a number or -inf"
        )
    return reward


def _on_pattern(pattern, reward):
    """The reward of every entry of A, zero where none is stored."""
    matrix, n = pattern.matrix, pattern.n_states
    keys = pattern.expand().astype(np.int64) * n + matrix.indices
    wanted = np.repeat(np.arange(n, dtype=np.int64), np.diff(reward.indptr)) * n + reward.indices
    at = np.searchsorted(keys, wanted)
    found = keys[np.minimum(at, keys.size - 1)] == wanted
    if not found.all():
        row, col = divmod(int(wanted[np.argmin(found)]), n)
        raise InvalidChainError(
            f"reward[{row}, {col}] is set, but the reference has no transition {row} -> {col}; remove it"
        )
    if wanted.size == 0:
        return np.zeros(keys.size)
    place = np.minimum(np.searchsorted(wanted, keys), wanted.size - 1)
    return np.where(wanted[place] == keys, reward.data[place], 0.0)
