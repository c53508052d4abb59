"""Distance from stationarity over time, mixing times and contraction coefficients."""

from .autocorrelation import AutocorrelationResult, autocorrelation
from .conductance import ConductanceResult, conductance
from .curve import MixingResult, mixing_curve
from .dobrushin import DobrushinResult, dobrushin
from .information import InformationCurve, information_bound, information_curve
from .log_sobolev import LogSobolevResult, modified_log_sobolev
from .parallel_decoding import DecodingSchedule, decoding_cost, decoding_schedule
from .time import MixingTimeResult, mixing_time

__all__ = [
    "AutocorrelationResult",
    "ConductanceResult",
    "DecodingSchedule",
    "DobrushinResult",
    "InformationCurve",
    "LogSobolevResult",
    "MixingResult",
    "MixingTimeResult",
    "autocorrelation",
    "conductance",
    "decoding_cost",
    "decoding_schedule",
    "dobrushin",
    "information_bound",
    "information_curve",
    "mixing_curve",
    "mixing_time",
    "modified_log_sobolev",
]
