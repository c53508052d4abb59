"""A context of llama.cpp: its key-value cache, and rows of log probabilities out of it."""

import os
import weakref
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import pairwise
from typing import Any

import numpy as np

from .._runtime.memory import forecast_memory
from .._runtime.types import Float32Array
from ..errors import ModelOutputError
from .prefix_cache import Evaluation, PrefixCache

# Tokens of one call of llama_decode. The kernels of llama.cpp for 2 to 63 tokens give the same bits
# for any number of them (ggml-cpu/ops.cpp: flash attention is tiled from 64 tokens on, and split
# over the threads for one token; llamafile/sgemm.cpp: not used for one row). This matters more than
# rounding usually does: activations are quantised to 8 bits in most .gguf files, and a last bit
# that rounds one of them the other way changes log probabilities of SmolLM2 by up to 1.
MOST_TOKENS = 60
# In single precision, where a last bit stays one: more of them share the reading of the weights.
MOST_TOKENS_FLOAT32 = 128
# Cells for branches, in addition to those of the longest context.
_CELLS_FOR_BRANCHES = 1024
_SECONDS_ASLEEP = 0.5


class LlamaContext:
    """Evaluates token lists with a model of llama.cpp.

    Parameters
    ----------
    model : pointer to llama_model
    parameters : llama_context_params
        What changes numbers, such as the scaling of positions, is taken from here.
    float32 : bool
        The weights are float32, and so is everything else then.
    owner : object
        Kept alive as long as this context.
    """

    def __init__(
        self,
        model: Any,
        parameters: Any,
        *,
        n_ctx: int,
        num_threads: int,
        owner: object,
        float32: bool,
    ) -> None:
        import llama_cpp as api

        self._api = api
        self._owner = owner
        self.n_ctx = n_ctx
        self.n_vocab = int(api.llama_vocab_n_tokens(api.llama_model_get_vocab(model)))
        n_sequences = min(256, int(api.llama_max_parallel_sequences()))
        n_cells = n_ctx + _CELLS_FOR_BRANCHES
        forecast_memory(
            n_cells * _bytes_per_cell(api, model, float32),
            f"the key-value cache of llama.cpp for n_ctx={n_ctx}",
            "lower n_ctx",
        )
        parameters.n_ctx = n_cells
        # llama.cpp wants room for a row of each sequence.
        self._most_tokens = MOST_TOKENS_FLOAT32 if float32 else MOST_TOKENS
        parameters.n_batch = max(self._most_tokens, n_sequences)
        parameters.n_ubatch = self._most_tokens
        parameters.n_seq_max = n_sequences
        parameters.kv_unified = parameters.swa_full = True
        parameters.embeddings = False
        parameters.n_threads = parameters.n_threads_batch = num_threads
        self._context = _new_context(api, model, parameters, float32)
        self._memory = _Memory(api, self._context)
        self._batch = api.llama_batch_init(self._most_tokens, 0, n_sequences)
        self._cache = PrefixCache(self._memory, n_cells, n_sequences, ordered=not float32)
        # llama_decode runs in a thread, so that Ctrl-C is seen while it does.
        self._process = os.getpid()
        self._worker = ThreadPoolExecutor(1, "llama_decode")
        self._stop = stop = [False]
        self._abort = api.ggml_abort_callback(lambda _: stop[0])
        api.llama_set_abort_callback(self._context, self._abort, None)
        weakref.finalize(
            self, _free, api, self._worker, self._context, self._batch, (owner, self._abort)
        )

    def log_probs(
        self, contexts: Sequence[tuple[int, ...]], rows: Sequence[int], out: Float32Array
    ) -> None:
        """Fill out[rows[i]] for contexts[i]; the contexts are distinct and sorted."""
        if os.getpid() != self._process:
            raise RuntimeError(
                "a model of llama.cpp has threads, which a forked process does not inherit; load it"
                " there"
            )
        self._recover()
        start = 0
        while start < len(contexts):
            try:
                evaluations, stop = self._cache.place(contexts, start)
                for chunk in _chunks(evaluations, self._most_tokens):
                    self._evaluate(chunk, rows, out)
            except BaseException:
                self._stop[0] = True
                raise
            start = stop

    def _recover(self) -> None:
        """After a call that did not end, nothing is known about the cache."""
        if self._stop[0]:
            awaited(self._worker.submit(int))  # comes after a llama_decode that still runs
            self._memory.clear()
            self._cache.forget()
            self._stop[0] = False

    def _evaluate(
        self, chunk: Sequence[Evaluation], rows: Sequence[int], out: Float32Array
    ) -> None:
        wanted = {
            i: rows[evaluation.context]
            for i, evaluation in enumerate(chunk)
            if evaluation.context is not None
        }
        self._fill_batch(chunk)
        code = awaited(self._worker.submit(self._api.llama_decode, self._context, self._batch))
        if code:
            raise ModelOutputError(
                f"llama.cpp could not evaluate {len(chunk)} tokens: llama_decode returned {code}"
            )
        for i, row in wanted.items():
            logits = np.ctypeslib.as_array(
                self._api.llama_get_logits_ith(self._context, i), (self.n_vocab,)
            )
            log_softmax(logits, out[row])

    def _fill_batch(self, chunk: Sequence[Evaluation]) -> None:
        batch = self._batch
        wanted = [evaluation.context is not None for evaluation in chunk]
        if sum(wanted) == 1:  # the product with the output matrix has at least two rows, too
            wanted[0] = wanted[-1] = True
        batch.n_tokens = len(chunk)
        for i, evaluation in enumerate(chunk):
            batch.token[i] = evaluation.token
            batch.pos[i] = evaluation.position
            batch.n_seq_id[i] = len(evaluation.sequences)
            sequences = batch.seq_id[i]
            for j, sequence in enumerate(evaluation.sequences):
                sequences[j] = sequence
            batch.logits[i] = wanted[i]


