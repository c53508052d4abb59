"""Metastable sets and lumpability."""

from .lumpability import LumpabilityResult, lumpability
from .metastable import MetastableResult, metastable_sets

__all__ = ["LumpabilityResult", "MetastableResult", "lumpability", "metastable_sets"]
