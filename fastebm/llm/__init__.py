"""Real language models: answers, words and rewritten texts, with bounds (docs/theory.md)."""

from .model import LanguageModel
from .sampling import SampledText, sample_texts
from .table_model import TableModel

__all__ = ["LanguageModel", "SampledText", "TableModel", "sample_texts"]
