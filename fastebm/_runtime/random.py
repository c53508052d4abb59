"""Keys of the random streams."""

import numpy as np
import numpy.typing as npt

from .types import RNG


def philox_key(rng: RNG) -> npt.NDArray[np.uint64]:
    """The two 64-bit words that key all random streams of a call, drawn from `rng` (which is what
    Scientific Python SPEC 7 accepts)."""
    return np.random.default_rng(rng).integers(0, 2**64, size=2, dtype=np.uint64)
