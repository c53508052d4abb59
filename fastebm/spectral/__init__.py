"""Spectral gaps and eigenpairs."""

from .eigenpairs import EigenResult, eigenpairs
from .gap import spectral_gap
from .gap_result import GapResult

__all__ = ["EigenResult", "GapResult", "eigenpairs", "spectral_gap"]
