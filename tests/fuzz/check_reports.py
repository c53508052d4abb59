"""Checks of what carries results further: reports, saved chains, laws that the user gives."""

import json
import tempfile
from pathlib import Path

import numpy as np

import fastebm as fe

from .check_spectral import true_gap
from .registry import analysis
from .truth import EPS
from .verdicts import holds, near


@analysis(weight=0.1)
def analyze(case):
    truth, chain = case.truth, case.chain
    score = case.rng.normal(size=case.n)
    found = fe.analyze(chain, score=score, level=score.max(), n_walkers=100, rng=case.index)
    text = json.dumps(found.to_dict(), allow_nan=False)
    yield holds("JSON", json.loads(text)["version"] == fe.__version__)
    parts = [found.stationary, *found.gaps.values(), found.spectrum, found.solve, found.bounds]
    flags = [part.converged for part in parts if part is not None]
    yield holds("converged", not found.converged or all(flags), flags)
    yield holds("structure", found.structure.n_classes == len(truth.classes))
    known = truth.has_one_law
    yield holds("stationary", (found.stationary is not None) == known, found.errors)
    for kind, gap in found.gaps.items():
        want, error = true_gap(truth, kind)
        normal = truth.is_reversible or kind != "absolute"
        rounding = truth.slack * want + error + (0.0 if normal else gap.rounding)
        if getattr(gap, "criterion", None) != "residual":
            yield near(f"gap {kind}", gap.gap, want, 1e-8, rounding, converged=gap.converged)
    if found.solve is not None:
        mean = truth.times(score >= score.max())
        converged = found.solve.converged
        yield near("solve", found.solve.mean, mean, 1e-8 + truth.slack, converged=converged)


@analysis(weight=0.2)
def saved_chain(case):
    """A saved chain is the same operator, with the same law."""
    chain = case.chain
    if case.rng.random() < 0.5 and case.truth.has_one_law:
        fe.stationary(chain)
    with tempfile.TemporaryDirectory() as folder:
        chain.save(Path(folder) / "chain")
        loaded = fe.load(Path(folder) / "chain")
        same = (loaded.to_scipy() != chain.to_scipy()).nnz == 0
        yield holds("entries", same)
        yield holds("labels", (loaded.labels is None) == (chain.labels is None))
        if case.truth.has_one_law:
            yield near("pi", fe.stationary(loaded).pi, fe.stationary(chain).pi, 1e-12, 1e-300)


@analysis()
def given_law(case):
    """A law that the user gives is used only if it is one."""
    truth = case.truth
    if not truth.has_one_law:
        return
    if float(truth.P[truth.adjacent].min()) < 1e-300:
        return  # the matrix in doubles has lost a transition
    pi = truth.pi.astype(float)
    off_by = float(case.rng.choice([0.0, 1e-15, 1e-9, 1e-4]))
    pi = pi * np.exp(off_by * case.rng.normal(size=case.n))
    try:
        chain = fe.MarkovChain(truth.P.astype(float), pi=pi / pi.sum())
    except fe.InvalidChainError:
        yield holds("refused", off_by > 1e-12, "the law was refused")
        return
    found = fe.stationary(chain)
    inside = np.isfinite(truth.log_pi) & (pi > 1e-300)
    tol = 1e-12 + truth.slack
    converged = found.converged
    got, want = found.log_pi[inside], truth.log_pi[inside]
    yield near("log_pi", got, want, 4 * EPS, tol, converged=converged)
