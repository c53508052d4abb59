"""The stationary law of a chain that has it in closed form, or for which it was found before."""

from .._runtime.types import FloatArray
from ..chains.chain import MarkovChain

UNKNOWN = "the stationary distribution is not known to its default tolerance"


def known_log_pi(chain: MarkovChain) -> FloatArray:
    """log pi of a reversible and irreducible chain."""
    log_pi: FloatArray | None = chain.log_pi
    if log_pi is None:
        raise TypeError(UNKNOWN)
    return log_pi


def known_pi(chain: MarkovChain) -> FloatArray:
    """pi of a reversible and irreducible chain, or of one whose law was found before."""
    pi: FloatArray | None = chain.pi
    if pi is None:
        raise TypeError(UNKNOWN)
    return pi
