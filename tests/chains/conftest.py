"""Fixtures that the tests of computed chains share."""

import pytest


@pytest.fixture
def no_copy(monkeypatch):
    """After a chain is made, enumerating all its rows at once fails."""
    monkeypatch.setattr(
        "fastebm.patterns.computed.ComputedPattern.matrix",
        property(lambda self: pytest.fail("the chain was stored")),
    )
