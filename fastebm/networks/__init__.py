"""Networks: PageRank of graphs and chains."""

from .pagerank import PageRankResult, pagerank

__all__ = ["PageRankResult", "pagerank"]
