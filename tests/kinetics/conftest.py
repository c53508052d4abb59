"""Fixtures of this folder: deeptime's double well, where deeptime is installed."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def double_well():
    """A trajectory of deeptime's double well in six states, and its true chain of 100 states."""
    data = pytest.importorskip(
        "deeptime.data", reason="deeptime is the oracle"
    ).double_well_discrete()
    return np.asarray(data.dtraj_n6good), data
