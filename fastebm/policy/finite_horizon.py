"""The optimal policy over a given number of steps; it depends on the time."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.memory import forecast_memory
from .._runtime.results import Result, result
from .._runtime.resumable import State, resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import Callback, FloatArray, Path
from ..chains.chain import MarkovChain, require_chain
from ..chains.tilt import checked_reward
from ..errors import InvalidChainError
from ..linalg.rounding import UNIT
from .certificate import residual_bound
from .log_kernel import LogKernel, log_kernel
from .result import Problem, policy_chain, reward_parts, swept


@result
class HorizonPolicy(Result):
    """The policies that maximise the rewards of the steps 0, ..., H - 1 and a final reward, minus
    beta times the KL of the path.

    Attributes
    ----------
    beta : float
    horizon : int
        H.
    value, path_kl, mean_reward : ndarray (horizon + 1, n_states)
        Row t: V_t, KL of the rest of the path in nats, and its expected rewards, from a state at
        time t. Row H: the final reward, and no KL. NaN in the rows that an interrupted call did
        not come to.
    value_error, path_kl_error, mean_reward_error : ndarray (horizon + 1,)
        Proven bounds of the absolute errors of the rows; inf where these are NaN.
    converged : bool
        True, because nothing is iterated; False in the partial result of an interrupted call.
    """

    beta: float
    horizon: int
    value: FloatArray
    path_kl: FloatArray
    mean_reward: FloatArray
    value_error: FloatArray
    path_kl_error: FloatArray
    mean_reward_error: FloatArray
    converged: bool
    _problem: Problem

    @property
    def value_lower(self) -> FloatArray:
        """Lower ends of `value`."""
        return _below(self.value, self.value_error)

    @property
    def value_upper(self) -> FloatArray:
        """Upper ends of `value`."""
        return _above(self.value, self.value_error)

    @property
    def path_kl_lower(self) -> FloatArray:
        """Lower ends of `path_kl`."""
        return np.maximum(_below(self.path_kl, self.path_kl_error), 0.0)

    @property
    def path_kl_upper(self) -> FloatArray:
        """Upper ends of `path_kl`."""
        return _above(self.path_kl, self.path_kl_error)

    @property
    def mean_reward_lower(self) -> FloatArray:
        """Lower ends of `mean_reward`."""
        return _below(self.mean_reward, self.mean_reward_error)

    @property
    def mean_reward_upper(self) -> FloatArray:
        """Upper ends of `mean_reward`."""
        return _above(self.mean_reward, self.mean_reward_error)

    def chain(self, t: int) -> MarkovChain:
        """The policy of the step from time t to t + 1, ``P(x, y) ∝ q(x, y) exp((r(x, y) +
        V_(t + 1)(y)) / beta)``; with a reward vector, scalings of the shared pattern.

        Parameters
        ----------
        t : int
            0, ..., horizon - 1.

        Returns
        -------
        MarkovChain

        Examples
        --------
        >>> import fastebm as fe
        >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True)
        >>> best = fe.policy.finite_horizon(walk, [0.0, 0.0, 0.0, 1.0], 0.5, horizon=3)
        >>> best.chain(2).to_scipy().toarray()[0].round(4).tolist()
        [0.0, 0.1192, 0.0, 0.8808]
        """
        t = validate.count(t, "t", minimum=0)
        if t >= self.horizon:
            raise InvalidChainError(
                f"t must be below the horizon {self.horizon}, got {t}; the last step leads from "
                f"{self.horizon - 1} to {self.horizon}"
            )
        if np.isnan(self.value[t + 1]).any():
            raise InvalidChainError(
                f"the values at time {t + 1}, on which the policy of step {t} depends, are not "
                "known, because the call was interrupted; run it again"
            )
        return policy_chain(self._problem, self.value[t + 1] / self.beta)

    def with_beta(self, beta: float) -> "HorizonPolicy":
        """The optimum at another beta.

        Parameters
        ----------
        beta : float
            > 0.

        Returns
        -------
        HorizonPolicy

        Examples
        --------
        >>> import fastebm as fe
        >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True)
        >>> best = fe.policy.finite_horizon(walk, [0.0, 0.0, 0.0, 1.0], 0.5, horizon=3)
        >>> best.with_beta(0.1).value[0].round(3).tolist()
        [1.861, 0.931, 1.861, 0.931]
        """
        p = self._problem
        return finite_horizon(p.reference, p.reward, beta, **p.options)

    def sweep(self, betas: Iterable[float]) -> "list[HorizonPolicy]":
        """`with_beta` of each beta.

        Parameters
        ----------
        betas : sequence of float

        Returns
        -------
        list of HorizonPolicy

        Examples
        --------
        >>> import fastebm as fe
        >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True)
        >>> best = fe.policy.finite_horizon(walk, [0.0, 0.0, 0.0, 1.0], 0.5, horizon=3)
        >>> [p.beta for p in best.sweep([2.0, 1.0])]
        [2.0, 1.0]
        """
        found: list[HorizonPolicy] = swept(self, betas)
        return found


def finite_horizon(
    reference: MarkovChain,
    reward: npt.ArrayLike | sp.sparray | sp.spmatrix,
    beta: float,
    *,
    horizon: int,
    final: npt.ArrayLike | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> HorizonPolicy:
    """The optimal policies of `horizon` steps, by backward induction.

    Parameters
    ----------
    reference : MarkovChain
        The pretrained kernel q.
    reward : array_like (n_states,) or scipy sparse (n_states, n_states)
        R(y) of the state entered, or r(x, y) on transitions of the reference, zero if nothing is
        stored. -inf forbids a state or transition.
    beta : float
        The KL coefficient, > 0.
    horizon : int
        H, the number of steps, >= 1.
    final : array_like (n_states,), optional
        Reward of the state at time H, in addition to that of entering it; zero by default.
    num_threads, progress, callback
        As in `simulate_hitting_times`.
    checkpoint : path, optional
        A file from which an interrupted call continues with the same bits.

    Returns
    -------
    HorizonPolicy

    Raises
    ------
    InvalidChainError
        A bad argument, or every transition of a row is forbidden.
    MemoryForecastError
        The values of all times do not fit.
    Interrupted
        Ctrl-C. `partial` has the values of the last steps, which are found first; those of earlier
        times are NaN, and their errors infinite.

    Examples
    --------
    >>> import fastebm as fe
    >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 0], symmetric=True)
    >>> best = fe.policy.finite_horizon(walk, [0.0, 0.0, 0.0, 1.0], beta=0.5, horizon=3)
    >>> best.value[0].round(4).tolist()
    [1.4338, 0.7169, 1.4338, 0.7169]
    """
    require_chain(reference, "reference")
    beta = validate.number(beta, "beta", above=0.0)
    horizon = validate.count(horizon, "horizon")
    n, threads = reference.n_states, resolve_threads(num_threads)
    end = np.zeros(n) if final is None else validate.vector(final, n, "final", reference.labels)
    forecast_memory(32 * n * (horizon + 1), f"the values of {horizon + 1:,} times", "lower horizon")
    kernel = log_kernel(reference, reward, beta, threads)
    options: dict[str, Any] = {"horizon": horizon, "final": end, "num_threads": num_threads}
    problem = Problem(reference, checked_reward(reward, reference), beta, None, options, threads)
    values, kls = np.empty((horizon + 1, n)), np.zeros((horizon + 1, n))
    errors, kl_errors = np.zeros(horizon + 1), np.zeros(horizon + 1)
    values[horizon] = end / beta
    errors[horizon] = UNIT * float(np.abs(values[horizon]).max())
    tables = {"values": values, "kls": kls, "errors": errors, "kl_errors": kl_errors}
    begun = horizon  # the rows from this one on are done

    def restore(saved: State) -> None:
        nonlocal begun
        begun = int(saved["begun"])
        for name, table in tables.items():
            table[begun:] = saved[name]

    with resumable(
        "policy.finite_horizon",
        checkpoint,
        lambda: fingerprint(
            reference.fingerprint(), *reward_parts(problem.reward), beta, horizon, end
        ),
        state=lambda: {"begun": np.array(begun)} | {x: y[begun:] for x, y in tables.items()},
        restore=restore,
        partial=lambda: _policy(problem, begun, **tables),
        total=horizon,
        progress=progress,
        callback=callback,
        keeps=True,
    ) as run:
        for t in range(begun - 1, -1, -1):
            later = (values[t + 1], kls[t + 1], errors[t + 1], kl_errors[t + 1])
            values[t], kls[t], errors[t], kl_errors[t] = _step(kernel, *later)
            begun = t
            run(horizon - t)
            run.save()
    return _policy(problem, 0, **tables)


def _policy(
    problem: Problem,
    begun: int,
    values: FloatArray,
    kls: FloatArray,
    errors: FloatArray,
    kl_errors: FloatArray,
) -> HorizonPolicy:
    """The result, in place of the tables, of which the rows from `begun` on are done."""
    beta = problem.beta
    for table, unknown in ((values, np.nan), (kls, np.nan), (errors, np.inf), (kl_errors, np.inf)):
        table[:begun] = unknown
    values *= beta
    value_errors = beta * errors + 4.0 * UNIT * np.abs(values).max(axis=1)
    rewards = values + beta * kls
    sizes = np.abs(values).max(axis=1) + beta * kls.max(axis=1)
    reward_errors = value_errors + beta * kl_errors + 8.0 * UNIT * sizes
    value_errors[:begun] = reward_errors[:begun] = np.inf
    return HorizonPolicy(
        beta,
        problem.options["horizon"],
        values,
        kls,
        rewards,
        value_errors,
        kl_errors,
        reward_errors,
        converged=begun == 0,
        _problem=problem,
    )


def _below(x: FloatArray, error: FloatArray) -> FloatArray:
    """Lower ends of the rows of x, -inf where they are not known."""
    return np.where(np.isnan(x), -np.inf, x - error[:, None])


def _above(x: FloatArray, error: FloatArray) -> FloatArray:
    return np.where(np.isnan(x), np.inf, x + error[:, None])


def _step(
    kernel: LogKernel, v: FloatArray, kl: FloatArray, error: float, kl_error: float
) -> tuple[FloatArray, FloatArray, float, float]:
    """(V / beta, KL, and their errors) a step earlier."""
    Tv, policy = kernel.apply(v), kernel.policy(v)
    k, k_error = kernel.divergence(policy, v, Tv)
    rounding = kernel.rounding(v, Tv)
    earlier = k + policy.apply(kl, num_threads=kernel.threads)
    change = 2.0 * error + kernel.entry_rounding(rounding)
    moved = earlier - kl
    off = residual_bound(policy, kl, k, k_error, change, kernel.threads, rate=moved)
    return Tv, earlier, error + rounding, kl_error + float(off.max())
