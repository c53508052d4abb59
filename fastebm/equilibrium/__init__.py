"""Communicating classes, stationary distributions and detailed balance."""

from .cyclic import CyclicResult, cyclic_classes
from .detailed_balance import BalanceResult, detailed_balance
from .reversibilize import reversibilize
from .stationary import StationaryResult, stationary
from .structure import StructureResult, structure

__all__ = [
    "BalanceResult",
    "CyclicResult",
    "StationaryResult",
    "StructureResult",
    "cyclic_classes",
    "detailed_balance",
    "reversibilize",
    "stationary",
    "structure",
]
