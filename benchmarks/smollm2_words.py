"""The word associations of SmolLM2-135M-Instruct as a Markov chain.

    python -m benchmarks.smollm2_words record FILE     # computes fastebm/data/smollm2-words.npz
    python -m benchmarks.smollm2_words kernel N        # times the kernel of N words

The vocabulary is grown from a few words: the words that the model says most after those that are
there already, and at the end words of the VADER lexicon alone. Candidates are the words of three
letters or more of the English model of pocketsphinx that SmolLM2 writes with one token. The words
of FEELINGS take several tokens. It needs the extras `llm` and `demo`.
"""

import argparse
import time

import numpy as np
from pocketsphinx import get_model_path

from fastebm import datasets, llm
from fastebm.io.ngram_model import read_model
from fastebm.llm.model import next_probabilities

PROMPT = "Free association: night -> dark, bread -> butter, doctor -> nurse, {word} ->"
SEEDS = ("happy", "sad", "money", "love", "war", "sun")
FEELINGS = (
    *("elated", "heartbroken", "pathetic", "depressing", "sweetheart", "loser", "liar", "idiot"),
    *("darling", "disgusting", "hateful", "horrified", "jolly", "cheated", "glamorous", "insanity"),
    *("outrageous", "cynical", "kisses", "hugs", "grin", "applause", "murderer", "stabbed"),
)
N_WORDS = 400
SHARE_OF_VALENCE = 0.2  # of the words, those that VADER must know
STEP = 2.0**-11  # of the logarithms of a recorded kernel: relative errors up to 2.4e-4


def candidates(model):
    """{word: token} of the words that may be chosen."""
    path = get_model_path("en-us/en-us.lm.bin")
    found = {}
    for word in read_model(path).words:
        if word.isascii() and word.isalpha() and word.islower() and len(word) > 2:
            tokens = model.encode(" " + word, start=False)
            if len(tokens) == 1:
                found[word] = tokens[0]
    return found


def vocabulary(model, n_words):
    """The chosen words, in the order in which they were chosen."""
    tokens = candidates(model)
    names, ids = list(tokens), np.array(list(tokens.values()))
    has_valence = np.array(datasets.valence(names)) != 0
    chosen, n_done, mass = list(SEEDS), 0, np.zeros(len(names))
    feelings = list(FEELINGS[: n_words // 16])
    n_grown = n_words - len(feelings)
    n_free = round(n_grown * (1 - SHARE_OF_VALENCE))
    while len(chosen) < n_grown:
        for begin in range(n_done, len(chosen), 32):
            part = [model.encode(PROMPT.replace("{word}", word)) for word in chosen[begin:][:32]]
            mass += next_probabilities(model, part)[:, ids].sum(axis=0)
        n_done = len(chosen)
        is_free = n_done < n_free
        is_open = (np.ones(len(names), bool) if is_free else has_valence) & ~np.isin(names, chosen)
        n_more = min(max(6, n_done // 3), (n_free if is_free else n_grown) - n_done)
        order = [i for i in np.argsort(-mass, kind="stable") if is_open[i]]
        if not order:
            raise ValueError(f"there are candidates for {len(chosen)} words only")
        chosen += [names[i] for i in order[:n_more]]
    return chosen + feelings


def kernel(model, words, **options):
    """The chain of the words, with its valence."""
    return llm.word_chain(
        model, words, prompt=PROMPT, reward=datasets.valence(words), progress=True, **options
    )


def record(model, path, n_words=N_WORDS, **options):
    """Write the kernel before normalisation, its logarithms as 16-bit multiples of STEP."""
    chain = kernel(model, vocabulary(model, n_words), **options)
    q = chain.to_scipy().toarray() * (1 - chain.leak)[:, None]
    if not q.all():
        raise ValueError("an entry is zero, which the file has no number for")
    code = np.rint(-np.log(q) / STEP)
    if code.max() > np.iinfo(np.uint16).max:
        raise ValueError(f"the smallest entry, {q.min():.3g}, is below the range of the file")
    np.savez_compressed(
        path,
        words=np.array(chain.labels),
        code=code.astype(np.uint16),
        step=STEP,
        reward=np.array(chain.reward, np.float32),
        unresolved=chain.unresolved.astype(np.float32),
        model=chain.model,
        n_passes=chain.n_passes,
        prompt=PROMPT,
    )
    return chain


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["record", "kernel"])
    parser.add_argument("value", help="the file to write, or a number of words")
    parser.add_argument("--checkpoint")
    options = parser.parse_args(arguments)
    model = llm.load("smollm2")
    begin, cpu = time.perf_counter(), time.process_time()
    if options.what == "record":
        chain = record(model, options.value, checkpoint=options.checkpoint)
    else:
        words = vocabulary(model, int(options.value))
        chain = kernel(model, words, checkpoint=options.checkpoint)
    print(
        f"{chain.n_states} words, {chain.n_passes} passes, leak {chain.leak.mean():.3f}, "
        f"unresolved {chain.unresolved.mean():.4f}, {time.perf_counter() - begin:.0f} s, "
        f"{time.process_time() - cpu:.0f} s of CPU"
    )
    return chain


if __name__ == "__main__":
    main()
