"""The chains of the cases, built from seeds and installed data.

FASTEBM_BENCH_SMOKE=1 makes all of them small.
"""

import os
from pathlib import Path

import numpy as np

import fastebm as fe

SMOKE = os.environ.get("FASTEBM_BENCH_SMOKE") == "1"


def random_regular(n, beta=1.0):
    """8 random permutations p with edges x - p(x) and a self-loop; a standard normal reward."""
    rng = np.random.default_rng(0)
    source = np.tile(np.arange(n), 8)
    target = np.concatenate([rng.permutation(n) for _ in range(8)])
    reference = fe.MarkovChain.from_edges(
        np.r_[source, np.arange(n)], np.r_[target, np.arange(n)], symmetric=True
    )
    return fe.tilt(reference, rng.standard_normal(n), beta)


def planted(n, n_sets=4):
    """n_sets random regular graphs in a ring: one edge per thousand states joins two neighbours."""
    rng, part = np.random.default_rng(0), n // n_sets
    source = np.tile(np.arange(part * n_sets), 8)
    target = np.concatenate(
        [rng.permutation(part) + first for _ in range(8) for first in range(0, part * n_sets, part)]
    )
    joined = rng.choice(part, max(1, part // 1000), replace=False)[:, None] + part * np.arange(
        n_sets
    )
    everyone = np.arange(part * n_sets)
    return fe.MarkovChain.from_edges(
        np.r_[source, everyone, joined.ravel()],
        np.r_[target, everyone, np.roll(joined, 1, axis=1).ravel()],
        symmetric=True,
    )


def hypercube(m, beta=1.0):
    """{0, 1}^m, not stored, with an edge from each state to its m neighbours and itself.

    The reward is the sum of a standard normal field over the bits that are set.
    """
    states = np.arange(1 << m)
    reward = np.zeros(states.size)
    for bit, field in enumerate(np.random.default_rng(0).standard_normal(m)):
        reward += field * (states >> bit & 1)
    return fe.tilt(fe.Hypercube(m, holding=0.0, self_loop=True), reward, beta)


def torus(side, beta=1.0, *, stored=True):
    """The side x side torus, edges to 4 neighbours and a self-loop; reward cos x cos 2y."""
    x, y = np.divmod(np.arange(side * side), side)
    if stored:
        right, up = (x + 1) % side * side + y, x * side + (y + 1) % side
        states = np.arange(side * side)
        reference = fe.MarkovChain.from_edges(
            np.r_[states, states, states], np.r_[right, up, states], symmetric=True
        )
    else:
        reference = fe.Torus((side, side), self_loop=True)
    return fe.tilt(reference, np.cos(2 * np.pi * x / side) * np.cos(4 * np.pi * y / side), beta)


def trigram():
    """The English trigram model of the pocketsphinx wheel, not reversible (smoke: phones)."""
    return fe.datasets.load("english-phones" if SMOKE else "english-trigram")


def reversible_trigram():
    """Its additive reversibilisation (P + P*) / 2."""
    return fe.reversibilize(trigram())


def associations(beta):
    """The word associations of an LLM, tilted by valence; read from FASTEBM_SHARED_DATA."""
    import csv
    import gzip

    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    folder = os.environ.get("FASTEBM_SHARED_DATA")
    if not folder:
        raise FileNotFoundError(
            "FASTEBM_SHARED_DATA does not name the folder of llm_word_association_mistral.csv.gz"
        )
    number = {}
    with gzip.open(
        Path(folder) / "llm_word_association_mistral.csv.gz", "rt", encoding="utf-8", newline=""
    ) as file:
        rows = [
            (
                number.setdefault(row["src"], len(number)),
                number.setdefault(row["tgt"], len(number)),
                float(row["wt"]),
            )
            for row in csv.DictReader(file)
            if not SMOKE or float(row["wt"]) >= 80.0
        ]
    source, target, weight = (np.array(column) for column in zip(*rows, strict=True))
    lexicon = SentimentIntensityAnalyzer().lexicon
    valence = np.array([lexicon.get(word, 0.0) for word in number])
    reference = fe.MarkovChain.from_edges(
        source, target, weight, symmetric=True, labels=list(number)
    )
    tilted = fe.tilt(reference, valence, beta)
    return tilted.largest_class() if SMOKE else tilted  # the whole network is one class
