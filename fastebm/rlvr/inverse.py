"""The inverse questions of RLVR: the coefficient, accuracy or time for a given accuracy or KL
budget. Conventions are those of `fastebm.rlvr.laws`."""

from typing import Any, overload

import numpy as np
import numpy.typing as npt
from scipy.special import logit as logit_of

from .. import _core
from .._runtime.threads import resolve_threads
from .._runtime.types import FloatArray
from .elementwise import COLDEST, checked, closed_form, in_pieces, times
from .laws import tilted


@overload
def beta_for_accuracy(p0: float, p: float, *, logit: bool = ...) -> float: ...
@overload
def beta_for_accuracy(p0: npt.ArrayLike, p: npt.ArrayLike, *, logit: bool = ...) -> FloatArray: ...
@closed_form(arrays=3)
def beta_for_accuracy(p0: npt.ArrayLike, p: npt.ArrayLike, *, logit: bool = False) -> Any:
    """KL coefficient whose target accuracy is `p`:  beta = 1 / (logit p - logit p0).

    Where no coefficient reaches p (p < p0, or p0 = 0) this is the one that comes closest, the
    largest of equals: inf.

    Parameters
    ----------
    p0, p : array_like
        Accuracies of the reference policy and wanted of the optimal policy, in [0, 1].
    logit : bool
        Whether accuracies are given and returned as logits.

    Returns
    -------
    float or ndarray
        KL coefficient in [0, inf], of the broadcast shape; 0 for p = 1 > p0 > 0.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> beta = rlvr.beta_for_accuracy(0.2, 0.9)
    >>> round(beta, 4), round(rlvr.target_accuracy(0.2, beta), 4)
    (0.2791, 0.9)
    """
    p0, p = checked("p0", p0, logit), checked("p", p, logit)
    if logit:
        return 1 / np.where((p > p0) & (p0 > -np.inf), p - p0, 0.0)
    rises = (p > p0) & (p0 > 0)
    rise = np.where(rises, (p - p0) / (p0 * (1 - p)), 0.0)  # the odds grow by the factor 1 + rise
    shift = np.log1p(rise)
    far = np.isinf(rise)  # of subnormal p0, or p = 1
    if far.any():
        p0, p = (np.broadcast_to(x, far.shape)[far] for x in (p0, p))
        shift = np.array(shift)
        shift[far] = logit_of(p) - logit_of(p0)
    return 1 / shift


@overload
def accuracy_for_kl(
    p0: float, kl: float, *, logit: bool = ..., num_threads: int | None = ...
) -> float: ...
@overload
def accuracy_for_kl(
    p0: npt.ArrayLike, kl: npt.ArrayLike, *, logit: bool = ..., num_threads: int | None = ...
) -> FloatArray: ...
@closed_form(arrays=6)
def accuracy_for_kl(
    p0: npt.ArrayLike, kl: npt.ArrayLike, *, logit: bool = False, num_threads: int | None = None
) -> Any:
    """The largest accuracy within a KL budget:  the p >= p0 with KL(pi || pi_ref) = kl.

    Parameters
    ----------
    p0, kl : array_like
        Accuracy of the reference policy, in [0, 1]; budget in nats, in [0, inf].
    logit : bool
        Whether accuracies are given and returned as logits.
    num_threads : int, optional
        None: the CPUs this process may use, capped by OMP_NUM_THREADS. The result has the same bits
        with any number.

    Returns
    -------
    float or ndarray
        Accuracy in [p0, 1], of the broadcast shape; 1 from kl = -log p0 on, and p0 where p0 is 0 or
        1.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Notes
    -----
    By a safeguarded Newton iteration on the logarithm of `kl_spent`, which is increasing and
    concave in the shift of the logit.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> p = rlvr.accuracy_for_kl(0.2, [0.0, 0.1, 2.0])
    >>> p.round(4), rlvr.kl_spent(p[1], 0.2).__round__(12)
    (array([0.2   , 0.3952, 1.    ]), 0.1)
    """
    p0 = checked("p0", p0, logit)
    shift = _shift_for_kl(p0 if logit else np.asarray(logit_of(p0)), checked("kl", kl), num_threads)
    return np.where(np.isinf(p0), p0, p0 + shift) if logit else tilted(p0, shift)[0]


