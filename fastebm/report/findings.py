"""The fields of a report, which its questions, tables and figures read."""

from typing import Any

from .._runtime.results import Result, result
from .._runtime.types import FloatArray
from ..equilibrium.detailed_balance import BalanceResult
from ..equilibrium.stationary import StationaryResult
from ..equilibrium.structure import StructureResult
from ..hitting.bounds import BoundsResult
from ..hitting.times import HittingResult
from ..mixing.curve import MixingResult
from ..simulation.hitting_sample import HittingSample
from ..spectral.eigen_result import EigenResult
from ..spectral.gap_result import GapResult


@result
class Findings(Result):
    """The fields of a `Report`, which documents them."""

    version: str
    versions: dict[str, str]
    seed: int | None
    wall_s: float
    parameters: dict[str, Any]
    chain: dict[str, Any]
    states: list[str] | None
    score: FloatArray | None
    structure: StructureResult | None
    stationary: StationaryResult | None
    rare: dict[str, Any] | None
    balance: BalanceResult | None
    gaps: dict[str, GapResult]
    spectrum: EigenResult | None
    sweep: dict[float, GapResult]
    mixing_start: dict[str, Any] | None
    mixing: MixingResult | None
    solve: HittingResult | None
    bounds: BoundsResult | None
    slowest_start: dict[str, Any] | None
    sample: HittingSample | None
    standard_errors: float | None
    errors: list[dict[str, str]]
    interrupted: str | None
    converged: bool
    timings: dict[str, float]
