"""Figures of results. Each function draws on one Matplotlib Axes and returns it; Matplotlib is
imported only by the first call. ``from fastebm import plot`` gives the public names."""

from ._spectrum import spectrum
from ._states import embedding, landscape
from ._tilt import arrhenius, entropy_accuracy
from ._times import hitting, mixing, survival

__all__ = [
    "arrhenius",
    "embedding",
    "entropy_accuracy",
    "hitting",
    "landscape",
    "mixing",
    "spectrum",
    "survival",
]