@overload
def beta_for_kl(
    p0: float, kl: float, *, logit: bool = ..., num_threads: int | None = ...
) -> float: ...
@overload
def beta_for_kl(
    p0: npt.ArrayLike, kl: npt.ArrayLike, *, logit: bool = ..., num_threads: int | None = ...
) -> FloatArray: ...
@closed_form(arrays=2)
def beta_for_kl(
    p0: npt.ArrayLike, kl: npt.ArrayLike, *, logit: bool = False, num_threads: int | None = None
) -> Any:
    """KL coefficient whose optimal policy spends the budget `kl`, in nats.

    Parameters
    ----------
    p0, kl : array_like
        Accuracy of the reference policy, in [0, 1]; budget in nats, in [0, inf].
    logit : bool
        Whether accuracies are given as logits.
    num_threads : int, optional
        None: the CPUs this process may use, capped by OMP_NUM_THREADS. The result has the same bits
        with any number.

    Returns
    -------
    float or ndarray
        KL coefficient in [0, inf], of the broadcast shape: 0 from kl = -log p0 on, which no policy
        needs more than; inf for kl = 0 and where p0 is 0 or 1.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> beta = rlvr.beta_for_kl(0.2, 0.1)
    >>> round(beta, 4), round(rlvr.kl_spent(rlvr.target_accuracy(0.2, beta), 0.2), 4)
    (1.0408, 0.1)
    """
    p0 = checked("p0", p0, logit)
    return 1 / _shift_for_kl(
        p0 if logit else np.asarray(logit_of(p0)), checked("kl", kl), num_threads
    )


def _shift_for_kl(x0: FloatArray, kl: FloatArray, num_threads: int | None) -> FloatArray:
    """The shift s >= 0 of the logit x0 with KL(x0 + s || x0) = kl; inf if kl is more than can be
    spent, 0 if x0 is infinite."""
    threads = resolve_threads(num_threads)

    def kernel(x0: FloatArray, kl: FloatArray, out: FloatArray) -> None:
        _core.bernoulli_reach(x0, kl, threads, out)

    return in_pieces(kernel, x0, kl)


@overload
def time_to_accuracy(p0: float, p: float, beta: float, *, logit: bool = ...) -> float: ...
@overload
def time_to_accuracy(
    p0: npt.ArrayLike, p: npt.ArrayLike, beta: npt.ArrayLike, *, logit: bool = ...
) -> FloatArray: ...
@closed_form(arrays=5)
def time_to_accuracy(
    p0: npt.ArrayLike, p: npt.ArrayLike, beta: npt.ArrayLike, *, logit: bool = False
) -> Any:
    """Time at which the natural gradient flow reaches accuracy `p`:  t = -log(1 - beta (logit p -
    logit p0)) / beta.

    Parameters
    ----------
    p0, p, beta : array_like
        Accuracies of the reference policy and to be reached, in [0, 1]; KL coefficient in [0, inf].
    logit : bool
        Whether accuracies are given as logits.

    Returns
    -------
    float or ndarray
        Flow time in [0, inf], of the broadcast shape: 0 for p <= p0, inf where the target accuracy
        does not exceed p.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> t = rlvr.time_to_accuracy(0.2, [0.1, 0.5, 0.9], 0.5)
    >>> t.round(4), round(rlvr.flow(0.2, 0.5, t[1]), 4)
    (array([0.    , 2.3628,    inf]), 0.5)
    """
    p0, p, beta = (
        checked("p0", p0, logit),
        checked("p", p, logit),
        np.maximum(checked("beta", beta), COLDEST),
    )
    rise = np.divide(1.0, beta_for_accuracy(p0, p, logit=logit))  # in logits
    stuck = (p > p0) & (rise == 0)  # p0 = 0
    reached = beta * rise
    return np.where(
        stuck | (reached >= 1),
        np.inf,
        times(rise, np.where(reached > 0, -np.log1p(-reached) / reached, 1.0)),
    )
