"""Real language models: answers, words and rewritten texts, with bounds (docs/theory.md)."""

from .model import LanguageModel
from .table_model import TableModel
from .verifiers import answer_is, number_is

__all__ = ["LanguageModel", "TableModel", "answer_is", "number_is"]
