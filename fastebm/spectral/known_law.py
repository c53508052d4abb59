"""The stationary law of chains that are known to have it in closed form, or found already."""

from .._runtime.types import FloatArray
from ..chains.chain import MarkovChain


def known_log_pi(chain: MarkovChain) -> FloatArray:
    """log pi of a reversible and irreducible chain."""
    log_pi = chain.log_pi
    assert log_pi is not None
    found: FloatArray = log_pi
    return found


def known_pi(chain: MarkovChain) -> FloatArray:
    """pi of a reversible and irreducible chain, or of one whose law was found before."""
    pi = chain.pi
    assert pi is not None
    found: FloatArray = pi
    return found
