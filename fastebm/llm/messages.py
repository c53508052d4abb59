"""What the adapters do with texts alike."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeAlias

from ..errors import InvalidChainError

Messages: TypeAlias = Sequence[Mapping[str, str]]


def checked_messages(messages: Messages, special: Collection[str]) -> list[dict[str, str]]:
    """The messages as dicts."""
    if isinstance(messages, (str, bytes, Mapping)) or not len(messages):
        raise InvalidChainError(
            'messages must be a list such as [{"role": "user", "content": "What is 3 + 4?"}]'
        )
    checked = []
    for i, message in enumerate(messages):
        parts = dict(message) if isinstance(message, Mapping) else {}
        if not all(isinstance(parts.get(key), str) for key in ("role", "content")):
            raise InvalidChainError(f'message {i} must have a "role" and a "content", both texts')
        found = next((name for name in special if name and name in parts["content"]), None)
        if found is not None:
            raise InvalidChainError(
                f"message {i} contains {found!r}, the name of a special token of the model; take"
                " it out"
            )
        checked.append(parts)
    return checked


def continuation(tokenized: Callable[[str], list[int]], text: str) -> list[int]:
    """The tokens of `text` in the middle of a text, for SentencePiece, which puts a space in front
    of what it is given. A line feed ends a word, so that what follows has these tokens."""
    marker, whole = tokenized("\n"), tokenized("\n" + text)
    if text and whole[: len(marker)] == marker:
        return whole[len(marker) :]
    return tokenized(text)
