"""Conversations as tokens, by the chat template of a model."""

from typing import Any

from ..errors import InvalidChainError
from .loading import as_model
from .messages import Messages


def chat(model: Any, messages: Messages) -> list[int]:
    """The tokens of a conversation, up to where the model answers.

    Parameters
    ----------
    model : LanguageModel or what `as_model` accepts
        It has a chat template: instruction-tuned models that `load`, `from_llama_cpp` and
        `from_transformers` make.
    messages : sequence of dict
        Each with "role" ("system", "user" or "assistant") and "content", oldest first.

    Returns
    -------
    list of int

    Raises
    ------
    InvalidChainError
        The model has no template, the template refuses the messages, or a message contains the
        name of a special token, which would end or forge a turn.

    Examples
    --------
    ::

        tokens = llm.chat(model, [{"role": "user", "content": "What is 3 + 4?"}])
    """
    model = as_model(model)
    if not hasattr(model, "chat_tokens"):
        raise InvalidChainError(
            f"{model.name} has no chat template; write the prompt yourself and encode it"
        )
    tokens: list[int] = model.chat_tokens(messages)
    return tokens
