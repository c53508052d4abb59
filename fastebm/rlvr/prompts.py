"""Many prompts: expectations over their distribution, the coefficient for a wanted mean, and the
curve of a training run."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit
from scipy.special import logit as logit_of

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.results import Result, result
from .._runtime.resumable import State, resumable
from .._runtime.types import Callback, FloatArray, Path
from ..errors import InvalidChainError
from .elementwise import checked, times
from .entropies import entropy
from .kl import kl_spent, suboptimality
from .laws import flow, pass_at_k, target_accuracy


@result
class FlowCurve(Result):
    """Expectations over the prompts along the natural gradient flow. Every field but k has the
    shape of t, (n_times,).

    Attributes
    ----------
    t : ndarray
        Flow times.
    accuracy, kl, suboptimality : ndarray
        Mean accuracy, KL divergence from the reference in nats, and distance to the maximum of J in
        units of the reward.
    entropy : ndarray or None
        Mean entropy in nats, if the conditional entropies were given.
    k : tuple of int
    pass_at_k : ndarray (len(k), n_times)
    """

    t: FloatArray
    accuracy: FloatArray
    kl: FloatArray
    suboptimality: FloatArray
    entropy: FloatArray | None
    k: tuple[float, ...]
    pass_at_k: FloatArray


def _weights(weights: npt.ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    """Weights that sum to one."""
    given: FloatArray = validate.real_array(weights, "weights").astype(np.float64)
    if given.shape != shape:
        raise InvalidChainError(
            f"weights must have shape {shape}, one per prompt, got {given.shape}"
        )
    bad = ~((given >= 0) & (given < np.inf))
    if bad.any():
        at = int(np.argmax(bad.ravel()))
        raise InvalidChainError(
            f"weights[{at}] is {given.ravel()[at]}; weights are finite and >= 0"
        )
    if not given.any():
        raise InvalidChainError("the weights sum to 0; give at least one prompt a positive weight")
    scaled: FloatArray = given / given.max()  # whose sum is in range
    normalised: FloatArray = scaled / scaled.sum()
    return normalised


def _vector(name: str, values: npt.ArrayLike, logit: bool = False) -> FloatArray:
    """A checked argument of one dimension, a scalar as one of length 1."""
    values = np.atleast_1d(checked(name, values, logit))
    if values.ndim != 1:
        raise InvalidChainError(f"{name} must be one-dimensional, got shape {values.shape}")
    return values


def expectation(
    values: npt.ArrayLike, weights: npt.ArrayLike | None = None, *, axis: int = -1
) -> Any:
    """Expectation of the values of a closed form over a distribution of prompts.

    Parameters
    ----------
    values : array_like
        One value per prompt along `axis`; infinite values of prompts without weight do not count.
    weights : array_like (n_prompts,), optional
        Not negative; normalised here. None: equal weights.
    axis : int

    Returns
    -------
    float or ndarray
        The shape of values without `axis`.

    Raises
    ------
    InvalidChainError
        No prompts, a NaN among the values, weights of the wrong shape, negative, NaN or infinite,
        or all zero.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> p0 = [0.0, 0.1, 0.5]
    >>> round(rlvr.expectation(rlvr.target_accuracy(p0, 0.5), weights=[1, 2, 1]), 4)
    0.4456
    """
    values = np.moveaxis(np.asarray(validate.real_array(values, "values"), dtype=float), axis, -1)
    if values.shape[-1] == 0:
        raise InvalidChainError(
            "there are no prompts; the expectation over an empty set is undefined"
        )
    weights = None if weights is None else _weights(weights, values.shape[-1:])
    undefined = np.isnan(values) & (True if weights is None else weights > 0)
    if undefined.any():
        index = ", ".join(map(str, np.argwhere(undefined)[0].tolist()))
        raise InvalidChainError(
            f"values[{index}] is NaN (the axis of the prompts last); leave that prompt out or give "
            "it the weight 0"
        )
    with np.errstate(invalid="ignore"):
        mean = values.mean(axis=-1) if weights is None else times(weights, values).sum(axis=-1)
    return float(mean) if np.ndim(mean) == 0 else mean


def beta_for_mean(
    p0: npt.ArrayLike,
    *,
    accuracy: float | None = None,
    kl: float | None = None,
    weights: npt.ArrayLike | None = None,
    logit: bool = False,
    num_threads: int | None = None,
) -> float:
    """The one KL coefficient for all prompts whose optimal policies have a wanted mean accuracy, or
    spend a wanted mean KL.

    Parameters
    ----------
    p0 : array_like (n_prompts,)
        Accuracies of the reference policy, in [0, 1].
    accuracy, kl : float
        Exactly one of them: the wanted mean accuracy, in [0, 1], or the mean budget in nats.
    weights : array_like (n_prompts,), optional
        See `expectation`.
    logit : bool
        Whether p0 is given in logits. The mean accuracy is an accuracy.
    num_threads : int, optional
        None: the CPUs this process may use, capped by OMP_NUM_THREADS. The result has the same bits
        with any number.

    Returns
    -------
    float
        In [0, inf]; 0 if no coefficient reaches that much (prompts of p0 = 0 never move), inf if
        the reference already has it.

    Raises
    ------
    ValueError
        An argument lies outside its domain, or not exactly one of accuracy and kl is given.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> beta = rlvr.beta_for_mean([0.05, 0.2, 0.7], accuracy=0.6)
    >>> round(beta, 4), round(rlvr.expectation(rlvr.target_accuracy([0.05, 0.2, 0.7], beta)), 4)
    (0.5415, 0.6)
    """
    if (accuracy is None) == (kl is None):
        raise ValueError("give one of accuracy and kl")
    p0 = _vector("p0", p0, logit)
    wanted = checked("kl", kl) if kl is not None else checked("p", cast(float, accuracy))
    if wanted.ndim:
        raise ValueError(
            f"{'accuracy' if kl is None else 'kl'} must be one number, got shape {wanted.shape}"
        )
    x0 = p0 if logit else logit_of(p0)

    def excess(log_beta: float) -> Any:
        beta = np.exp(log_beta)
        if kl is None:
            target = target_accuracy(p0, beta, logit=logit)
            return expectation(expit(target) if logit else target, weights) - wanted
        # KL(p* || p0) with correct and wrong exchanged: then p0 is the tilt of p*, and budgets far
        # below an ulp of p0 are resolved.
        turned = -(x0 + 1 / beta)
        return (
            expectation(
                suboptimality(turned, turned, beta, logit=True, num_threads=num_threads) / beta,
                weights,
            )
            - wanted
        )

    # Beyond a shift of 1000 - min x0 every prompt is tuned to accuracy 1; above beta = e^400 no
    # prompt spends the smallest positive double.
    coldest, warmest = -np.log(1000 + np.abs(x0[np.isfinite(x0)]).max(initial=0.0)), 400.0
    if excess(warmest) >= 0:
        return np.inf
    if excess(coldest) <= 0:
        return 0.0
    return float(np.exp(brentq(excess, coldest, warmest, xtol=1e-14, rtol=1e-14)))


def flow_curve(
    p0: npt.ArrayLike,
    beta: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    h_correct: npt.ArrayLike | None = None,
    h_wrong: npt.ArrayLike | None = None,
    k: int | Sequence[int] = (1,),
    logit: bool = False,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> FlowCurve:
    """Expectations over all prompts along the natural gradient flow: the curves that a training run
    with verifiable rewards should log.

    Parameters
    ----------
    p0, beta : array_like (n_prompts,) or scalar
        Accuracies of the reference policy, in [0, 1]; KL coefficients in [0, inf].
    t : array_like (n_times,)
        Flow times, >= 0.
    weights : array_like (n_prompts,), optional
        The prompt distribution, see `expectation`.
    h_correct, h_wrong : array_like (n_prompts,) or scalar, optional
        Conditional entropies of the reference policy in nats; both or none.
    k : int or sequence of int
        Of pass@k.
    logit : bool
        Whether p0 is given in logits (the curve holds mean accuracies in any case).
    num_threads : int, optional
        None: the CPUs this process may use, capped by OMP_NUM_THREADS. The result has the same bits
        with any number.
    progress, callback
        A bar on stderr; callback(info) after every time.
    checkpoint : path, optional
        A file for the times done so far, from which a later call resumes with the same bits.

    Returns
    -------
    FlowCurve

    Raises
    ------
    ValueError
        An argument lies outside its domain.
    Interrupted
        Ctrl-C; `partial` is the curve so far.

    Notes
    -----
    The times are computed one by one, so memory is O(n_prompts). The mean of kl(p_i, p0_i) is at
    least the kl of the means (joint convexity): prompts of different difficulty spend more than one
    prompt of the mean accuracy would.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> curve = rlvr.flow_curve([0.05, 0.2, 0.7], 0.25, [0.0, 1.0, 8.0], k=(1, 8))
    >>> curve.accuracy.round(3), curve.pass_at_k[1].round(3)
    (array([0.317, 0.447, 0.834]), array([0.723, 0.865, 1.   ]))
    """
    if (h_correct is None) != (h_wrong is None):
        raise ValueError("give both of h_correct and h_wrong, or none")
    p0, t = _vector("p0", p0, logit), _vector("t", t)
    k = tuple(np.atleast_1d(k).tolist())
    rows: list[list[float]] = []

    def curve() -> FlowCurve:
        table = (
            list(np.array(rows).T)
            if rows
            else [np.empty(0)] * (4 + (h_correct is not None) + len(k))
        )
        kl, gap, *rest = table
        entropies = None if h_correct is None else rest.pop(0)
        return FlowCurve(
            t[: len(rows)],
            rest[0],
            kl,
            gap,
            entropies,
            k,
            np.array(rest[1:]).reshape(len(k), len(rows)),
        )

    def identity() -> str:
        given = (beta, weights, h_correct, h_wrong)
        parts = [None if part is None else np.asarray(part, dtype=float) for part in given]
        return fingerprint(p0, t, *parts, list(k), logit)

    def restore(saved: State) -> None:
        rows[:] = saved["rows"].tolist()

    with resumable(
        "flow_curve",
        checkpoint,
        identity,
        state=lambda: {"rows": np.array(rows)} if rows else None,
        restore=restore,
        partial=curve,
        total=t.size,
        progress=progress,
        callback=callback,
    ) as monitor:
        for time in t[len(rows) :]:
            p = flow(p0, beta, time, logit=logit)
            chances = [pass_at_k(p, j, logit=logit) for j in (1, *k)]
            values = [
                kl_spent(p, p0, logit=logit, num_threads=num_threads),
                suboptimality(p, p0, beta, logit=logit, num_threads=num_threads),
            ]
            if h_correct is not None and h_wrong is not None:
                values.append(entropy(p, p0, h_correct, h_wrong, logit=logit))
            values += [expit(chance) if logit else chance for chance in chances]
            rows.append([expectation(value, weights) for value in values])
            monitor.save()
            monitor(len(rows))
    return curve()
