"""Answers and words of a model as parts of a longer call, whose checkpoint keeps them."""

import json
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from .._runtime.resumable import State, stage
from ..chains.chain import MarkovChain
from ..chains.words import WordChain, words_again
from ..llm.answer_tree import AnswerTree
from ..llm.answers import answers, tree_options
from ..llm.expansion import Expansion
from ..llm.model import LanguageModel, Tokens
from ..llm.prefix_tree import PrefixTree
from ..llm.sampling import prompt_tokens
from ..llm.verifier import Verify
from ..llm.word_chain import word_chain

#: What a model is told to ask for the next word.
WORD_PROMPT = "Free association: night -> dark, bread -> butter, doctor -> nurse, {word} ->"


def kept_answers(
    name: str,
    model: LanguageModel,
    prompt: str | Tokens,
    verify: Verify,
    *,
    max_nodes: int,
    max_length: int,
    min_mass: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    width: float | None = None,
    batch_size: int = 16,
    progress: bool = False,
) -> AnswerTree:
    """`llm.answers` as a stage; `name` tells it apart within the call."""
    options: dict[str, Any] = {
        "max_length": max_length,
        "min_mass": min_mass,
        "top_p": top_p,
        "top_k": top_k,
        "width": width,
        "batch_size": batch_size,
        "score_range": (0, 1),
    }

    def unpacked(saved: State) -> AnswerTree:
        expansion = Expansion(
            model,
            prompt_tokens(model, prompt),
            verify,
            tree_options(model, **options),
            PrefixTree(),
        )
        expansion.restore(saved["nodes"], saved["rows"])
        return AnswerTree.of(expansion, prompt)

    made: AnswerTree = stage(
        f"{name} of {model.name}",
        lambda: answers(model, prompt, verify, max_nodes=max_nodes, progress=progress, **options),
        pack=lambda tree: tree.state(),
        unpack=unpacked,
    )
    return made


def kept_words(model: LanguageModel, words: Sequence[str], **options: Any) -> WordChain:
    """`llm.word_chain` as a stage."""

    def packed(chain: WordChain) -> dict[str, Any]:
        arrays, facts = chain._parts()
        return {**arrays, "names": np.array(list(arrays)), "facts": np.array(json.dumps(facts))}

    def unpacked(saved: State) -> WordChain:
        arrays = {name: saved[name] for name in saved["names"].tolist()}
        facts = json.loads(str(saved["facts"]))
        chain = MarkovChain._assemble(arrays, facts, list(words))
        return cast(WordChain, words_again(chain, arrays, facts))

    made: WordChain = stage(
        f"kernel of {model.name}",
        lambda: word_chain(model, words, **options),
        pack=packed,
        unpack=unpacked,
    )
    return made
