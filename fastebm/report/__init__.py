"""The whole analysis of a chain or a table of counts, as text, JSON and a page."""

from .analyze import Report, analyze

__all__ = ["Report", "analyze"]
