"""Policies that look ahead, next to one gap of the one-step tilt: no other package has them."""

import warnings

import numpy as np

import fastebm as fe

from ..problem import Answer, Verdict


def inputs(chain, options):
    """The reward; correct and wrong states are those of highest and of lowest reward."""
    high, low = np.quantile(chain.reward, [0.995, 0.005])
    return {"reward": chain.reward, "correct": chain.reward >= high, "wrong": chain.reward <= low}


def fastebm(problem):
    chain, reward, options = problem.chain, problem.array("reward"), problem.options
    correct, wrong = problem.array("correct"), problem.array("wrong")

    def solve():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fe.errors.ConvergenceWarning)  # the row says so
            if options["question"] == "average":
                found = fe.policy.average(chain, reward, options["beta"], tol=1e-8)
                width = (found.gain_upper - found.gain_lower) / options["beta"]
                return Answer(width, products=found.n_iter)
            found = fe.policy.verifiable(chain, correct, options["beta"], wrong=wrong, tol=1e-8)
            if options["question"] == "sweep":
                found = found.sweep(np.geomspace(0.1, 10.0, 10))[-1]
            width = float((found.value_upper - found.value_lower).max())
        return Answer(width, products=found.hit.n_iter)

    return solve


def gap(problem):
    """The spectral gap of the one-step tilt, its law included."""
    chain, reward, beta = problem.chain, problem.array("reward"), problem.options["beta"]

    def solve():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fe.errors.ConvergenceWarning)
            found = fe.spectral_gap(fe.tilt(chain, reward, beta), rng=0)
        return Answer(0.0, products=found.n_matvecs, note=f"gap {found.gap:.4g}")

    return solve


CONTENDERS = {"fastebm": fastebm, "one gap": gap}


def judge(problem, answers):
    """By the distance of the proven ends; the gap is there for its time."""
    return {
        name: Verdict(True, "")
        if name == "one gap"
        else Verdict(
            bool(answer.value <= problem.options["accuracy"]), f"proven to {answer.value:.1g}"
        )
        for name, answer in answers.items()
    }
