"""The operator ``S = D^(1/2) P D^(-1/2)``, D = diag(pi): the same pattern, two new scalings. Symmetric where the chain is reversible.

With w the pattern's potential, ``log pi = w - log row + log col``, hence S = diag(exp((w + log row + log col) / 2)) A
diag(exp((-w + log row + log col) / 2)) + diag(shift): pi itself, which underflows on real chains, never appears.
"""

from dataclasses import dataclass

import numpy as np

from .. import _core
from ..patterns.pattern import Pattern
from .scaling import rescaled


@dataclass(frozen=True)
class Symmetrized:
    """S as a pattern and scalings; `operator(mask)` gives it, or its part on the states of a mask."""

    pattern: Pattern
    row: np.ndarray | None
    col: np.ndarray | None
    shift: np.ndarray | None

    def operator(self, inside=None):
        if inside is None:
            return _core.Scaled(self.pattern._kernel, self.row, self.col, self.shift)
        row, col = (
            inside.astype(np.float64) if a is None else np.where(inside, a, 0.0)
            for a in (self.row, self.col)
        )
        shift = None if self.shift is None else np.where(inside, self.shift, 0.0)
        return _core.Scaled(self.pattern._kernel, row, col, shift)


def symmetrized(chain):
    """S of a reversible chain."""
    potential = chain._pattern.potential
    half = np.zeros(chain.n_states)
    if chain._row is not None:
        half += 0.5 * chain._log_row
    if chain._col is not None:
        half += 0.5 * chain._log_col
    if potential.any():
        pattern, row, col = rescaled(chain._pattern, half + 0.5 * potential, half - 0.5 * potential)
    else:
        pattern, row, col = rescaled(chain._pattern, half, half)
    return Symmetrized(pattern, row, col, chain._shift)


def balanced(chain, log_pi):
    """S of any irreducible chain, with its transpose: a contraction that sqrt(pi) is both a left and a right eigenvector of, so
    that the known pair is deflated by an orthogonal projection."""
    half = 0.5 * log_pi
    log_row = half if chain._row is None else half + chain._log_row
    log_col = -half if chain._col is None else chain._log_col - half
    pattern, row, col = rescaled(chain._pattern, log_row, log_col)
    return pattern.left(row, col, chain._shift)[
        0
    ]  # of a chain without detailed balance this has the transpose
