"""Distance from stationarity over time, mixing times and contraction coefficients."""

from .autocorrelation import AutocorrelationResult, autocorrelation
from .conductance import ConductanceResult, conductance
from .curve import MixingResult, mixing_curve
from .dobrushin import DobrushinResult, dobrushin
from .log_sobolev import LogSobolevResult, modified_log_sobolev
from .time import MixingTimeResult, mixing_time

__all__ = [
    "AutocorrelationResult",
    "ConductanceResult",
    "DobrushinResult",
    "LogSobolevResult",
    "MixingResult",
    "MixingTimeResult",
    "autocorrelation",
    "conductance",
    "dobrushin",
    "mixing_curve",
    "mixing_time",
    "modified_log_sobolev",
]
