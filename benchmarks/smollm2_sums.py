"""Ten sums and what SmolLM2-135M-Instruct answers to them, as chains.

    python -m benchmarks.smollm2_sums FILE     # computes fastebm/data/smollm2-sums.npz

Needs the extra `llm`; about 1,000 passes of the model.
"""

import argparse

import numpy as np
import scipy.sparse as sp

from fastebm import llm

SHOTS = "1 + 1 = 2\n2 + 5 = 7\n12 + 6 = 18\n30 + 14 = 44\n"
SUMS = ((17, 5), (3, 4), (26, 37), (2, 2), (5, 9), (8, 8), (41, 23), (60, 30), (7, 15), (19, 3))
WIDTH = 0.002


def answered(model, a, b):
    """(label of the prompt, the tree of its answers)."""
    question = f"{a} + {b} ="
    verify = llm.number_is(a + b)
    return question, llm.answers(
        model, SHOTS + question, verify, max_nodes=500, max_length=24, width=WIDTH
    )


def record(model, path, sums=SUMS, min_mass=1e-3):
    """Write the merged chains of the sums side by side."""
    blocks, labels, rewards = [], [], []
    for a, b in sums:
        question, tree = answered(model, a, b)
        chain = llm.merged_chain(tree, min_mass=min_mass)
        blocks.append(chain.to_scipy())
        labels += [question + (text if text[:1] != "(" else f" {text}") for text in chain.labels]
        rewards.append(chain.reward)
        low, high = tree.accuracy
        print(f"{question} right with {low:.6f} to {high:.6f}; {tree.n_nodes} rows", flush=True)
    matrix = sp.block_diag(blocks, format="csr")
    np.savez_compressed(
        path,
        indptr=matrix.indptr.astype(np.int32),
        indices=matrix.indices.astype(np.int32),
        data=matrix.data,
        labels=np.array(labels),
        reward=np.concatenate(rewards),
        model=model.name,
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file")
    record(llm.load("smollm2"), parser.parse_args(arguments).file)


if __name__ == "__main__":
    main()
