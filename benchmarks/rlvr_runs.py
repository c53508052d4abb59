"""The laws of `fastebm.rlvr` compared with real training logs; prints Markdown.

    python -m benchmarks.rlvr_runs FILE

FILE is a table with the columns run, step, reward, kl and entropy; others are ignored. Every run is
fitted by `rlvr.fit_curve`. The third table fits the first half of each run and compares its
prediction with the second half. The fourth compares the law of the natural gradient flow with that
of GRPO, the fifth how both predict the second half. About a minute.
"""

import csv
import sys
import warnings

import numpy as np

from fastebm import rlvr
from fastebm.errors import ConvergenceWarning


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
    print()
    compare(runs)
    print()
    predict(runs)


def compare(runs):
    """Both laws on every whole run."""
    header(
        *("run", "AIC natural - GRPO", "z", "p", "favoured", "natural: misfit, p"),
        *("GRPO: misfit, p", "speed x 1000", "beta", "target"),
    )
    total = spread = 0.0
    for run, (step, reward, _, _) in runs.items():
        both = rlvr.fit_curve(step, reward, law="auto").comparison
        fits = [rlvr.fit_curve(step, reward, law=law) for law in ("natural", "grpo")]
        grpo = fits[1]
        total += both.aic_difference
        spread += (both.aic_difference / both.z) ** 2 if both.z else 0.0
        row(
            run,
            f"{both.aic_difference:+.1f}",
            f"{both.z:+.1f}",
            f"{both.p_value:.2g}",
            f"{both.favoured or '-'}",
            *(f"{f.accuracy_law.misfit:.3f}, {f.accuracy_law.p_value:.1g}" for f in fits),
            f"{1e3 * grpo.speed:.1f} ± {1e3 * grpo.speed_se:.1f}",
            f"{grpo.beta:+.2f} ± {grpo.beta_se:.2f}",
            f"{grpo.target:.3f}",
        )
    row("all", f"{total:+.1f}", f"{total / np.sqrt(spread):+.1f}", *[""] * 7)


def predict(runs):
    """RMS error of the second half, predicted from the first."""
    header("run", "RMS error, natural", "RMS error, GRPO", "noise")
    errors = []
    for run, (step, reward, _, _) in runs.items():
        half, found = len(step) // 2, []
        for law in ("natural", "grpo"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                fit = rlvr.fit_curve(step[:half], reward[:half], law=law)
            flow = rlvr.flow if law == "natural" else rlvr.grpo_flow
            error = reward[half:] - flow(fit.p0, max(fit.beta, 0.0), fit.speed * step[half:])
            found.append(np.sqrt(np.nanmean(error**2)))
        errors.append(found)
        noise = rlvr.fit_curve(step, reward).accuracy_law.noise_sd
        row(run, *(f"{error:.3f}" for error in found), f"{noise:.3f}")
    row("median", *(f"{error:.3f}" for error in np.median(errors, axis=0)), "")


if __name__ == "__main__":
    main(*sys.argv[1:])
