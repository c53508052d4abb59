"""Real language models: answers, words and rewritten texts, with bounds (docs/theory.md)."""

from .answer import Answer
from .answer_tree import AnswerTree
from .answers import answers
from .many_prompts import PromptAnswers, answers_of
from .model import LanguageModel
from .sampling import SampledText, sample_texts
from .table_model import TableModel
from .tree_policy import NextTokens, TokenTilt, TreePolicy, TunedAnswer

__all__ = [
    "Answer",
    "AnswerTree",
    "LanguageModel",
    "NextTokens",
    "PromptAnswers",
    "SampledText",
    "TableModel",
    "TokenTilt",
    "TreePolicy",
    "TunedAnswer",
    "answers",
    "answers_of",
    "sample_texts",
]
