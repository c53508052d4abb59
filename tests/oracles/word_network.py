"""The word association network of the LLM Mistral, from the folder of real inputs."""

import csv
import gzip
import os
from functools import lru_cache
from pathlib import Path

import pytest

import fastebm as fe


@lru_cache
def word_network():
    """(words, chain): the network as conductances between 20,339 words. Skips the test where the
    file is missing."""
    folder = os.environ.get("FASTEBM_SHARED_DATA")
    path = Path(folder or "", "llm_word_association_mistral.csv.gz")
    if folder is None or not path.exists():
        pytest.skip("FASTEBM_SHARED_DATA does not name the folder of real inputs")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    words = sorted({row[end] for row in rows for end in ("src", "tgt")})
    number = {word: i for i, word in enumerate(words)}
    source, target = ([number[row[end]] for row in rows] for end in ("src", "tgt"))
    weight = [float(row["wt"]) for row in rows]
    return words, fe.MarkovChain.from_edges(source, target, weight, symmetric=True)
