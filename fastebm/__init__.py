"""fastebm: numerical analysis of very large sparse Markov chains, above all those of RL-tuned language models."""

from importlib import import_module
from pathlib import Path

from .errors import (
    ConvergenceWarning, FastebmError, Interrupted, InvalidChainError, MemoryForecastError, NotReversibleError,
    PeriodicChainError, ReducibleChainError, SelectionWarning,
)
from .chain import MarkovChain
from .tilt import TiltedChain, tilt
from .store import load
from .structure import StructureResult, structure
from .stationary import StationaryResult, stationary
from .balance import BalanceResult, detailed_balance, reversibilize
from .spectral import GapResult, spectral_gap
from .hitting import HittingResult, hitting_times
from .walk import HittingSample, simulate, simulate_hitting_times, superior_states
from .mixing import MixingResult, mixing_curve
from .counts import ConnectedSet, TransitionCounts, connected_set, count_transitions, discretize
from .reversible import ReversibleFit, reversible_fit
from .reversibility import BalanceTest, balance_test
from .markov import MarkovTest, markov_test
from .bootstrap import BootstrapResult, bootstrap
from .potential import PotentialFit, RewardFit, fit_potential, fit_reward

__version__ = "0.1.0"

# Loaded on first use: they are not needed by everyone, or bring optional packages.
_LAZY = {"analyze": "report", "Report": "report", "datasets": None, "io": None, "rlvr": None}

__all__ = [
    "BalanceResult", "BalanceTest", "BootstrapResult", "ConnectedSet", "ConvergenceWarning", "FastebmError", "GapResult", "HittingResult", "HittingSample", "Interrupted",
    "InvalidChainError", "MarkovChain", "MarkovTest", "MemoryForecastError", "MixingResult", "NotReversibleError", "PeriodicChainError",
    "PotentialFit", "ReducibleChainError", "ReversibleFit", "RewardFit", "SelectionWarning", "StationaryResult", "StructureResult", "TiltedChain", "TransitionCounts",
    "balance_test", "bootstrap", "connected_set", "count_transitions", "detailed_balance", "discretize", "fit_potential",
    "fit_reward", "get_include", "markov_test", "reversible_fit",
    "hitting_times", "load", "mixing_curve", "reversibilize", "simulate", "simulate_hitting_times", "spectral_gap",
    "stationary", "structure", "superior_states", "tilt", *_LAZY,
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
    return str(Path(__file__).parent / "include")
