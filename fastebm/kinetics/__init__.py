"""Kinetics of metastable processes: timescales of trajectories, reactive flux, posterior chains."""

from .chapman_kolmogorov import ChapmanKolmogorovTest, chapman_kolmogorov
from .coarse_flux import CoarseFlux
from .pathways import Pathways
from .posterior import PosteriorEstimate, PosteriorSample, sample_posterior
from .reactive_flux import ReactiveFlux, reactive_flux
from .timescales import ImpliedTimescales, implied_timescales

__all__ = [
    "ChapmanKolmogorovTest",
    "CoarseFlux",
    "ImpliedTimescales",
    "Pathways",
    "PosteriorEstimate",
    "PosteriorSample",
    "ReactiveFlux",
    "chapman_kolmogorov",
    "implied_timescales",
    "reactive_flux",
    "sample_posterior",
]
