"""Communicating classes, stationary distributions and detailed balance."""

from .detailed_balance import BalanceResult, detailed_balance
from .reversibilize import reversibilize
from .stationary import StationaryResult, stationary
from .structure import StructureResult, structure

__all__ = [
    "BalanceResult",
    "StationaryResult",
    "StructureResult",
    "detailed_balance",
    "reversibilize",
    "stationary",
    "structure",
]
