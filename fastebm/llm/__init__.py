"""Real language models: answers, words and rewritten texts, with bounds (docs/theory.md)."""

from .callable_model import from_callable
from .chat import chat
from .hugging_face import from_transformers
from .loading import as_model, from_llama_cpp, load
from .model import LanguageModel
from .table_model import TableModel
from .verifiers import answer_is, number_is

__all__ = [
    "LanguageModel",
    "TableModel",
    "answer_is",
    "as_model",
    "chat",
    "from_callable",
    "from_llama_cpp",
    "from_transformers",
    "load",
    "number_is",
]
