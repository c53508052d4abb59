"""Numerical analysis of very large sparse Markov chains, in particular of RL-tuned language models.

Public names are imported on first use. So the command line handles signals before NumPy and SciPy
are imported, and optional packages are imported only where they are needed.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from . import datasets as datasets
    from . import io as io
    from . import llm as llm
    from . import plot as plot
    from . import policy as policy
    from . import rlvr as rlvr

    # From the defining modules: from the packages, mypy takes modules of the same names.
    from .chains.chain import MarkovChain
    from .chains.lattices import HammingGraph, Hypercube, Torus
    from .chains.row_kernel import row_kernel
    from .chains.store import load
    from .chains.tilt import TiltedChain, tilt
    from .coarse_graining.lumpability import LumpabilityResult, lumpability
    from .coarse_graining.metastable import MetastableResult, metastable_sets
    from .continuous_time.generator import HoldingResult, holding_times
    from .continuous_time.law import LawAtResult, law_at
    from .continuous_time.reached import ReachedResult, reached_by
    from .counts.connected_set import ConnectedSet, connected_set
    from .counts.matrix import TransitionCounts
    from .counts.transitions import count_transitions, discretize
    from .equilibrium.cyclic import CyclicResult, cyclic_classes
    from .equilibrium.detailed_balance import BalanceResult, detailed_balance
    from .equilibrium.reversibilize import reversibilize
    from .equilibrium.stationary import StationaryResult, stationary
    from .equilibrium.structure import StructureResult, structure
    from .errors import (
        CheckpointWarning,
        ConvergenceError,
        ConvergenceWarning,
        FastebmError,
        InputTooLargeError,
        Interrupted,
        InvalidChainError,
        MemoryForecastError,
        ModelOutputError,
        NotReversibleError,
        PeriodicChainError,
        ReducibleChainError,
        SelectionWarning,
        VerifierError,
    )
    from .hitting.bounds import BoundsResult, hitting_bounds
    from .hitting.distribution import DistributionResult, hitting_distribution
    from .hitting.first_hit_results import AbsorptionResult, HitProbabilityResult
    from .hitting.kemeny import KemenyResult, kemeny_constant
    from .hitting.long_run import LongRunResult, long_run_average
    from .hitting.moments import MomentsResult, hitting_moments
    from .hitting.probabilities import absorption_probabilities, committor, hitting_probabilities
    from .hitting.returns import CommuteResult, ReturnResult, commute_times, return_times
    from .hitting.rewards import RewardResult, expected_reward, expected_visits
    from .hitting.times import HittingResult, hitting_times
    from .inference.balance_test import BalanceTest, balance_test
    from .inference.bootstrap import BootstrapResult, bootstrap
    from .inference.markov_test import MarkovTest, markov_test
    from .inference.potential import PotentialFit, fit_potential
    from .inference.reversible_fit import ReversibleFit, reversible_fit
    from .inference.reward import RewardFit, fit_reward
    from .kinetics.chapman_kolmogorov import ChapmanKolmogorovTest, chapman_kolmogorov
    from .kinetics.coarse_flux import CoarseFlux
    from .kinetics.pathways import Pathways
    from .kinetics.posterior import PosteriorEstimate, PosteriorSample, sample_posterior
    from .kinetics.reactive_flux import ReactiveFlux, reactive_flux
    from .kinetics.timescales import ImpliedTimescales, implied_timescales
    from .mixing.autocorrelation import AutocorrelationResult, autocorrelation
    from .mixing.conductance import ConductanceResult, conductance
    from .mixing.curve import MixingResult, mixing_curve
    from .mixing.dobrushin import DobrushinResult, dobrushin
    from .mixing.information import InformationCurve, information_bound, information_curve
    from .mixing.log_sobolev import LogSobolevResult, modified_log_sobolev
    from .mixing.parallel_decoding import DecodingSchedule, decoding_cost, decoding_schedule
    from .mixing.time import MixingTimeResult, mixing_time
    from .networks.pagerank import PageRankResult, pagerank
    from .networks.resistance import ResistanceResult, effective_resistances
    from .report.analyze import analyze
    from .report.result import Report
    from .simulation.hitting_sample import HittingSample, simulate_hitting_times
    from .simulation.importance import ImportanceResult, importance_hitting
    from .simulation.simulate import simulate, superior_states
    from .simulation.splitting import (
        SplittingResult,
        SplittingTimeResult,
        splitting_hitting_time,
        splitting_probability,
    )
    from .spectral.eigen_result import EigenResult
    from .spectral.eigenpairs import eigenpairs
    from .spectral.gap import spectral_gap
    from .spectral.gap_result import GapResult

# The subpackages that have public names, from the bottom up, and the public modules.
_HOMES = (
    *("errors", "counts", "chains", "equilibrium", "spectral", "simulation", "hitting", "mixing"),
    *("coarse_graining", "inference", "kinetics", "networks", "continuous_time", "report"),
)
_MODULES = ("datasets", "io", "llm", "plot", "policy", "rlvr")

__all__ = [
    "AbsorptionResult",
    "AutocorrelationResult",
    "BalanceResult",
    "BalanceTest",
    "BootstrapResult",
    "BoundsResult",
    "ChapmanKolmogorovTest",
    "CheckpointWarning",
    "CoarseFlux",
    "CommuteResult",
    "ConductanceResult",
    "ConnectedSet",
    "ConvergenceError",
    "ConvergenceWarning",
    "CyclicResult",
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
    "HoldingResult",
    "Hypercube",
    "ImpliedTimescales",
    "ImportanceResult",
    "InformationCurve",
    "InputTooLargeError",
    "Interrupted",
    "InvalidChainError",
    "KemenyResult",
    "LawAtResult",
    "LogSobolevResult",
    "LongRunResult",
    "LumpabilityResult",
    "MarkovChain",
    "MarkovTest",
    "MemoryForecastError",
    "MetastableResult",
    "MixingResult",
    "MixingTimeResult",
    "ModelOutputError",
    "MomentsResult",
    "NotReversibleError",
    "PageRankResult",
    "Pathways",
    "PeriodicChainError",
    "PosteriorEstimate",
    "PosteriorSample",
    "PotentialFit",
    "ReachedResult",
    "ReactiveFlux",
    "ReducibleChainError",
    "Report",
    "ResistanceResult",
    "ReturnResult",
    "ReversibleFit",
    "RewardFit",
    "RewardResult",
    "SelectionWarning",
    "SplittingResult",
    "SplittingTimeResult",
    "StationaryResult",
    "StructureResult",
    "TiltedChain",
    "Torus",
    "TransitionCounts",
    "VerifierError",
    "absorption_probabilities",
    "analyze",
    "autocorrelation",
    "balance_test",
    "bootstrap",
    "chapman_kolmogorov",
    "committor",
    "commute_times",
    "conductance",
    "connected_set",
    "count_transitions",
    "cyclic_classes",
    "datasets",
    "decoding_cost",
    "decoding_schedule",
    "detailed_balance",
    "discretize",
    "dobrushin",
    "effective_resistances",
    "eigenpairs",
    "expected_reward",
    "expected_visits",
    "fit_potential",
    "fit_reward",
    "get_include",
    "hitting_bounds",
    "hitting_distribution",
    "hitting_moments",
    "hitting_probabilities",
    "hitting_times",
    "holding_times",
    "implied_timescales",
    "importance_hitting",
    "information_bound",
    "information_curve",
    "io",
    "kemeny_constant",
    "law_at",
    "llm",
    "load",
    "long_run_average",
    "lumpability",
    "markov_test",
    "metastable_sets",
    "mixing_curve",
    "mixing_time",
    "modified_log_sobolev",
    "pagerank",
    "plot",
    "policy",
    "reached_by",
    "reactive_flux",
    "return_times",
    "reversibilize",
    "reversible_fit",
    "rlvr",
    "row_kernel",
    "sample_posterior",
    "simulate",
    "simulate_hitting_times",
    "spectral_gap",
    "splitting_hitting_time",
    "splitting_probability",
    "stationary",
    "structure",
    "superior_states",
    "tilt",
]


def __getattr__(name: str) -> Any:
    if name in __all__ and name not in _MODULES:
        for home in _HOMES:
            module = import_module(f"fastebm.{home}")
            if hasattr(module, name):
                value = globals()[name] = getattr(module, name)
                return value
    # with a dot it would be a module below one, which is no attribute
    elif name.isidentifier() and not name.startswith("_") and find_spec(f"fastebm.{name}"):
        return import_module(f"fastebm.{name}")
    raise AttributeError(f"module 'fastebm' has no attribute {name!r}")


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
    from pathlib import Path  # slow, and signals are not handled before cli is imported

    installed = Path(__file__).parent / "include"
    # Headers are installed inside the package; an in-place build has them in the sources.
    return str(installed if installed.is_dir() else Path(__file__).parents[1] / "csrc")
