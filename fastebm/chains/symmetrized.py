"""The operator ``S = D^(1/2) P D^(-1/2)``, D = diag(pi): the same pattern, two new scalings. Symmetric where the chain is reversible.

With w the pattern's potential, ``log pi = w - log row + log col``, hence S = diag(exp((w + log row + log col) / 2)) A
diag(exp((-w + log row + log col) / 2)) + diag(shift): pi itself, which underflows on real chains, never appears.
"""

import numpy as np

from ..patterns.scaled_pattern import ScaledPattern
from .scaling import rescaled


def symmetrized(chain):
    """S of a reversible chain, a `ScaledPattern`."""
    potential = chain._scaled.pattern.potential
    half = np.zeros(chain.n_states)
    if chain._scaled.row is not None:
        half += 0.5 * chain._scaled.log_row
    if chain._scaled.col is not None:
        half += 0.5 * chain._scaled.log_col
    if potential.any():
        pattern, row, col = rescaled(
            chain._scaled.pattern, half + 0.5 * potential, half - 0.5 * potential
        )
    else:
        pattern, row, col = rescaled(chain._scaled.pattern, half, half)
    return ScaledPattern(pattern, row, col, chain._scaled.shift)


def balanced(chain, log_pi):
    """S of any irreducible chain, with its transpose: a contraction that sqrt(pi) is both a left and a right eigenvector of, so
    that the known pair is deflated by an orthogonal projection."""
    half = 0.5 * log_pi
    log_row = half if chain._scaled.row is None else half + chain._scaled.log_row
    log_col = -half if chain._scaled.col is None else chain._scaled.log_col - half
    pattern, row, col = rescaled(chain._scaled.pattern, log_row, log_col)
    return pattern.left(row, col, chain._scaled.shift)[
        0
    ]  # of a chain without detailed balance this has the transpose
