"""Fixtures that the tests of mixing share."""

import warnings

import pytest

import fastebm as fe


@pytest.fixture
def quiet():
    """Gaps below rounding warn that only an upper bound is known; all bounds must hold anyway."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        yield
