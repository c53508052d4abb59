"""Models of the package transformers: a local folder, or a model and its tokenizer in hand."""

import copy
import inspect
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .._runtime.threads import resolve_threads
from .._runtime.types import Float32Array
from ..errors import InvalidChainError
from .messages import checked_messages, continuation
from .model import Tokens

# Logits of one call of the model; it computes those of every position.
_MOST_LOGITS = 2**26
# Tokens that end a text or a turn, by the names that llama.cpp knows them by (llama-vocab.cpp), in
# addition to those that the model's own settings name.
_END_NAMES = frozenset(
    "</s> <|endoftext|> <|end_of_text|> <|eot_id|> <|eom_id|> <|im_end|> <|end|> <end_of_turn>"
    " <|endofturn|> <EOT> <|EOT|> <_EOT> [EOT] [EOS] <eos> <end_of_utterance> <|return|>"
    " <|call|> <|end_of_turn|>".split()
)

# Tokens, and their keys and values.
_NO_PREFIX: tuple[tuple[int, ...], Any] = ((), None)


class TransformersModel:
    """A causal model of transformers as a `LanguageModel`; `from_transformers` makes it.

    Contexts are evaluated in padded batches. What all contexts of a batch have in common is
    evaluated once, and kept for the next call.
    """

    def __init__(self, model: Any, tokenizer: Any, num_threads: int | None) -> None:
        config = model.config
        if getattr(config, "is_encoder_decoder", False):
            raise InvalidChainError(
                f"{type(model).__name__} is an encoder and a decoder; a model that continues texts"
                " is needed (AutoModelForCausalLM)"
            )
        self._model, self._tokenizer = model, tokenizer
        self._num_threads = None if num_threads is None else resolve_threads(num_threads)
        self.n_vocab = int(config.get_text_config().vocab_size)
        self.end = tuple(sorted(_end_tokens(model, tokenizer, self.n_vocab)))
        bos = tokenizer.bos_token_id
        adds_start = bos is not None and tokenizer("")["input_ids"][:1] == [bos]
        self._start = [int(bos)] if adds_start else []
        first = tokenizer.convert_ids_to_tokens(self._tokenized("a"))[0]
        self._marker = self._tokenized("\n") if first.startswith("\u2581") else []
        self._prefix = _NO_PREFIX
        # The name since transformers 5, and the one before.
        forward = inspect.signature(model.forward).parameters
        self._cache_name = "cache" if "cache" in forward else "past_key_values"

    def __repr__(self) -> str:
        return f"<TransformersModel {type(self._model).__name__}: {self.n_vocab} tokens>"

    @cached_property
    def name(self) -> str:
        """The class, and the CRC-32 of all weights."""
        import torch

        checksum = 0
        for key, value in sorted(self._model.state_dict().items()):
            checksum = zlib.crc32(key.encode(), checksum)
            if isinstance(value, torch.Tensor):
                data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
                checksum = zlib.crc32(data.data, checksum)
        return f"{type(self._model).__name__}-{checksum:08x}"

    def encode(self, text: str, *, start: bool = True) -> list[int]:
        """The tokens of a text, as `LanguageModel.encode`."""
        if start:
            return self._start + self._tokenized(text)
        return continuation(self._tokenized, text) if self._marker else self._tokenized(text)

    def _tokenized(self, text: str) -> list[int]:
        output = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return list(map(int, output["input_ids"]))

    def decode(self, tokens: Tokens) -> str:
        """The text of tokens, as `LanguageModel.decode`."""
        kept = [int(token) for token in tokens if token not in self.end]
        if not self._marker or kept[:1] == self._start:
            return self._decoded(kept)
        # SentencePiece leaves out the space in front of the first token.
        marker = self._decoded(self._marker)
        return self._decoded(self._marker + kept)[len(marker) :]

    def _decoded(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def next_log_probs(self, contexts: Sequence[Tokens]) -> Float32Array:
        """Log probabilities of the next token, float32 of shape (n_contexts, n_vocab)."""
        given = [tuple(map(int, context)) for context in contexts]
        for i, context in enumerate(given):
            self._check_context(context, i)
        out = np.empty((len(given), self.n_vocab), np.float32)
        order = sorted(range(len(given)), key=given.__getitem__)
        with self._inference():
            start = 0
            while start < len(order):
                stop = self._batch_end([given[i] for i in order[start:]]) + start
                rows = order[start:stop]
                self._evaluate([given[i] for i in rows], rows, out)
                start = stop
        return out

    def _check_context(self, context: tuple[int, ...], i: int) -> None:
        if not context:
            raise InvalidChainError(
                f"context {i} is empty: this model needs at least one token to predict the next"
            )
        for token in (min(context), max(context)):
            if not 0 <= token < self.n_vocab:
                raise InvalidChainError(f"token {token}: tokens are 0 to {self.n_vocab - 1}")
        longest = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        if longest is not None and len(context) > longest:
            raise InvalidChainError(
                f"context {i} has {len(context)} tokens and the model takes {longest}; shorten the"
                " text"
            )

    def _batch_end(self, contexts: list[tuple[int, ...]]) -> int:
        """How many of the sorted contexts are evaluated together."""
        longest = 0
        for n, context in enumerate(contexts, 1):
            longest = max(longest, len(context))
            shared = _shared(contexts[0], context)
            if n > 1 and n * (longest - shared) * self.n_vocab > _MOST_LOGITS:
                return n - 1
        return len(contexts)

    def _evaluate(
        self, contexts: list[tuple[int, ...]], rows: list[int], out: Float32Array
    ) -> None:
        import torch

        prefix = contexts[0][: _shared(contexts[0], contexts[-1])]
        cache = self._prefix_cache(prefix)
        if cache is None:
            prefix = ()
        else:
            cache = copy.deepcopy(cache)
            cache.batch_repeat_interleave(len(contexts))
        endings = [context[len(prefix) :] for context in contexts]
        longest = max(map(len, endings))
        # What comes after a token does not change its row, so that any token will do there.
        padded = [ending + ending[-1:] * (longest - len(ending)) for ending in endings]
        tokens = torch.tensor(padded, device=self._model.device)
        logits = self._model(input_ids=tokens, use_cache=False, **{self._cache_name: cache}).logits
        last = [len(ending) - 1 for ending in endings]
        wanted = logits[list(range(len(last))), last].float()
        out[rows] = torch.log_softmax(wanted, dim=-1).cpu().numpy()

    def _prefix_cache(self, prefix: tuple[int, ...]) -> Any:
        """Keys and values of a prefix; None if it is empty, or if the model does not have them in
        a form that can be repeated."""
        import torch

        if not prefix:
            return None
        held, cache = self._prefix
        self._prefix = _NO_PREFIX  # until the evaluation below has ended
        n = _common_length(held, prefix)
        if n < len(held):
            try:
                cache.crop(n)
            except (ValueError, NotImplementedError):  # a sliding window that has moved on
                n, cache = 0, None
        if n == 0:
            cache = None
        if n < len(prefix):
            tokens = torch.tensor([prefix[n:]], device=self._model.device)
            output = self._model(input_ids=tokens, use_cache=True, **{self._cache_name: cache})
            cache = getattr(output, self._cache_name, None)
        if not hasattr(cache, "batch_repeat_interleave"):
            return None
        self._prefix = (prefix, cache)
        return cache

    @contextmanager
    def _inference(self) -> Iterator[None]:
        """Without gradients and dropout, and with `num_threads`."""
        import torch

        was_training, threads = self._model.training, torch.get_num_threads()
        try:
            self._model.eval()
            if self._num_threads is not None:
                torch.set_num_threads(self._num_threads)
            with torch.inference_mode():
                yield
        finally:
            self._model.train(was_training)
            torch.set_num_threads(threads)

    def chat_tokens(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The tokens of a conversation by the chat template of the tokenizer, up to where the model
        answers. `llm.chat` is the public name."""
        if not self._tokenizer.chat_template:
            raise InvalidChainError(
                "the tokenizer has no chat template; write the prompt yourself and encode it"
            )
        special = set(self._tokenizer.all_special_tokens)
        text = self._tokenizer.apply_chat_template(
            checked_messages(messages, special), add_generation_prompt=True, tokenize=False
        )
        return list(map(int, self._tokenizer(text, add_special_tokens=False)["input_ids"]))


def from_transformers(
    model: Any, tokenizer: Any, *, num_threads: int | None = None
) -> TransformersModel:
    """A causal model of transformers as a language model.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Such as AutoModelForCausalLM makes; dropout is off while it is used here.
    tokenizer : transformers.PreTrainedTokenizerBase
    num_threads : int, optional
        By default what torch uses.

    Returns
    -------
    TransformersModel

    Examples
    --------
    ::

        model = AutoModelForCausalLM.from_pretrained("folder")
        tokenizer = AutoTokenizer.from_pretrained("folder")
        model = llm.from_transformers(model, tokenizer)
    """
    return TransformersModel(model, tokenizer, num_threads)


def load_folder(path: Path, num_threads: int | None) -> TransformersModel:
    """The model and tokenizer in a local folder; weights as float32, code in it is not run."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise InvalidChainError(
            f"reading the folder {path} needs torch and transformers ({error}):"
            " pip install torch transformers"
        ) from None
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            path, local_files_only=True, dtype=torch.float32
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError) as error:
        raise InvalidChainError(f"{path} cannot be read by transformers: {error}") from error
    return TransformersModel(model, tokenizer, num_threads)


def _end_tokens(model: Any, tokenizer: Any, n_vocab: int) -> set[int]:
    found = {tokenizer.eos_token_id}
    for settings in (model.config, getattr(model, "generation_config", None)):
        named = getattr(settings, "eos_token_id", None)
        found.update(named if isinstance(named, (list, tuple)) else [named])
    special = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    found.update(tokenizer.convert_tokens_to_ids(name) for name in special & _END_NAMES)
    return {int(token) for token in found if token is not None and 0 <= token < n_vocab}


def _shared(first: tuple[int, ...], last: tuple[int, ...]) -> int:
    """How many leading tokens sorted contexts from `first` to `last` share; at least the last token
    of each is left to evaluate."""
    return _common_length(first[:-1], last[:-1])


def _common_length(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """How many leading tokens are the same."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))
