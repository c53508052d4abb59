"""The measure of detailed balance, with its error."""

import numpy as np

from .._runtime.types import FloatArray
from ..chains.chain import MarkovChain
from ..linalg.rounding import UNIT
from ..patterns.graph import mismatch
from ..patterns.pattern import REVERSIBLE_MISMATCH


def balanced_measure(chain: MarkovChain) -> tuple[FloatArray, float]:
    """(a measure with which a reversible irreducible chain is in detailed balance, the largest
    relative error of that)."""
    scaled = chain._scaled
    pattern, log_measure = scaled.pattern, scaled.log_measure
    if pattern.is_symmetric:
        error = 0.0
    elif pattern.is_stored:
        assert pattern.potential is not None
        error = mismatch(pattern.matrix, pattern.transpose, pattern.potential)
    else:
        error = REVERSIBLE_MISMATCH
    parts = [pattern.potential, scaled.log_row, scaled.log_col, log_measure - log_measure.max()]
    largest = sum(float(np.abs(part).max()) for part in parts if part is not None)
    measure: FloatArray = np.exp(parts[-1])
    return measure, error + 4.0 * UNIT * (largest + 2.0)
