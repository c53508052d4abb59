"""Spectral gaps and eigenpairs."""

from .eigen_result import EigenResult
from .eigenpairs import eigenpairs
from .gap import spectral_gap
from .gap_result import GapResult

__all__ = ["EigenResult", "GapResult", "eigenpairs", "spectral_gap"]
