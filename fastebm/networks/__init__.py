"""Networks: PageRank of graphs and chains, effective resistances."""

from .pagerank import PageRankResult, pagerank
from .resistance import ResistanceResult, effective_resistances

__all__ = ["PageRankResult", "ResistanceResult", "effective_resistances", "pagerank"]
