"""Transition counts from trajectories and tables, and estimates that need counts but no chain."""

from .connected_set import ConnectedSet, connected_set
from .matrix import TransitionCounts
from .transitions import count_transitions, discretize

__all__ = ["ConnectedSet", "TransitionCounts", "connected_set", "count_transitions", "discretize"]
