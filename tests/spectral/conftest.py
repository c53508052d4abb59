"""Fixtures that the tests of gaps and eigenpairs share."""

import pytest

from fastebm.linalg import eigensearch


@pytest.fixture
def preconditioned(monkeypatch):
    """Every eigenpair search that can be preconditioned is, after its first check."""
    monkeypatch.setattr(eigensearch, "PRECONDITION_AFTER", 0)
    monkeypatch.setattr(eigensearch, "PRECONDITIONED_COST", 0)
