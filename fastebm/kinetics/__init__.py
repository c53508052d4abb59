"""Kinetics of metastable processes: timescales of trajectories, reactive flux, posterior chains."""

from .chapman_kolmogorov import ChapmanKolmogorovTest, chapman_kolmogorov
from .coarse_flux import CoarseFlux
from .pathways import Pathways
from .reactive_flux import ReactiveFlux, reactive_flux
from .timescales import ImpliedTimescales, implied_timescales

__all__ = [
    "ChapmanKolmogorovTest",
    "CoarseFlux",
    "ImpliedTimescales",
    "Pathways",
    "ReactiveFlux",
    "chapman_kolmogorov",
    "implied_timescales",
    "reactive_flux",
]
