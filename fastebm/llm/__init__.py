"""Real language models: answers, words and rewritten texts, with bounds (docs/theory.md)."""

from ..chains.words import WordChain
from .model import LanguageModel
from .table_model import TableModel
from .word_chain import word_chain

__all__ = ["LanguageModel", "TableModel", "WordChain", "word_chain"]
