"""Models of llama.cpp: `.gguf` files, through llama-cpp-python."""

import ctypes
import threading
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .._runtime.threads import available_cpus, resolve_threads
from .._runtime.types import Float32Array
from ..errors import InvalidChainError
from .llama_context import LlamaContext
from .messages import checked_messages, continuation
from .model import Tokens

_BLOCK = 2**22


class LlamaCppModel:
    """A model of llama.cpp as a `LanguageModel`; `load` and `from_llama_cpp` make it.

    Attributes
    ----------
    name : str
        File name, CRC-32 of the whole file, and whether it is evaluated in single precision.
    n_ctx : int
        The longest context.
    """

    def __init__(
        self, model: Any, parameters: Any, *, n_ctx: int, num_threads: int | None, owner: Any,
        files: Sequence[Path], settings: str = "", float32: bool = False,
    ) -> None:  # fmt: skip
        import llama_cpp as api

        self._api = api
        self._vocabulary = api.llama_model_get_vocab(model)
        self._refuse_other_kinds(model, files[0])
        self._template = api.llama_model_chat_template(model, None)
        self._files, self._settings, self._float32 = tuple(files), settings, float32
        self.n_ctx = n_ctx
        self.n_vocab = int(api.llama_vocab_n_tokens(self._vocabulary))
        self.end: tuple[int, ...] = tuple(
            i for i in range(self.n_vocab) if api.llama_vocab_is_eog(self._vocabulary, i)
        )
        adds_start = api.llama_vocab_get_add_bos(self._vocabulary)
        self._start = [int(api.llama_vocab_bos(self._vocabulary))] if adds_start else []
        self._pieces: dict[int, bytes] = {}
        self._lock = threading.Lock()
        threads = max(1, available_cpus() // 2) if num_threads is None else num_threads
        self._context = LlamaContext(
            model,
            parameters,
            n_ctx=n_ctx,
            num_threads=resolve_threads(threads),
            owner=owner,
            float32=float32,
        )

    def __repr__(self) -> str:
        return f"<LlamaCppModel {self._files[0].name}: {self.n_vocab} tokens, n_ctx={self.n_ctx}>"

    def _refuse_other_kinds(self, model: Any, path: Path) -> None:
        api = self._api
        if api.llama_vocab_type(self._vocabulary) == api.LLAMA_VOCAB_TYPE_NONE:
            raise InvalidChainError(f"{path.name} has no tokens, so it is no language model")
        recurrent = api.llama_model_is_recurrent(model) or api.llama_model_is_hybrid(model)
        if recurrent or api.llama_model_is_diffusion(model) or api.llama_model_has_encoder(model):
            raise InvalidChainError(
                f"{path.name} is not a transformer that predicts the next token from a cache of"
                " keys and values (it is recurrent, an encoder or a diffusion model); evaluate it"
                " with llm.from_callable"
            )

    @cached_property
    def name(self) -> str:
        checksum = zlib.crc32(self._settings.encode())
        for path in self._files:
            with open(path, "rb") as file:
                while block := file.read(_BLOCK):
                    checksum = zlib.crc32(block, checksum)
        return f"{self._files[0].name}-{checksum:08x}{'-float32' if self._float32 else ''}"

    def encode(self, text: str, *, start: bool = True) -> list[int]:
        """The tokens of a text, as `LanguageModel.encode`."""
        if start:
            return self._start + self._tokenized(text)
        return (
            continuation(self._tokenized, text) if self._space_in_front else self._tokenized(text)
        )

    def _tokenized(self, text: str, names: bool = False) -> list[int]:
        """With `names`, names of special tokens are these tokens."""
        data = text.encode()
        size = len(data) + 8
        while True:
            tokens = (self._api.llama_token * size)()
            n = self._api.llama_tokenize(
                self._vocabulary, data, len(data), tokens, size, False, names
            )
            if n >= 0:
                return list(tokens[:n])
            size = -n

    def decode(self, tokens: Tokens) -> str:
        """The text of tokens, as `LanguageModel.decode`."""
        tokens = list(tokens)
        data = self._joined(tokens)
        if self._start and tokens[:1] == self._start and self._space_in_front:
            data = data.removeprefix(b" ")
        return data.decode(errors="replace")

    def decode_continuations(self, tokens: Tokens, following: Sequence[int]) -> list[str]:
        """`decode` of the tokens with each of the following ones behind them."""
        tokens = list(tokens)
        if not tokens or tokens[:1] == self._start:  # `decode` may strip a space
            return [self.decode([*tokens, token]) for token in following]
        head, pieces = self._joined(tokens), self._pieces
        for token in following:
            if token not in pieces:
                self._piece(token)
        return [(head + pieces[token]).decode(errors="replace") for token in following]

    @cached_property
    def _space_in_front(self) -> bool:
        return self._joined(self._tokenized("a")) == b" a"

    def _joined(self, tokens: Tokens) -> bytes:
        return b"".join([self._piece(token) for token in tokens])

    def _piece(self, token: int) -> bytes:
        if token not in self._pieces:
            self._check_token(token)
            self._pieces[token] = b"" if token in self.end else self._new_piece(token, 64)
        return self._pieces[token]

    def _new_piece(self, token: int, size: int, names: bool = False) -> bytes:
        buffer = ctypes.create_string_buffer(size)
        n = self._api.llama_token_to_piece(self._vocabulary, token, buffer, size, 0, names)
        return bytes(buffer.raw[:n]) if n >= 0 else self._new_piece(token, -n, names)

    def _check_token(self, token: int) -> None:
        if not 0 <= token < self.n_vocab:
            raise InvalidChainError(f"token {token}: tokens are 0 to {self.n_vocab - 1}")

    def next_log_probs(self, contexts: Sequence[Tokens]) -> Float32Array:
        """Log probabilities of the next token, float32 of shape (n_contexts, n_vocab).

        In single precision a row depends on what else is in the call, and on what was evaluated
        before, by rounding (2e-5 for SmolLM2). As stored, it has the same bits (`MOST_TOKENS` of
        llama_context.py has the reason).
        """
        given = [tuple(context) for context in contexts]
        for i, context in enumerate(given):
            self._check_context(context, i)
        rows: dict[tuple[int, ...], int] = {}
        for i, context in enumerate(given):
            rows.setdefault(context, i)
        out = np.empty((len(given), self.n_vocab), np.float32)
        distinct = sorted(rows)
        with self._lock:
            self._context.log_probs(distinct, [rows[context] for context in distinct], out)
        for i, context in enumerate(given):
            if rows[context] != i:
                out[i] = out[rows[context]]
        return out

    def _check_context(self, context: tuple[int, ...], i: int) -> None:
        if not context:
            raise InvalidChainError(
                f"context {i} is empty: this model needs at least one token to predict the next"
            )
        if len(context) > self.n_ctx:
            raise InvalidChainError(
                f"context {i} has {len(context)} tokens and n_ctx is {self.n_ctx}; load the model"
                f" with n_ctx={len(context)} or more, or shorten the text"
            )
        self._check_token(min(context))
        self._check_token(max(context))

    def chat_tokens(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The tokens of a conversation by the chat template in the file, up to where the model
        answers. `llm.chat` is the public name."""
        if self._template is None:
            raise InvalidChainError(
                f"{self._files[0].name} has no chat template; write the prompt yourself and encode"
                " it"
            )
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        special = {
            self._new_piece(i, 64, names=True).decode(errors="replace")
            for i in range(self.n_vocab)
            if self._api.llama_vocab_is_control(self._vocabulary, i)
        }
        bos, eos = (
            "" if token < 0 else self._new_piece(token, 64, names=True).decode()
            for token in (
                self._api.llama_vocab_bos(self._vocabulary),
                self._api.llama_vocab_eos(self._vocabulary),
            )
        )
        formatter: Any = Jinja2ChatFormatter(self._template.decode(), eos_token=eos, bos_token=bos)
        prompt = formatter(messages=checked_messages(messages, special)).prompt
        return self._tokenized(prompt, names=True)
