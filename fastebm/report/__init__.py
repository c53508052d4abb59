"""The whole analysis of a chain, or of a table of counts, as text, JSON and an HTML page.

A report is a list of questions (`answers.PARTS`), which the summary and the page both read. A new
result needs a field in `Report` and a line in `PARTS`; the page takes the meaning of each field
from the docstring of its class."""

from .analyze import analyze
from .result import Report

__all__ = ["Report", "analyze"]
