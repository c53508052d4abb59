"""What a report says: its questions, each with its answer in lines; the summary and the page both
read them."""

import math
from typing import Callable, NamedTuple

import numpy as np

from ..linalg.rounding import ROUNDING
from .facts import RARE, encloses

MAX_SAID = 5  # eigenvalues in a line
_CAVEAT = {True: "", False: " (NOT CONVERGED)"}


def holds(gap):
    """What a bound from this gap rests on, said where that is not certain."""
    return "" if gap.lower_kind == "rigorous" else f" (its lower end: {gap.lower_kind})"


def enclosed(gap):
    """The two ends of a gap and what each rests on."""
    ends = {"at least": (gap.gap_lower, gap.lower_kind), "at most": (gap.gap_upper, gap.upper_kind)}
    return ", ".join(
        f"{word} {value:.10g} ({kind})" for word, (value, kind) in ends.items() if kind != "none"
    )


def _say_chain(report):
    c = report.chain
    size = f"{c['nbytes'] / 1e6:,.1f} MB" if c["nbytes"] >= 1e5 else f"{c['nbytes']:,} bytes"
    yield f"chain: {c['n_states']:,} states, {c['nnz']:,} entries, {size} ({c['storage']})"


def _say_structure(report):
    s = report.structure
    if s is None:
        return
    n_closed, n_transient = int(s.closed.sum()), int(s.size[~s.closed].sum())
    word = "irreducible"
    if not s.is_irreducible:
        word = f"{s.n_classes:,} communicating classes, {n_closed:,} of them closed, {n_transient:,} transient"
    yield f"structure: {word}; period {s.period}{' (aperiodic)' if s.is_aperiodic else ''}"


def _say_stationary(report):
    if (law := report.stationary) is not None:
        yield f"stationary law: by {law.method}, |pi P - pi| = {law.residual:.2g} in total"
        yield f"  states of pi < {RARE:g}: {report.rare['n_states']:,}, together of mass {report.rare['mass']:.3g}"


def _say_balance(report):
    if (b := report.balance) is None:
        return
    rate = "infinite" if math.isinf(b.entropy_production) else f"{b.entropy_production:.6g}"
    yield f"detailed balance: {'holds' if b.is_reversible else 'fails'}; flux violation {b.flux_violation:.6g} of 1"
    yield f"  {b.one_way_flux:.6g} of the flux has no way back; entropy production {rate} nats a step"


def _say_gaps(report):
    words = {
        "spectral": "spectral gap 1 - lambda_2",
        "absolute": "absolute gap 1 - |lambda|",
        "additive": "gap of (P + P*)/2",
    }
    for kind, g in report.gaps.items():
        time = (
            f", relaxation time {1.0 / g.gap:,.6g} steps"
            if g.gap > 0.0 and kind != "additive"
            else ""
        )
        slem = f", second-largest eigenvalue modulus {g.slem:.10g}" if g.slem is not None else ""
        yield f"{words[kind]}: {g.gap:.10g}{time}{slem}{_CAVEAT[g.converged]}"
    if (e := report.spectrum) is not None:
        values = ", ".join(f"{_number(value)}" for value in e.eigenvalues[1 : 1 + MAX_SAID])
        more = ", ..." if len(e.eigenvalues) > 1 + MAX_SAID else ""
        known = (
            "each within {:.2g} of an exact one (rigorous)"
            if encloses(e)
            else "residuals up to {:.2g}, which bound nothing here"
        )
        yield f"leading eigenvalues after 1: {values or 'none'}{more}, {known.format(e.residuals.max() + ROUNDING)}{_CAVEAT[bool(e.converged.all())]}"


def _number(value):
    return (
        f"{value.real:.6g}"
        if value.imag == 0.0
        else f"{value.real:.6g} {'-' if value.imag < 0.0 else '+'} {abs(value.imag):.6g}i"
    )


def _say_sweep(report):
    for beta, g in report.sweep.items():
        yield f"beta {beta:g}: {g.kind} gap {g.gap:.10g}, {enclosed(g)}{_CAVEAT[g.converged]}"
    cold = sorted((beta, g.gap) for beta, g in report.sweep.items() if g.gap > 0.0)[:2]
    if len(cold) == 2:
        (low, small), (high, large) = cold
        barrier = math.log(large / small) / (1.0 / low - 1.0 / high)
        yield f"  from beta {high:g} to {low:g} log gap falls by {barrier:.4g} a unit of 1/beta: a barrier, in units of reward"


