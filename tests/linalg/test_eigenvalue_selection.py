"""The order of eigenvalues: conjugate pairs stay together."""

from itertools import permutations

import numpy as np
import pytest

from fastebm.linalg.eigenvalue_selection import EigenvalueSelection

PAIRS = {"one modulus and height": [0.5 + 0.6j, -0.5 + 0.6j], "copies": [0.5 + 0.6j, 0.5 + 0.6j]}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("which", ("largest", "modulus"))
def test_pairs_of_the_same_key_stay_together(name, which):
    upper = np.array(PAIRS[name])
    for order in permutations(range(4)):
        values = np.concatenate([upper, upper.conj()])[list(order)]
        chosen = values[EigenvalueSelection.of(which, 4).positions(values)]
        np.testing.assert_array_equal(chosen[1::2], chosen[::2].conj())
        assert (chosen[::2].imag > 0).all()
        assert len(EigenvalueSelection.of(which, 3).positions(values)) == 4
