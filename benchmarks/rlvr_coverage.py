"""Coverage of the intervals of `rlvr.fit_curve`, and how often it rejects a law that holds.

    python -m benchmarks.rlvr_coverage [N_RUNS [SEED]]

Logs are simulated from the laws, which are written out here and not taken from fastebm, with
Gaussian noise, noise with memory, or means of a finite batch of answers. N_RUNS is the number of
runs of each shape. Use a new SEED: one that was used to develop the fit proves nothing.
"""

import os
import sys
from dataclasses import dataclass

import numpy as np

from fastebm import rlvr

N_RUNS = 4 if os.environ.get("FASTEBM_BENCH_SMOKE") else 1000
SEED = 20_261_126


@dataclass(frozen=True)
class Shape:
    """A training run: its length, its laws and its noise.

    noise: standard deviations of accuracy, KL and entropy. batch: answers per step (binomial
    noise). memory: the coefficient of an autoregression. window: the noise is a moving average of
    that many numbers. h: entropies of right and wrong answers.
    """

    n: int
    p0: float
    speed: float
    beta: float
    noise: tuple = (0.02, 0.02, 0.02)
    memory: float = 0.0
    batch: int | None = None
    window: int = 1
    h: tuple = (1.2, 3.0)


SHAPES = {
    "250 steps, noise 0.02": Shape(250, 0.45, 0.02, 0.5),
    "250 steps, 32 answers each": Shape(250, 0.45, 0.02, 0.5, batch=32, noise=(0.0, 0.05, 0.1)),
    "100 steps, beta 1": Shape(100, 0.3, 0.06, 1.0, noise=(0.05, 0.01, 0.05), h=(3.0, 2.0)),
    "40 steps": Shape(40, 0.2, 0.1, 0.6, noise=(0.03, 0.02, 0.1)),
    "1000 steps, rare successes": Shape(
        1000, 0.03, 0.01, 0.22, batch=64, noise=(0.0, 0.05, 0.05), h=(0.5, 4.0)
    ),
    "300 steps, 128 answers each": Shape(300, 0.58, 0.03, 0.57, batch=128, noise=(0.0, 0.03, 0.05)),
    "200 steps, not saturated": Shape(200, 0.4, 0.006, 0.4),
    "200 steps, beta 0": Shape(200, 0.3, 0.01, 0.0),
    "250 steps, memory 0.3": Shape(250, 0.45, 0.02, 0.5, memory=0.3),
    "250 steps, memory 0.5": Shape(250, 0.45, 0.02, 0.5, memory=0.5),
    "1000 steps, memory 0.8": Shape(1000, 0.45, 0.006, 0.5, memory=0.8),
    "500 steps, means of 5": Shape(500, 0.45, 0.01, 0.5, window=5),
}
PARAMETERS = ("p0", "speed", "beta", "kl_scale", "h_difference", "h_scale", "free_difference")
LAWS = ("accuracy_law", "kl_law", "entropy_law")


def simulate(shape, rng):
    """(steps, accuracy, kl, entropy) of one run."""
    steps = np.arange(1.0, shape.n + 1)
    time = shape.speed * steps
    x = np.log(shape.p0 / (1 - shape.p0)) + (
        time if shape.beta == 0 else (1 - np.exp(-shape.beta * time)) / shape.beta
    )
    p = 1 / (1 + np.exp(-x))
    kl = p * np.log(p / shape.p0) + (1 - p) * np.log((1 - p) / (1 - shape.p0))
    entropy = -p * np.log(p) - (1 - p) * np.log(1 - p) + p * shape.h[0] + (1 - p) * shape.h[1]
    errors = rng.normal(size=(3, shape.n))
    for t in range(1, shape.n):
        errors[:, t] = shape.memory * errors[:, t - 1] + np.sqrt(1 - shape.memory**2) * errors[:, t]
    if shape.window > 1:
        more = np.hstack([rng.normal(size=(3, shape.window - 1)), errors])
        errors = np.lib.stride_tricks.sliding_window_view(more, shape.window, axis=1).sum(
            axis=2
        ) / np.sqrt(shape.window)
    errors *= np.array(shape.noise)[:, None]
    seen = p + errors[0] if shape.batch is None else rng.binomial(shape.batch, p) / shape.batch
    return steps, seen, kl + errors[1], entropy + errors[2]


def judge(shape, n_runs, rng):
    """(z scores (n_runs, parameters), p-values (n_runs, laws))."""
    truth = {
        "p0": shape.p0,
        "speed": shape.speed,
        "beta": shape.beta,
        "kl_scale": 1.0,
        "h_scale": 1.0,
        "h_difference": shape.h[0] - shape.h[1],
        "free_difference": shape.h[0] - shape.h[1],
    }
    z, p_values = [], []
    for _ in range(n_runs):
        steps, accuracy, kl, entropy = simulate(shape, rng)
        fit = rlvr.fit_curve(steps, accuracy, kl=kl, entropy=entropy)
        z.append(
            [
                (getattr(fit, name) - truth[name]) / max(getattr(fit, name + "_se"), 1e-300)
                for name in PARAMETERS
            ]
        )
        p_values.append([getattr(fit, law).p_value for law in LAWS])
    return np.array(z), np.array(p_values)


def main(n_runs=None, seed=SEED):
    n_runs = int(n_runs or N_RUNS)
    generators = np.random.default_rng(int(seed)).spawn(len(SHAPES))
    judged = {
        name: judge(shape, n_runs, rng)
        for (name, shape), rng in zip(SHAPES.items(), generators, strict=True)
    }

    def share(hits):
        mean = hits.mean()
        error = np.sqrt(max(mean * (1 - mean), 0.25 / n_runs) / n_runs)
        return f"{100 * mean:.1f} ± {100 * error:.1f}"

    print(f"{n_runs} runs of each shape, seed {seed}; % ± standard error\n")
    print(f"| truth within 1.96 standard errors | {' | '.join(PARAMETERS)} |")
    print(f"|{'---|' * (len(PARAMETERS) + 1)}")
    for name, (z, _) in judged.items():
        print(f"| {name} | {' | '.join(share(np.abs(column) < 1.96) for column in z.T)} |")
    print(f"\n| p-value below 0.05 | {' | '.join(LAWS)} |\n|{'---|' * (len(LAWS) + 1)}")
    for name, (_, p_values) in judged.items():
        print(f"| {name} | {' | '.join(share(column < 0.05) for column in p_values.T)} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