def _say_mixing(report):
    if (m := report.mixing) is None:
        return
    start = report.mixing_start
    name = f"state {start['state']}" + (
        f" ({start['label']})" if start["label"] is not None else ""
    )
    fall = "never rises" if m.kl_is_monotone else f"RISES by {m.kl_largest_increase:.2g}"
    bound = (
        f", at most {m.bounds['tv'][0, -1]:.4g} by the gap{holds(report.gaps['absolute'])}"
        if m.bounds
        else ""
    )
    yield f"mixing from {name}, the most probable state, over {m.steps[-1]} steps:"
    yield f"  KL to pi falls from {m.kl[0, 0]:.4g} to {m.kl[0, -1]:.4g} nats and {fall}; total variation ends at {m.tv[0, -1]:.4g}{bound}"


def _say_hitting(report):
    if report.solve is None and report.sample is None:
        return
    yield f"steps to reach a state of score >= {report.parameters['level']:g}, from a start drawn from pi:"
    if (h := report.solve) is not None:
        unique = not math.isnan(h.mean_from_pi)
        mean = (
            f"{h.mean_from_pi:,.8g}"
            if unique
            else "from every state, without a mean from pi, which is not unique"
        )
        yield f"  solved {mean} (certified to a relative {h.relative_error:.2g}){_CAVEAT[h.converged]}"
        if h.n_infinite:
            yield f"  {h.n_infinite:,} states may never reach it, for example state {h.unreachable_example}"
        if h.bound_from_gap is not None:
            caveat = holds(report.gaps.get("spectral") or report.gaps["additive"])
            yield f"  bound from the gap {h.bound_from_gap:,.8g}{caveat}, the target having mass {h.target_mass:.6g}"
    if (b := report.bounds) is not None:
        yield f"  mean return time {b.return_time:,.8g}, by Kac's formula {b.return_time_kac:,.8g}"
        floor = (
            "" if b.exit_rate_bound is None else f", at least gap pi(A) = {b.exit_rate_bound:.6g}"
        )
        yield f"  exit rate 1 - lambda_B {b.exit_rate:.6g}{floor}; mean from the quasi-stationary law {b.quasi_stationary_mean:,.6g}"
        if b.mean_bound is not None:
            at = int(np.argmax(b.mean))
            yield f"  slowest start: state {at}, mean {b.mean[at]:,.6g}, at most {b.mean_bound[at]:,.6g} by lambda_B"
    if (s := report.sample) is not None:
        kind = " (a lower bound)" if s.mean_is_lower_bound else ""
        yield f"  Monte Carlo {s.mean:,.8g}{kind}, 95 % interval {s.ci[0]:,.6g} to {s.ci[1]:,.6g}, {s.n_walkers:,} walkers"
        if s.n_censored:
            yield f"  {s.n_censored:,} of them were stopped after {s.max_steps:,} steps"
    if report.standard_errors is not None:
        yield f"  the two differ by {report.standard_errors:+.2f} standard errors"


def say_run(report):
    for error in report.errors:
        yield f"no answer to {error['part']}: {error['error']}: {error['text']}"
    if report.interrupted is not None:
        yield f"interrupted in the part {report.interrupted}; what follows it is missing"
    yield f"fastebm {report.version}, seed {report.seed}, {report.wall_s:.2f} s"


class Part(NamedTuple):
    """One question of a report."""

    question: str
    ask: str  # what to give where nothing was found because nothing was asked
    say: Callable  # report -> the answer in lines, none where there is no answer; what adds to a line begins with a blank
    fields: tuple  # of the report, and names of parts in its `errors`: the evidence


PARTS = (
    Part("What is the chain?", "", _say_chain, ("chain",)),
    Part("Does every state reach every other?", "", _say_structure, ("structure",)),
    Part("Where is it in the long run?", "", _say_stationary, ("stationary", "rare")),
    Part("Is it in detailed balance?", "", _say_balance, ("balance",)),
    Part(
        "How fast does it forget where it was?",
        "",
        _say_gaps,
        ("gaps", "spectral", "absolute", "additive", "spectrum"),
    ),
    Part("How does it approach the stationary law?", "", _say_mixing, ("mixing_start", "mixing")),
    Part(
        "How long does it take to reach a superior state?",
        "level= (--level) and a score",
        _say_hitting,
        ("solve", "bounds", "sample", "standard_errors"),
    ),
    Part(
        "How does the gap change with the temperature?",
        "betas= (--betas) and a reward",
        _say_sweep,
        ("sweep",),
    ),
)