def awaited(future: Future[Any]) -> Any:
    """The result of a future. Python acts on Ctrl-C in the main thread only, and a signal that
    another thread was given does not wake it."""
    while not wait([future], _SECONDS_ASLEEP).done:
        pass
    return future.result()


class _Memory:
    """The sequences of the key-value cache."""

    def __init__(self, api: Any, context: Any) -> None:
        self._api = api
        self._memory = api.llama_get_memory(context)

    def copy_sequence(self, source: int, target: int, length: int) -> None:
        self._api.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def cut_sequence(self, sequence: int, length: int) -> None:
        self._api.llama_memory_seq_rm(self._memory, sequence, length, -1)

    def clear(self) -> None:
        self._api.llama_memory_clear(self._memory, True)


def log_softmax(logits: Float32Array, out: Float32Array) -> None:
    """Logits less the logarithm of the sum of their exponentials."""
    with np.errstate(invalid="ignore"):  # NaN is reported by `next_probabilities`
        np.subtract(logits, logits.max(), out=out)
        out -= np.float32(np.log(np.exp(out).sum(dtype=np.float64)))


def _chunks(evaluations: list[Evaluation], most: int) -> list[list[Evaluation]]:
    """Parts of 2 to `most` tokens."""
    n_parts = -(-len(evaluations) // most)
    bounds = [len(evaluations) * i // n_parts for i in range(n_parts + 1)]
    return [evaluations[a:b] for a, b in pairwise(bounds)]


def _bytes_per_cell(api: Any, model: Any, float32: bool) -> int:
    """Keys and values of one token, in single or half precision."""
    heads = max(1, int(api.llama_model_n_head(model)))
    width = int(api.llama_model_n_embd(model)) * int(api.llama_model_n_head_kv(model)) // heads
    return 2 * (4 if float32 else 2) * width * int(api.llama_model_n_layer(model))


def _new_context(api: Any, model: Any, parameters: Any, float32: bool) -> Any:
    """Flash attention skips the cells of other sequences, so that a row costs and rounds as if it
    were alone; but it adds in half precision, which moves log probabilities of SmolLM2 by up to 0.1
    (by 1e-4 without it). A few architectures do not have it."""
    enabled, disabled = api.LLAMA_FLASH_ATTN_TYPE_ENABLED, api.LLAMA_FLASH_ATTN_TYPE_DISABLED
    if float32:
        parameters.type_k = parameters.type_v = api.GGML_TYPE_F32
    for attention in [disabled] if float32 else [enabled, disabled]:
        parameters.flash_attn_type = attention
        context = api.llama_init_from_model(model, parameters)
        if context is not None:
            return context
    raise ModelOutputError(
        f"llama.cpp could not make a context of {parameters.n_ctx} tokens for this model; lower"
        " n_ctx"
    )


def _free(
    api: Any, worker: ThreadPoolExecutor, context: Any, batch: Any, kept: tuple[object, ...]
) -> None:
    """`kept` is alive until here: the model, and the function that llama.cpp calls."""
    worker.shutdown()
    api.llama_batch_free(batch)
    api.llama_free(context)
    del kept
