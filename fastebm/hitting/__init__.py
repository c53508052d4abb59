"""Hitting times, hitting probabilities, their moments and distributions, and theoretical bounds."""

from .bounds import BoundsResult, hitting_bounds
from .distribution import DistributionResult, hitting_distribution
from .first_hit_results import AbsorptionResult, HitProbabilityResult
from .kemeny import KemenyResult, kemeny_constant
from .long_run import LongRunResult, long_run_average
from .moments import MomentsResult, hitting_moments
from .probabilities import absorption_probabilities, committor, hitting_probabilities
from .returns import CommuteResult, ReturnResult, commute_times, return_times
from .rewards import RewardResult, expected_reward, expected_visits
from .times import HittingResult, hitting_times

__all__ = [
    "AbsorptionResult",
    "BoundsResult",
    "CommuteResult",
    "DistributionResult",
    "HitProbabilityResult",
    "HittingResult",
    "KemenyResult",
    "LongRunResult",
    "MomentsResult",
    "ReturnResult",
    "RewardResult",
    "absorption_probabilities",
    "committor",
    "commute_times",
    "expected_reward",
    "expected_visits",
    "hitting_bounds",
    "hitting_distribution",
    "hitting_moments",
    "hitting_probabilities",
    "hitting_times",
    "kemeny_constant",
    "long_run_average",
    "return_times",
]
