"""The entropy-accuracy trade-off of RLVR. Conventions are those of `fastebm.rlvr.laws`."""

from typing import Any, overload

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from .._runtime.types import BoolArray, FloatArray
from .elementwise import checked, closed_form, log_sigmoid, sigmoid, times


def _zeroed(entropies: npt.ArrayLike, where: BoolArray) -> Any:
    """The entropies, with 0 in place of those whose event has no weight."""
    return np.where(where, 0.0, entropies) if where.any() else entropies


@overload
def entropy(
    p: float, p0: float, h_correct: float, h_wrong: float, *, logit: bool = ...
) -> float: ...
@overload
def entropy(
    p: npt.ArrayLike,
    p0: npt.ArrayLike,
    h_correct: npt.ArrayLike,
    h_wrong: npt.ArrayLike,
    *,
    logit: bool = ...,
) -> FloatArray: ...
@closed_form(arrays=2)
def entropy(
    p: npt.ArrayLike,
    p0: npt.ArrayLike,
    h_correct: npt.ArrayLike,
    h_wrong: npt.ArrayLike,
    *,
    logit: bool = False,
) -> Any:
    """Entropy of the policy at accuracy `p`.

    H(p) = h(p) + p h_correct + (1 - p) h_wrong,  h the binary entropy.

    The slope dH/dp = -logit p + h_correct - h_wrong is the entropy-accuracy trade-off.

    Parameters
    ----------
    p, p0 : array_like
        Accuracies of the tuned and of the reference policy, in [0, 1].
    h_correct, h_wrong : array_like
        Entropies of the reference policy given a correct and given a wrong answer, in nats.
        h_correct is ignored, and may be NaN, where p is 0; h_wrong where p is 1.
    logit : bool
        Whether accuracies are given and returned as logits.

    Returns
    -------
    float or ndarray
        Nats, >= 0, of the broadcast shape; inf where p0 in {0, 1} and p differs from it.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> rlvr.entropy([0.0, 0.5, 1.0], 0.2, 1.0, 3.0).round(4)
    array([3.    , 2.6931, 1.    ])
    """
    p, p0 = checked("p", p, logit), checked("p0", p0, logit)
    (right, wrong), (log_right, log_wrong) = (
        (sigmoid(p), log_sigmoid(p)) if logit else ((p, 1 - p), (np.log(p), np.log1p(-p)))
    )
    outside = (np.isinf(p0) if logit else (p0 == 0) | (p0 == 1)) & (p != p0)
    some = outside.any()
    h_correct = checked(
        "h_correct", _zeroed(h_correct, (right == 0) | outside if some else right == 0)
    )
    h_wrong = checked("h_wrong", _zeroed(h_wrong, (wrong == 0) | outside if some else wrong == 0))
    result = times(right, h_correct - log_right) + times(wrong, h_wrong - log_wrong)
    return np.where(outside, np.inf, result) if some or outside.size != np.size(result) else result


@overload
def peak_entropy_accuracy(h_correct: float, h_wrong: float, *, logit: bool = ...) -> float: ...
@overload
def peak_entropy_accuracy(
    h_correct: npt.ArrayLike, h_wrong: npt.ArrayLike, *, logit: bool = ...
) -> FloatArray: ...
@closed_form(arrays=2)
def peak_entropy_accuracy(
    h_correct: npt.ArrayLike, h_wrong: npt.ArrayLike, *, logit: bool = False
) -> Any:
    """Accuracy of largest entropy along the family:  logit p = h_correct - h_wrong.

    Tuning passes through the peak if it lies between p0 and p*. From a p0 above the peak, entropy
    only falls.

    Parameters
    ----------
    h_correct, h_wrong : array_like
        Entropies of the reference policy given a correct and given a wrong answer, in nats.
    logit : bool
        Whether accuracies are given and returned as logits.

    Returns
    -------
    float or ndarray
        Accuracy in [0, 1], of the broadcast shape.

    Raises
    ------
    ValueError
        An argument lies outside its domain.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> round(rlvr.peak_entropy_accuracy(1.0, 3.0), 4)
    0.1192
    """
    difference = checked("h_correct", h_correct) - checked("h_wrong", h_wrong)
    return difference if logit else expit(difference)
