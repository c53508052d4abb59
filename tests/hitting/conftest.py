"""Fixtures that the tests of hitting times share: which method solves the linear systems."""

import pytest

from fastebm.linalg import elimination, restriction


def only_iterate(patch):
    patch.setattr(restriction, "MAX_SMALL", 0)
    patch.setattr(elimination, "MAX_FLOPS", -1.0)


@pytest.fixture(params=["elimination", "iteration"])
def method(request, monkeypatch):
    """Each test by elimination and by iteration."""
    if request.param == "iteration":
        only_iterate(monkeypatch)
    return request.param


@pytest.fixture
def iteration(monkeypatch):
    """By iteration only."""
    only_iterate(monkeypatch)
