"""Keys of the random streams."""

import numpy as np


def philox_key(rng):
    """Two 64-bit words that key every random stream of a call, drawn from `rng` (SPEC 7)."""
    return np.random.default_rng(rng).integers(0, 2**64, size=2, dtype=np.uint64)
