"""The chain, ``P = diag(row) A diag(col) + diag(shift)``: construction, tilts, storage."""

from .chain import MarkovChain
from .lattices import HammingGraph, Hypercube, Torus
from .row_kernel import row_kernel
from .store import load
from .tilt import TiltedChain, tilt

__all__ = [
    "HammingGraph",
    "Hypercube",
    "MarkovChain",
    "TiltedChain",
    "Torus",
    "load",
    "row_kernel",
    "tilt",
]
