"""The laws of `fastebm.rlvr` compared with real training logs; prints Markdown.

    python -m benchmarks.rlvr_runs FILE

FILE is a table with the columns run, step, reward, kl and entropy; others are ignored. Every run is
fitted by `rlvr.fit_curve`. The third table fits the first half of each run and compares its
prediction with the second half. About two seconds.
"""

import csv
import sys

import numpy as np

from fastebm import rlvr


def read(path):
    """run -> (step, reward, kl, entropy) as arrays; an empty field is NaN."""
    runs = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            runs.setdefault(row["run"], []).append(
                [float(row[name] or "nan") for name in ("step", "reward", "kl", "entropy")]
            )
    return {run: np.array(rows).T for run, rows in runs.items()}


def row(*cells):
    print(f"| {' | '.join(cells)} |")


def header(*cells):
    row(*cells)
    print("|---" * len(cells) + "|")


def main(path):
    runs = read(path)
    found = {
        run: rlvr.fit_curve(step, reward, kl=kl, entropy=entropy)
        for run, (step, reward, kl, entropy) in runs.items()
    }
    header("run", "steps", "p0", "speed x 1000", "beta", "target", "misfit / noise", "DW", "p")
    for run, fit in found.items():
        law = fit.accuracy_law
        row(
            f"{run}",
            f"{fit.n_steps}",
            f"{fit.p0:.3f} ± {fit.p0_se:.3f}",
            f"{1e3 * fit.speed:.1f} ± {1e3 * fit.speed_se:.1f}",
            f"{fit.beta:+.2f} ± {fit.beta_se:.2f}",
            f"{fit.target:.3f}",
            f"{law.misfit:.3f} / {law.noise_sd:.3f}",
            f"{law.durbin_watson:.2f}",
            f"{law.p_value:.1g}",
        )
    print()
    header(
        *("run", "KL scale", "KL R2", "KL DW", "H_correct", "H_wrong", "R2 at scale 1"),
        *("entropy scale", "difference, scale free", "R2", "DW"),
    )
    for run, fit in found.items():
        kl, law, free = fit.kl_law, fit.entropy_law, fit.free_entropy_law
        row(
            f"{run}",
            f"{fit.kl_scale:.2f} ± {fit.kl_scale_se:.2f}",
            f"{kl.r_squared:.2f}",
            f"{kl.durbin_watson:.2f}",
            f"{fit.h_correct:+.2f}",
            f"{fit.h_wrong:+.2f}",
            f"{law.r_squared:.2f}",
            f"{fit.h_scale:+.2f} ± {fit.h_scale_se:.2f}",
            f"{fit.free_difference:+.2f} ± {fit.free_difference_se:.2f}",
            f"{free.r_squared:.2f}",
            f"{free.durbin_watson:.2f}",
        )
    print()
    header("run", "beta, first half", "mean error, second half", "RMS error", "noise")
    for run, (step, reward, _, _) in runs.items():
        half = len(step) // 2
        fit = rlvr.fit_curve(step[:half], reward[:half])
        error = reward[half:] - rlvr.flow(fit.p0, max(fit.beta, 0.0), fit.speed * step[half:])
        error = error[~np.isnan(error)]
        row(
            f"{run}",
            f"{fit.beta:+.2f} ± {fit.beta_se:.2f}",
            f"{error.mean():+.3f}",
            f"{np.sqrt(np.mean(error**2)):.3f}",
            f"{found[run].accuracy_law.noise_sd:.3f}",
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
