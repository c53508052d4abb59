"""Kinetics of metastable processes: timescales of trajectories, reactive flux, posterior chains."""

from .chapman_kolmogorov import ChapmanKolmogorovTest, chapman_kolmogorov
from .timescales import ImpliedTimescales, implied_timescales

__all__ = ["ChapmanKolmogorovTest", "ImpliedTimescales", "chapman_kolmogorov", "implied_timescales"]
