"""What the tests of hitting times share."""

import warnings

import numpy as np
import reference
from numpy.testing import assert_array_equal

import fastebm as fe

# Rounding of a double that represents an exact number, and of the few hundred operations of a
# reference solution.
ULP, REFERENCE = 4e-16, 1e-13


def quietly(P, target, **options):
    """The result whether it converged or not."""
    chain = P if isinstance(P, fe.MarkovChain) else fe.MarkovChain(P)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        return fe.hitting_times(chain, target, **options)


def assert_encloses(found, truth, slack=REFERENCE):
    assert_array_equal(np.isinf(found.mean), np.isinf(truth))
    finite = np.isfinite(truth)
    assert (found.lower[finite] <= truth[finite] * (1 + slack)).all()
    assert (truth[finite] * (1 - slack) <= found.upper[finite]).all()
    assert np.isinf(found.lower[~finite]).all()


def truth_of(case):
    """(target, means) of a case of the gallery."""
    return case.hitting if case.hitting else ([0], reference.hitting_times(case.P, [0]))


def ladder(n, p):
    """Up with probability p, else hold: the hitting time of the top is n - 1 - x plus a negative
    binomial variable."""
    return np.diag(np.r_[np.full(n - 1, 1 - p), 1.0]) + np.diag(np.full(n - 1, p), 1)
