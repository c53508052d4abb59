"""Prompts per second and core of the laws of `fastebm.rlvr`, against textbook formulas in NumPy.

    python -m benchmarks.rlvr_rates

Each law runs on one thread, law and textbook in turn: CPU time of the fastest of three rounds over
a million prompts (4 thousand with FASTEBM_BENCH_SMOKE). The textbook formulas lose 1 - p near 1 and
cancel near p0; `-` means that there is none.
"""

import os
import time

import numpy as np
from scipy.special import expit, logit

from fastebm import rlvr

N_PROMPTS = 4_000 if os.environ.get("FASTEBM_BENCH_SMOKE") else 1_000_000


def seconds(function):
    """CPU seconds of one call."""
    begin = time.process_time()
    function()
    return max(time.process_time() - begin, 1e-9)


def kl(p, q):
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))


def binary(p):
    return -p * np.log(p) - (1 - p) * np.log(1 - p)


def laws():
    """name -> (law, textbook or None), functions without arguments."""
    rng = np.random.default_rng(0)
    p0, p, beta = rng.uniform(0.01, 0.99, (3, N_PROMPTS))
    x0, x, better, one = logit(p0), logit(p), np.maximum(p, p0), {"num_threads": 1}
    budget = rng.uniform(0.01, 0.99, N_PROMPTS) * -np.log(p0)
    shift, on = -np.expm1(-0.5 * 2.0) / 0.5, {"logit": True}
    return {
        "flow, one beta": (lambda: rlvr.flow(p0, 0.5, 2.0), lambda: expit(logit(p0) + shift)),
        "flow, a beta each": (
            lambda: rlvr.flow(p0, beta, 2.0),
            lambda: expit(logit(p0) - np.expm1(-beta * 2.0) / beta),
        ),
        "flow, in logits": (lambda: rlvr.flow(x0, 0.5, 2.0, **on), lambda: x0 + shift),
        "target accuracy": (
            lambda: rlvr.target_accuracy(p0, beta),
            lambda: expit(logit(p0) + 1 / beta),
        ),
        "KL spent": (lambda: rlvr.kl_spent(p, p0, **one), lambda: kl(p, p0)),
        "KL spent, in logits": (
            lambda: rlvr.kl_spent(x, x0, **one, **on),
            lambda: kl(expit(x), expit(x0)),
        ),
        "suboptimality, one beta": (
            lambda: rlvr.suboptimality(p, p0, 0.5, **one),
            lambda: 0.5 * kl(p, expit(logit(p0) + 2)),
        ),
        "suboptimality, a beta each": (
            lambda: rlvr.suboptimality(p, p0, beta + 0.1, **one),
            lambda: (beta + 0.1) * kl(p, expit(logit(p0) + 1 / (beta + 0.1))),
        ),
        "suboptimality, in logits": (
            lambda: rlvr.suboptimality(x, x0, 0.5, **one, **on),
            lambda: 0.5 * kl(expit(x), expit(x0 + 2)),
        ),
        "objective": (lambda: rlvr.objective(p, p0, 0.5, **one), lambda: p - 0.5 * kl(p, p0)),
        "log Z": (lambda: rlvr.log_partition(p0, 0.5), lambda: np.log(1 - p0 + p0 * np.exp(2.0))),
        "log Z, in logits": (
            lambda: rlvr.log_partition(x0, 0.5, **on),
            lambda: np.log(1 + expit(x0) * np.expm1(2.0)),
        ),
        "entropy": (lambda: rlvr.entropy(p, p0, 1.0, 2.0), lambda: binary(p) + p + 2 * (1 - p)),
        "entropy, in logits": (
            lambda: rlvr.entropy(x, x0, 1.0, 2.0, **on),
            lambda: binary(expit(x)) + expit(x) + 2 * expit(-x),
        ),
        "pass@8": (lambda: rlvr.pass_at_k(p, 8), lambda: 1 - (1 - p) ** 8),
        "pass@8, in logits": (
            lambda: rlvr.pass_at_k(0.1 * x - 2, 8, **on),
            lambda: logit(1 - expit(2 - 0.1 * x) ** 8),
        ),
        "peak of the entropy": (lambda: rlvr.peak_entropy_accuracy(p, p0), lambda: expit(p - p0)),
        "beta for an accuracy": (
            lambda: 1 / rlvr.beta_for_accuracy(p0, better),
            lambda: logit(better) - logit(p0),
        ),
        "time to an accuracy": (
            lambda: rlvr.time_to_accuracy(p0, better, 0.05),
            lambda: -np.log(1 - 0.05 * (logit(better) - logit(p0))) / 0.05,
        ),
        "accuracy for a KL": (lambda: rlvr.accuracy_for_kl(p0, budget, **one), None),
        "beta for a KL": (lambda: rlvr.beta_for_kl(p0, budget, **one), None),
        "target accuracy, alpha = 1/2": (lambda: rlvr.alpha_target_accuracy(p0, beta, 0.5), None),
    }


def main():
    print(
        "| law | million prompts per second and core | textbook in NumPy | ratio "
        "| largest difference |\n|---|---|---|---|---|"
    )
    for name, (law, textbook) in laws().items():
        difference = "-" if textbook is None else f"{np.abs(law() - textbook()).max():.1g}"
        rounds = [(seconds(law), seconds(textbook) if textbook else np.inf) for _ in range(3)]
        ours, theirs = (N_PROMPTS / 1e6 / min(column) for column in zip(*rounds, strict=True))
        peer = ["-", "-"] if textbook is None else [f"{theirs:.3g}", f"{ours / theirs:.2g}"]
        print(f"| {name} | {ours:.3g} | {' | '.join(peer)} | {difference} |")


if __name__ == "__main__":
    main()
