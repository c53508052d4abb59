"""Real language models: answers, words and rewritten texts, with bounds (docs/theory.md)."""

from .answer import Answer
from .answer_tree import AnswerTree
from .answers import answers
from .model import LanguageModel
from .sampling import SampledText, sample_texts
from .table_model import TableModel
from .tree_policy import NextTokens, TokenTilt, TreePolicy, TunedAnswer

__all__ = [
    "Answer",
    "AnswerTree",
    "LanguageModel",
    "NextTokens",
    "SampledText",
    "TableModel",
    "TokenTilt",
    "TreePolicy",
    "TunedAnswer",
    "answers",
    "sample_texts",
]
