"""Fixtures of the stationary laws."""

import pytest

import fastebm.linalg.aggregation
import fastebm.linalg.elimination


@pytest.fixture
def no_elimination(monkeypatch):
    """As if every elimination above 600 states were too large."""
    monkeypatch.setattr(fastebm.linalg.elimination, "MAX_FLOPS", 0.0)
    return monkeypatch


@pytest.fixture
def power_steps_alone(no_elimination):
    """And as if there were no blocks."""
    no_elimination.setattr(fastebm.linalg.aggregation, "MAX_BLOCKS", 0)
    return no_elimination
