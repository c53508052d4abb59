"""The operator ``S = D^(1/2) P D^(-1/2)``, D = diag(pi): the same pattern with two new scalings.

If the chain is reversible, S is symmetric. With w the pattern's potential,
``log pi = w - log row + log col``, hence S = diag(exp((w + log row + log col) / 2)) A
diag(exp((-w + log row + log col) / 2)) + diag(shift): pi itself, which underflows on real chains,
never appears.

Without reversibility S is still a contraction, and sqrt(pi) is both its left and its right
eigenvector for the eigenvalue 1: an orthogonal projection deflates the known pair.
"""

import numpy as np

from .. import _core
from .._runtime.types import FloatArray
from ..errors import InvalidChainError
from ..patterns.scaled_pattern import ScaledPattern
from .chain import MarkovChain
from .scaling import rescaled


def symmetrized(chain: MarkovChain) -> ScaledPattern:
    """S of a reversible chain."""
    scaled = chain._scaled
    potential = scaled.pattern.potential
    if potential is None:
        raise ValueError("S is symmetric only if the chain is reversible")
    log_row, log_col = scaled.log_row, scaled.log_col
    half = np.zeros(chain.n_states)
    if log_row is not None:
        half += 0.5 * log_row
    if log_col is not None:
        half += 0.5 * log_col
    if potential.any():
        pattern, row, col = rescaled(scaled.pattern, half + 0.5 * potential, half - 0.5 * potential)
    else:
        pattern, row, col = rescaled(scaled.pattern, half, half)
    return ScaledPattern(pattern, row, col, scaled.shift)


def balanced_pattern(chain: MarkovChain, log_pi: FloatArray) -> ScaledPattern:
    """S of any irreducible chain.

    Raises
    ------
    InvalidChainError
        pi is not known in all states.
    """
    unknown = np.flatnonzero(~np.isfinite(log_pi))
    if len(unknown):
        raise InvalidChainError(
            f"pi is unknown in {len(unknown)} states, the first of them {unknown[0]}: transitions "
            "that lead to them underflowed to zero; raise beta, or restrict the chain to its "
            "likelier states"
        )
    scaled, half = chain._scaled, 0.5 * log_pi
    old_row, old_col = scaled.log_row, scaled.log_col
    log_row = half if old_row is None else half + old_row
    log_col = -half if old_col is None else old_col - half
    return ScaledPattern(*rescaled(scaled.pattern, log_row, log_col), scaled.shift)


def balanced(chain: MarkovChain, log_pi: FloatArray) -> _core.Scaled:
    """S of any irreducible chain, with left products."""
    operator, _ = balanced_pattern(chain, log_pi).left
    return operator
