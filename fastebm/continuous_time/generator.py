"""The generator of a uniformised chain: rate, time, exit rates."""

import math
from fractions import Fraction

import numpy as np
import scipy.sparse as sp

from .._runtime import validate
from .._runtime.results import Result, result
from .._runtime.types import FloatArray
from ..chains.chain import MarkovChain, require_chain
from ..errors import InvalidChainError


@result
class HoldingResult(Result):
    """How long a continuous-time chain stays in its states.

    Attributes
    ----------
    exit_rate : ndarray (n_states,)
        Of the exponential law of the holding time; 0 in an absorbing state.
    mean : ndarray (n_states,)
        1 / exit_rate, also the standard deviation; inf in an absorbing state.
    """

    exit_rate: FloatArray
    mean: FloatArray


def holding_times(chain: MarkovChain, *, num_threads: int | None = None) -> HoldingResult:
    """The exit rates and mean holding times of a continuous-time chain.

    Parameters
    ----------
    chain : MarkovChain
        With a `rate`, as `MarkovChain.from_generator` makes it.
    num_threads : int, optional
        Has no effect; every analysis accepts it.

    Returns
    -------
    HoldingResult
        Sums of rates: the rare exits of a state keep their digits beside the rate of another.

    Raises
    ------
    InvalidChainError
        The chain has no rate.

    Examples
    --------
    >>> import fastebm as fe
    >>> chain = fe.MarkovChain.from_generator([[-4.0, 4.0], [0.0, 0.0]])
    >>> fe.holding_times(chain).mean.tolist()
    [0.25, inf]
    """
    rate = require_rate(chain)
    exits = np.asarray(off_diagonal(chain).sum(axis=1), np.float64).ravel() * rate
    with np.errstate(divide="ignore"):
        mean = np.asarray(1.0 / exits, np.float64)
    return HoldingResult(exit_rate=np.asarray(exits, np.float64), mean=mean)


def require_rate(chain: MarkovChain) -> float:
    """The rate of a continuous-time chain."""
    rate = require_chain(chain).rate
    if rate is None:
        raise InvalidChainError(
            "the chain has no rate, its time is discrete; MarkovChain.from_generator(Q) makes one "
            "of a matrix of rates"
        )
    return float(rate)


def mean_steps(chain: MarkovChain, t: float) -> Fraction:
    """rate t, not rounded."""
    rate = require_rate(chain)
    t = validate.number(t, "t", above=0.0, closed=True)
    if t == math.inf:
        raise InvalidChainError(
            "t must be finite; stationary(chain) has the law after any time, and "
            "hitting_probabilities(chain, target) the probability to reach a target at any time"
        )
    mean = Fraction(rate) * Fraction(t)
    if mean > Fraction(np.finfo(np.float64).max) / 2:
        raise InvalidChainError(f"t = {t:.3g} is too long: rate t exceeds the range of doubles")
    return mean


def off_diagonal(chain: MarkovChain) -> sp.csr_array:
    """P without its diagonal, sparse."""
    P = chain.to_scipy()
    P.setdiag(0.0)
    P.eliminate_zeros()
    return P
