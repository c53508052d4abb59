"""Bounds on the relative error of a stationary law, as distances and variances need them."""

import math

import numpy as np

from .. import _core
from .._runtime.types import FloatArray
from ..chains.chain import MarkovChain
from ..linalg.rounding import UNIT


def relative_law_error(chain: MarkovChain, log_pi: FloatArray, threads: int) -> float:
    """The largest relative error of pi(x) that is proven, inf if none is.

    By detailed balance, pi is exactly that of a chain whose transitions differ by factors
    exp(m / 2), with m the mismatch of an edge. A stationary mass is a ratio of sums of products of
    n - 1 transitions (the Markov chain tree theorem). A symmetric pattern has no mismatch, and each
    component is only rounded."""
    if not chain.is_reversible:
        return chain._law.take(threads).error + 8.0 * UNIT
    scaled = chain._scaled
    pattern = scaled.pattern
    logs = [log for log in (pattern.potential, scaled.log_row, scaled.log_col) if log is not None]
    rounding = 8.0 * UNIT * (1.0 + pattern.log_span + sum(float(np.abs(log).max()) for log in logs))
    edge = 0.0 if pattern.is_symmetric else pattern.mismatch + rounding
    # a pi given by the user may differ from that of detailed balance
    own = _core.normalize_logs(scaled.log_measure, threads)[0]
    exponent = chain.n_states * edge + 2.0 * rounding + float(np.abs(own - log_pi).max())
    return math.expm1(exponent) if exponent < 1.0 else math.inf
