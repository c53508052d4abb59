"""Real language models: answers, words and rewritten texts, with bounds (docs/theory.md)."""

from ..chains.words import WordChain
from .answer import Answer
from .answer_tree import AnswerTree
from .answers import answers
from .callable_model import from_callable
from .chat import chat
from .hugging_face import from_transformers
from .loading import as_model, from_llama_cpp, load
from .many_prompts import answers_of
from .merged_chain import merged_chain
from .model import LanguageModel
from .open_states import OpenStates
from .prompt_answers import PromptAnswers
from .rewriting import Rewrites, rewrite_trajectories
from .sampling import SampledText, sample_texts
from .table_model import TableModel
from .tree_policy import NextTokens, TokenTilt, TreePolicy, TunedAnswer
from .verifiers import answer_is, number_is
from .word_chain import word_chain

__all__ = [
    "Answer",
    "AnswerTree",
    "LanguageModel",
    "NextTokens",
    "OpenStates",
    "PromptAnswers",
    "Rewrites",
    "SampledText",
    "TableModel",
    "TokenTilt",
    "TreePolicy",
    "TunedAnswer",
    "WordChain",
    "answer_is",
    "answers",
    "answers_of",
    "as_model",
    "chat",
    "from_callable",
    "from_llama_cpp",
    "from_transformers",
    "load",
    "merged_chain",
    "number_is",
    "rewrite_trajectories",
    "sample_texts",
    "word_chain",
]
