"""Numerical analysis of very large sparse Markov chains, in particular of RL-tuned language models.

Public names are imported here, except those that need optional packages or that few users need:
these are loaded on first use.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__
from .chains import HammingGraph, Hypercube, MarkovChain, TiltedChain, Torus, load, row_kernel, tilt
from .coarse_graining import LumpabilityResult, MetastableResult, lumpability, metastable_sets
from .counts import ConnectedSet, TransitionCounts, connected_set, count_transitions, discretize
from .equilibrium import (
    BalanceResult,
    StationaryResult,
    StructureResult,
    detailed_balance,
    reversibilize,
    stationary,
    structure,
)
from .errors import (
    ConvergenceError,
    ConvergenceWarning,
    FastebmError,
    Interrupted,
    InvalidChainError,
    MemoryForecastError,
    NotReversibleError,
    PeriodicChainError,
    ReducibleChainError,
    SelectionWarning,
)
from .hitting import (
    AbsorptionResult,
    BoundsResult,
    CommuteResult,
    DistributionResult,
    HitProbabilityResult,
    HittingResult,
    KemenyResult,
    MomentsResult,
    ReturnResult,
    absorption_probabilities,
    committor,
    commute_times,
    hitting_bounds,
    hitting_distribution,
    hitting_moments,
    hitting_probabilities,
    hitting_times,
    kemeny_constant,
    return_times,
)
from .inference import (
    BalanceTest,
    BootstrapResult,
    MarkovTest,
    PotentialFit,
    ReversibleFit,
    RewardFit,
    balance_test,
    bootstrap,
    fit_potential,
    fit_reward,
    markov_test,
    reversible_fit,
)
from .mixing import (
    AutocorrelationResult,
    ConductanceResult,
    DecodingSchedule,
    DobrushinResult,
    InformationCurve,
    LogSobolevResult,
    MixingResult,
    MixingTimeResult,
    autocorrelation,
    conductance,
    decoding_cost,
    decoding_schedule,
    dobrushin,
    information_bound,
    information_curve,
    mixing_curve,
    mixing_time,
    modified_log_sobolev,
)
from .simulation import (
    HittingSample,
    ImportanceResult,
    SplittingResult,
    SplittingTimeResult,
    importance_hitting,
    simulate,
    simulate_hitting_times,
    splitting_hitting_time,
    splitting_probability,
    superior_states,
)
from .spectral import EigenResult, GapResult, eigenpairs, spectral_gap

if TYPE_CHECKING:
    from . import datasets as datasets
    from . import io as io
    from . import plot as plot
    from . import rlvr as rlvr

    # From the defining module: from the package, mypy takes the module of that name.
    from .report.analyze import analyze as analyze
    from .report.result import Report as Report

# {public name: the subpackage it is imported from, None if it is a module itself}
_LAZY = {
    "analyze": "report",
    "Report": "report",
    "datasets": None,
    "io": None,
    "plot": None,
    "rlvr": None,
}

__all__ = [
    "AbsorptionResult",
    "AutocorrelationResult",
    "BalanceResult",
    "BalanceTest",
    "BootstrapResult",
    "BoundsResult",
    "CommuteResult",
    "ConductanceResult",
    "ConnectedSet",
    "ConvergenceError",
    "ConvergenceWarning",
    "DecodingSchedule",
    "DistributionResult",
    "DobrushinResult",
    "EigenResult",
    "FastebmError",
    "GapResult",
    "HammingGraph",
    "HitProbabilityResult",
    "HittingResult",
    "HittingSample",
    "Hypercube",
    "ImportanceResult",
    "InformationCurve",
    "Interrupted",
    "InvalidChainError",
    "KemenyResult",
    "LogSobolevResult",
    "LumpabilityResult",
    "MarkovChain",
    "MarkovTest",
    "MemoryForecastError",
    "MetastableResult",
    "MixingResult",
    "MixingTimeResult",
    "MomentsResult",
    "NotReversibleError",
    "PeriodicChainError",
    "PotentialFit",
    "ReducibleChainError",
    "ReturnResult",
    "ReversibleFit",
    "RewardFit",
    "SelectionWarning",
    "SplittingResult",
    "SplittingTimeResult",
    "StationaryResult",
    "StructureResult",
    "TiltedChain",
    "Torus",
    "TransitionCounts",
    "absorption_probabilities",
    "autocorrelation",
    "balance_test",
    "bootstrap",
    "committor",
    "commute_times",
    "conductance",
    "connected_set",
    "count_transitions",
    "decoding_cost",
    "decoding_schedule",
    "detailed_balance",
    "discretize",
    "dobrushin",
    "eigenpairs",
    "fit_potential",
    "fit_reward",
    "get_include",
    "hitting_bounds",
    "hitting_distribution",
    "hitting_moments",
    "hitting_probabilities",
    "hitting_times",
    "importance_hitting",
    "information_bound",
    "information_curve",
    "kemeny_constant",
    "load",
    "lumpability",
    "markov_test",
    "metastable_sets",
    "mixing_curve",
    "mixing_time",
    "modified_log_sobolev",
    "return_times",
    "reversibilize",
    "reversible_fit",
    "row_kernel",
    "simulate",
    "simulate_hitting_times",
    "spectral_gap",
    "splitting_hitting_time",
    "splitting_probability",
    "stationary",
    "structure",
    "superior_states",
    "tilt",
    *_LAZY,
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'fastebm' has no attribute {name!r}")
    source = _LAZY[name]
    if source is None:
        return import_module(f"fastebm.{name}")
    return getattr(import_module(f"fastebm.{source}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def get_include() -> str:
    """The folder of the C headers, for packages that compile against the core.

    It is the only include folder that they need: `#include <fastebm.h>`.

    Returns
    -------
    str

    Examples
    --------
    >>> import os
    >>> os.path.exists(os.path.join(get_include(), "fastebm.h"))
    True
    """
    installed = Path(__file__).parent / "include"
    # Headers are installed inside the package; an in-place build has them in the sources.
    return str(installed if installed.is_dir() else Path(__file__).parents[1] / "csrc")
