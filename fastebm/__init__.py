"""fastebm: numerical analysis of very large sparse Markov chains, above all those of RL-tuned language models."""

from importlib import import_module
from pathlib import Path

from .errors import (
    ConvergenceWarning, FastebmError, Interrupted, InvalidChainError, MemoryForecastError, NotReversibleError,
    PeriodicChainError, ReducibleChainError, SelectionWarning,
)
from .chain import MarkovChain
from .tilt import TiltedChain, tilt
from .lattice import HammingGraph, Hypercube, Torus
from .rules import row_kernel
from .store import load
from .structure import StructureResult, structure
from .stationary import StationaryResult, stationary
from .balance import BalanceResult, detailed_balance, reversibilize
from .gap import GapResult
from .spectral import spectral_gap
from .eigen import EigenResult, eigenpairs
from .hitting import HittingResult, hitting_times
from .absorption import (
    AbsorptionResult, HitProbabilityResult, absorption_probabilities, committor, hitting_probabilities,
)
from .moments import DistributionResult, MomentsResult, hitting_distribution, hitting_moments
from .bounds import BoundsResult, hitting_bounds
from .recurrence import (
    CommuteResult, KemenyResult, ReturnResult, commute_times, kemeny_constant, return_times,
)
from .contraction import ConductanceResult, LogSobolevResult, conductance, modified_log_sobolev
from .dobrushin import DobrushinResult, dobrushin
from .autocorrelation import AutocorrelationResult, autocorrelation
from .lumping import LumpabilityResult, lumpability
from .metastable import MetastableResult, metastable_sets
from .walk import HittingSample, simulate, simulate_hitting_times, superior_states
from .splitting import SplittingResult, SplittingTimeResult, splitting_hitting_time, splitting_probability
from .importance import ImportanceResult, importance_hitting
from .mixing import MixingResult, mixing_curve
from .mixing_time import MixingTimeResult, mixing_time
from .counts import ConnectedSet, TransitionCounts, connected_set, count_transitions, discretize
from .reversible import ReversibleFit, reversible_fit
from .reversibility import BalanceTest, balance_test
from .markov import MarkovTest, markov_test
from .bootstrap import BootstrapResult, bootstrap
from .potential import PotentialFit, RewardFit, fit_potential, fit_reward

__version__ = "0.1.0"

# Loaded on first use: they are not needed by everyone, or bring optional packages.
_LAZY = {"analyze": "report", "Report": "report", "datasets": None, "io": None, "plot": None, "rlvr": None}

__all__ = [
    "AbsorptionResult", "AutocorrelationResult", "BalanceResult", "BalanceTest", "BootstrapResult", "BoundsResult",
    "CommuteResult", "ConductanceResult", "ConnectedSet", "ConvergenceWarning", "DistributionResult", "DobrushinResult",
    "EigenResult", "FastebmError", "GapResult", "HammingGraph", "HitProbabilityResult", "HittingResult", "HittingSample",
    "Hypercube", "ImportanceResult", "Interrupted", "InvalidChainError", "KemenyResult", "LogSobolevResult",
    "LumpabilityResult", "MarkovChain", "MarkovTest", "MemoryForecastError", "MetastableResult", "MixingResult",
    "MixingTimeResult", "MomentsResult", "NotReversibleError", "PeriodicChainError", "PotentialFit", "ReducibleChainError",
    "ReturnResult", "ReversibleFit", "RewardFit", "SelectionWarning", "SplittingResult", "SplittingTimeResult",
    "StationaryResult", "StructureResult", "TiltedChain", "Torus", "TransitionCounts", "absorption_probabilities",
    "autocorrelation", "balance_test", "bootstrap", "committor", "commute_times", "conductance", "connected_set",
    "count_transitions", "detailed_balance", "discretize", "dobrushin", "eigenpairs", "fit_potential", "fit_reward",
    "get_include", "hitting_bounds", "hitting_distribution", "hitting_moments", "hitting_probabilities", "hitting_times",
    "importance_hitting", "kemeny_constant", "load", "lumpability", "markov_test", "metastable_sets", "mixing_curve",
    "mixing_time", "modified_log_sobolev", "return_times", "reversibilize", "reversible_fit", "row_kernel", "simulate",
    "simulate_hitting_times", "spectral_gap", "splitting_hitting_time", "splitting_probability", "stationary", "structure",
    "superior_states", "tilt", *_LAZY,
]


def __getattr__(name):
    if name not in _LAZY:
        raise AttributeError(f"module 'fastebm' has no attribute {name!r}")
    room = _LAZY[name]
    return import_module(f"fastebm.{name}") if room is None else getattr(import_module(f"fastebm.{room}"), name)


def __dir__():
    return sorted({*globals(), *__all__})


def get_include():
    """The folder of the C headers (`#include <fastebm.h>`), for packages that compile against the core."""
    installed = Path(__file__).parent / "include"
    return str(installed if installed.is_dir() else Path(__file__).parents[1] / "csrc")  # in place: from the sources
