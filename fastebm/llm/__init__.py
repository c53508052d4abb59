"""Real language models: answers, words and rewritten texts, with bounds (docs/theory.md)."""

from .answer import Answer
from .answer_tree import AnswerTree
from .answers import answers
from .callable_model import from_callable
from .chat import chat
from .hugging_face import from_transformers
from .loading import as_model, from_llama_cpp, load
from .many_prompts import answers_of
from .model import LanguageModel
from .prompt_answers import PromptAnswers
from .sampling import SampledText, sample_texts
from .table_model import TableModel
from .tree_policy import NextTokens, TokenTilt, TreePolicy, TunedAnswer
from .verifiers import answer_is, number_is

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
    "answer_is",
    "answers",
    "answers_of",
    "as_model",
    "chat",
    "from_callable",
    "from_llama_cpp",
    "from_transformers",
    "load",
    "number_is",
    "sample_texts",
]
