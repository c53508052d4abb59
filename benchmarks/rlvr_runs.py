"""The laws of `fastebm.rlvr` held against real training logs: `python -m benchmarks.rlvr_runs FILE`, Markdown on stdout.

FILE: a table `run,step,reward,kl,entropy` and whatever else; every run is fitted by `rlvr.fit_curve`. The third table fits the
first half of each run and judges what that predicts of the second. About two seconds.
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


def main(path):
    runs = read(path)
    found = {
        run: rlvr.fit_curve(step, reward, kl=kl, entropy=entropy)
        for run, (step, reward, kl, entropy) in runs.items()
    }
    print(
        "| run | steps | p0 | speed x 1000 | beta | target | misfit / noise | DW | p |\n|---|---|---|---|---|---|---|---|---|"
    )
    for run, fit in found.items():
        law = fit.accuracy_law
        print(
            f"| {run} | {fit.n_steps} | {fit.p0:.3f} ± {fit.p0_se:.3f} | {1e3 * fit.speed:.1f} ± {1e3 * fit.speed_se:.1f} | "
            f"{fit.beta:+.2f} ± {fit.beta_se:.2f} | {fit.target:.3f} | {law.misfit:.3f} / {law.noise_sd:.3f} | "
            f"{law.durbin_watson:.2f} | {law.p_value:.1g} |"
        )
    print(
        "\n| run | KL scale | KL R2 | KL DW | H_correct | H_wrong | R2 at scale 1 | entropy scale | difference, scale free | "
        "R2 | DW |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for run, fit in found.items():
        kl, law, free = fit.kl_law, fit.entropy_law, fit.free_entropy_law
        print(
            f"| {run} | {fit.kl_scale:.2f} ± {fit.kl_scale_se:.2f} | {kl.r_squared:.2f} | {kl.durbin_watson:.2f} | "
            f"{fit.h_correct:+.2f} | {fit.h_wrong:+.2f} | {law.r_squared:.2f} | {fit.h_scale:+.2f} ± {fit.h_scale_se:.2f} | "
            f"{fit.free_difference:+.2f} ± {fit.free_difference_se:.2f} | {free.r_squared:.2f} | {free.durbin_watson:.2f} |"
        )
    print(
        "\n| run | beta, first half | mean error, second half | RMS error | noise |\n|---|---|---|---|---|"
    )
    for run, (step, reward, _, _) in runs.items():
        half = len(step) // 2
        fit = rlvr.fit_curve(step[:half], reward[:half])
        error = reward[half:] - rlvr.flow(fit.p0, max(fit.beta, 0.0), fit.speed * step[half:])
        error = error[~np.isnan(error)]
        print(
            f"| {run} | {fit.beta:+.2f} ± {fit.beta_se:.2f} | {error.mean():+.3f} | {np.sqrt(np.mean(error**2)):.3f} | "
            f"{found[run].accuracy_law.noise_sd:.3f} |"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
