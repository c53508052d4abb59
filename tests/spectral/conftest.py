"""Fixtures that the tests of gaps and eigenpairs share."""

import numpy as np
import pytest

from fastebm.linalg import eigensearch
from fastebm.spectral import eigen_inverse


@pytest.fixture
def preconditioned(monkeypatch):
    """Every eigenpair search that can be preconditioned is, after its first check."""
    monkeypatch.setattr(eigen_inverse, "INVERT_AFTER", np.inf)
    monkeypatch.setattr(eigensearch, "PRECONDITION_AFTER", 0)
    monkeypatch.setattr(eigensearch, "PRECONDITIONED_COST", 0)
