"""Prompts a second and core of the laws of `fastebm.rlvr`, beside textbook formulas in NumPy: `python -m benchmarks.rlvr_rates`.

CPU time of the fastest of three rounds over 4 million prompts (SMOKE = FASTEBM_BENCH_SMOKE: 4 thousand). The textbook's formulas
lose 1 - p near 1 and cancel near p0; what ours take longer is the price of not doing so.
"""

import os
import time

import numpy as np
from scipy.special import expit, logit

from fastebm import rlvr

N_PROMPTS = 4_000 if os.environ.get("FASTEBM_BENCH_SMOKE") else 4_000_000


def rate(function):
    """Prompts a CPU second."""
    seconds = []
    for _ in range(3):
        begin = time.process_time()
        function()
        seconds.append(time.process_time() - begin)
    return N_PROMPTS / max(min(seconds), 1e-9)


def kl(p, q):
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))


def main():
    rng = np.random.default_rng(0)
    p0, p, beta = rng.uniform(0.01, 0.99, (3, N_PROMPTS))
    x0, x = logit(p0), logit(p)
    shift = -np.expm1(-0.5 * 2.0) / 0.5
    rows = {
        "flow, one beta": (lambda: rlvr.flow(p0, 0.5, 2.0), lambda: expit(logit(p0) + shift)),
        "flow, a beta each": (lambda: rlvr.flow(p0, beta, 2.0), lambda: expit(logit(p0) - np.expm1(-beta * 2.0) / beta)),
        "flow, in logits": (lambda: rlvr.flow(x0, 0.5, 2.0, logit=True), lambda: x0 + shift),
        "target accuracy": (lambda: rlvr.target_accuracy(p0, beta), lambda: expit(logit(p0) + 1 / beta)),
        "KL spent": (lambda: rlvr.kl_spent(p, p0), lambda: kl(p, p0)),
        "KL spent, in logits": (lambda: rlvr.kl_spent(x, x0, logit=True), lambda: kl(expit(x), expit(x0))),
        "suboptimality": (lambda: rlvr.suboptimality(p, p0, 0.5), lambda: 0.5 * kl(p, expit(logit(p0) + 2))),
        "entropy": (lambda: rlvr.entropy(p, p0, 1.0, 2.0), lambda: -p * np.log(p) - (1 - p) * np.log(1 - p) + p + 2 * (1 - p)),
    }
    print("| law | million prompts a second and core | textbook in NumPy | largest difference |\n|---|---|---|---|")
    for name, (law, textbook) in rows.items():
        difference = np.abs(law() - textbook()).max()
        print(f"| {name} | {rate(law) / 1e6:.3g} | {rate(textbook) / 1e6:.3g} | {difference:.1g} |")


if __name__ == "__main__":
    main()
