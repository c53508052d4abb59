"""Tilted accuracies and their complements, each to full relative precision."""

import mpmath as mp
import numpy as np
import pytest

from fastebm import rlvr
from fastebm.rlvr.laws import tilted


@pytest.mark.parametrize("p0", [5e-324, 1e-300, 1e-9, 0.3, 0.5, 1.0 - 1e-12])
@pytest.mark.parametrize("shift", [0.0, 1e-9, 0.7, 30.0, 700.0, 1300.0])
def test_accuracy_and_complement(p0, shift):
    right, wrong = tilted(np.array([p0]), np.array([shift]))
    with mp.workdps(700):
        odds = mp.mpf(p0) / (1 - mp.mpf(p0)) * mp.exp(mp.mpf(shift))
        for found, exact in ((right, odds / (1 + odds)), (wrong, 1 / (1 + odds))):
            error = abs(mp.mpf(float(found[0])) - exact)
            assert error <= 1e-13 * exact + mp.mpf(5e-324)


def test_certainties_stay():
    for shift in (0.0, 1.0, 2000.0):
        right, wrong = tilted(np.array([0.0, 1.0]), np.array([shift, shift]))
        assert right.tolist() == [0.0, 1.0] and wrong.tolist() == [1.0, 0.0]


def test_attempts_that_cannot_succeed():
    """A logit of -inf stays whatever the number of attempts; next to it, k p to first order."""
    found = rlvr.pass_at_k([-np.inf, -np.inf, -800.0], [4, np.inf, 4], logit=True)
    assert found[:2].tolist() == [-np.inf, -np.inf]
    assert found[2] == pytest.approx(-800.0 + np.log(4.0), rel=1e-14, abs=0.0)
