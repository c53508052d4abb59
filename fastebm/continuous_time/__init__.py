"""Continuous-time chains: laws at a time, time-bounded reachability, holding times."""

from .generator import HoldingResult, holding_times
from .law import LawAtResult, law_at
from .reached import ReachedResult, reached_by

__all__ = ["HoldingResult", "LawAtResult", "ReachedResult", "holding_times", "law_at", "reached_by"]
