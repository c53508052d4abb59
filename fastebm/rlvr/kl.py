"""KL divergences of RLVR: the budget spent, the objective J and the distance to its maximum.
Conventions are those of `fastebm.rlvr.laws`.

The Bernoulli divergence is computed in C (bernoulli.h). It keeps its digits by a series in
s = (a - b) / (a + b), for which SciPy has only a general 2F1 at 4e6 values a second, and by
branches, which NumPy would evaluate on both sides.
"""

import math
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime.threads import resolve_threads
from .._runtime.types import FloatArray
from .elementwise import COLDEST, checked, closed_form, in_pieces, sigmoid, times


def _divergence(
    p: FloatArray, p0: FloatArray, beta: FloatArray | None, logit: bool, num_threads: int | None
) -> FloatArray:
    """beta KL(p || p*), or KL(p || p0) if beta is None, of checked arguments."""
    threads = resolve_threads(num_threads)

    def kernel(p: FloatArray, p0: FloatArray, beta: FloatArray | None, out: FloatArray) -> None:
        _core.bernoulli_divergence(p, p0, beta, logit, threads, out)

    return in_pieces(kernel, p, p0, beta)


@overload
def kl_spent(p: float, p0: float, *, logit: bool = ..., num_threads: int | None = ...) -> float: ...
@overload
def kl_spent(
    p: npt.ArrayLike, p0: npt.ArrayLike, *, logit: bool = ..., num_threads: int | None = ...
) -> FloatArray: ...
@closed_form(arrays=1)
def kl_spent(
    p: npt.ArrayLike, p0: npt.ArrayLike, *, logit: bool = False, num_threads: int | None = None
) -> Any:
    """KL budget spent at accuracy `p`.

    KL(pi || pi_ref) = p log(p / p0) + (1 - p) log((1 - p) / (1 - p0)).

    Of all policies of accuracy p, those of the family pi_ref exp(l r) spend least, so for any other
    policy this is a lower bound.

    Parameters
    ----------
    p, p0 : array_like
        Accuracies of the tuned and of the reference policy, in [0, 1].
    logit : bool
        Whether accuracies are given and returned as logits.
    num_threads : int, optional
        None: the CPUs this process may use, capped by OMP_NUM_THREADS. The result has the same bits
        with any number.

    Returns
    -------
    float or ndarray
        Nats, >= 0, of the broadcast shape, accurate also where p and p0 nearly agree; inf where p0
        in {0, 1} and p differs from it.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> rlvr.kl_spent([0.2, 0.5, 1.0], 0.2).round(4)
    array([0.    , 0.2231, 1.6094])
    """
    return _divergence(checked("p", p, logit), checked("p0", p0, logit), None, logit, num_threads)


@overload
def objective(
    p: float, p0: float, beta: float, *, logit: bool = ..., num_threads: int | None = ...
) -> float: ...
@overload
def objective(
    p: npt.ArrayLike,
    p0: npt.ArrayLike,
    beta: npt.ArrayLike,
    *,
    logit: bool = ...,
    num_threads: int | None = ...,
) -> FloatArray: ...
@closed_form(arrays=3)
def objective(
    p: npt.ArrayLike,
    p0: npt.ArrayLike,
    beta: npt.ArrayLike,
    *,
    logit: bool = False,
    num_threads: int | None = None,
) -> Any:
    """J = p - beta KL(pi || pi_ref) at the member of the family with accuracy `p`.

    Its maximum beta log Z is at the target accuracy.

    Parameters
    ----------
    p, p0, beta : array_like
        Accuracies of the tuned and of the reference policy, in [0, 1]; KL coefficient in [0, inf].
    logit : bool
        Whether accuracies are given and returned as logits.
    num_threads : int, optional
        None: the CPUs this process may use, capped by OMP_NUM_THREADS. The result has the same bits
        with any number.

    Returns
    -------
    float or ndarray
        In units of the reward, of the broadcast shape; -inf where `kl_spent` is infinite, or where
        beta is infinite and p != p0.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> rlvr.objective([0.2, 0.6488, 1.0], 0.2, 0.5).round(4)
    array([0.2   , 0.4116, 0.1953])
    """
    p, beta = checked("p", p, logit), np.maximum(checked("beta", beta), COLDEST)
    spent = times(kl_spent(p, p0, logit=logit, num_threads=num_threads), beta)
    return (sigmoid(p)[0] if logit else p) - spent


@overload
def suboptimality(
    p: float, p0: float, beta: float, *, logit: bool = ..., num_threads: int | None = ...
) -> float: ...
@overload
def suboptimality(
    p: npt.ArrayLike,
    p0: npt.ArrayLike,
    beta: npt.ArrayLike,
    *,
    logit: bool = ...,
    num_threads: int | None = ...,
) -> FloatArray: ...
@closed_form(arrays=1)
def suboptimality(
    p: npt.ArrayLike,
    p0: npt.ArrayLike,
    beta: npt.ArrayLike,
    *,
    logit: bool = False,
    num_threads: int | None = None,
) -> Any:
    """Distance to the maximum of J.

    J(pi*) - J(pi) = beta KL(pi || pi*), where KL is the Bernoulli divergence of p from p*.

    Parameters
    ----------
    p, p0, beta : array_like
        Accuracies of the tuned and of the reference policy, in [0, 1]; KL coefficient in [0, inf].
    logit : bool
        Whether accuracies are given and returned as logits.
    num_threads : int, optional
        None: the CPUs this process may use, capped by OMP_NUM_THREADS. The result has the same bits
        with any number.

    Returns
    -------
    float or ndarray
        In units of the reward, >= 0, of the broadcast shape, accurate for targets as near 0 or 1 as
        the exponent range allows; 1 - p for beta = 0 < p0; inf where `objective` is -inf.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> p = rlvr.flow(0.2, 0.5, [0.0, 2.0, 20.0])
    >>> rlvr.suboptimality(p, 0.2, 0.5).round(4)
    array([0.2116, 0.0335, 0.    ])
    """
    return _divergence(
        checked("p", p, logit), checked("p0", p0, logit), checked("beta", beta), logit, num_threads
    )


def kl_peak(s: float) -> tuple[float, float]:
    """(u, kl(success, u)) where the KL is largest: u = (z0 - 1) / (exp(s) - 1) with z0 = s exp(s) /
    (exp(s) - 1), accurate to 1e-6 of it or TINY, and z0 - 1 - log z0, rounded up."""
    if s < 1e-3:
        return 0.5 - s / 6.0, s * s / 8.0 * (1.0 + 1e-6)
    shrunk = -math.expm1(-s)  # 1 - exp(-s)
    excess = s / shrunk - 1.0  # z0 - 1
    u0 = max(excess * math.exp(-s) / shrunk, 5e-324)
    # rounding: at most six units of `excess`, hence 24 UNIT / s of the difference
    return u0, (excess - math.log1p(excess)) * (1.0 + 1e-11)
