"""P-values of a bootstrap, and q-values of many terms."""

import numpy as np
import numpy.typing as npt

from .._runtime.types import FloatArray


def p_value(replicates: npt.ArrayLike, observed: float) -> float:
    """Share of the replicates, the data among them, that are at least as large. Equal up to
    rounding counts as equal."""
    values = np.asarray(replicates)
    reached = values >= observed - 1e-9 * (1.0 + abs(observed))
    return float((1 + reached.sum()) / (1 + len(values)))


def q_values(p: npt.ArrayLike, n_terms: int) -> FloatArray:
    """Benjamini & Yekutieli's (2001) adjusted p-values, valid under any dependence.

    Parameters
    ----------
    p : array_like (k,)
        The k smallest of n_terms p-values, ascending.
    """
    p = np.asarray(p, dtype=float)
    harmonic = (
        np.log(n_terms) + np.euler_gamma + 0.5 / n_terms
        if n_terms > 100
        else (1.0 / np.arange(1, n_terms + 1)).sum()
    )
    adjusted = p * n_terms * harmonic / np.arange(1, len(p) + 1)
    return np.minimum(1.0, np.minimum.accumulate(adjusted[::-1])[::-1])
