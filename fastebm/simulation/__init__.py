"""Simulated trajectories, hitting times by Monte Carlo, rare events."""

from .hitting_sample import HittingSample, simulate_hitting_times
from .importance import ImportanceResult, importance_hitting
from .simulate import simulate, superior_states
from .splitting import (
    SplittingResult,
    SplittingTimeResult,
    splitting_hitting_time,
    splitting_probability,
)

__all__ = [
    "HittingSample",
    "ImportanceResult",
    "SplittingResult",
    "SplittingTimeResult",
    "importance_hitting",
    "simulate",
    "simulate_hitting_times",
    "splitting_hitting_time",
    "splitting_probability",
    "superior_states",
]
