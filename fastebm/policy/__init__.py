"""Policies that look ahead: the optimum of reward minus beta KL over whole trajectories."""

from .verifiable import VerifiablePolicy, verifiable

__all__ = ["VerifiablePolicy", "verifiable"]
