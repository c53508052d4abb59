"""Real language models: answers, words and rewritten texts, with bounds (docs/theory.md)."""

from .model import LanguageModel
from .table_model import TableModel

__all__ = ["LanguageModel", "TableModel"]
