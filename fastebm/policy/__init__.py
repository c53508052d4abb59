"""Policies that look ahead: the optimum of reward minus beta KL over whole trajectories
(docs/theory.md, section 7)."""

from .average import AveragePolicy, average
from .discounted import DiscountedPolicy, discounted
from .finite_horizon import HorizonPolicy, finite_horizon
from .first_exit import FirstExitPolicy, first_exit
from .rate_function import RateFunctionResult, rate_function
from .verifiable import VerifiablePolicy, verifiable

__all__ = [
    "AveragePolicy",
    "DiscountedPolicy",
    "FirstExitPolicy",
    "HorizonPolicy",
    "RateFunctionResult",
    "VerifiablePolicy",
    "average",
    "discounted",
    "finite_horizon",
    "first_exit",
    "rate_function",
    "verifiable",
]
