"""Figures of results. Each function draws on one Matplotlib Axes and returns it; Matplotlib is
imported only by the first call. ``from fastebm import plot`` gives the public names."""

from ._kinetics import chapman_kolmogorov, implied_timescales
from ._spectrum import spectrum
from ._states import embedding, landscape
from ._tilt import arrhenius, entropy_accuracy
from ._times import hitting, mixing, survival

__all__ = [
    "arrhenius",
    "chapman_kolmogorov",
    "embedding",
    "entropy_accuracy",
    "hitting",
    "implied_timescales",
    "landscape",
    "mixing",
    "spectrum",
    "survival",
]
