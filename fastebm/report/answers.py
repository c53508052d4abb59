"""The questions of a report, each with its answer as lines of text. The summary and the page both
read them."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..hitting.bounds import BoundsResult
from ..hitting.times import HittingResult
from ..linalg.rounding import RITZ_ROUNDING, UNIT
from ..spectral.gap_result import GapResult
from .facts import RARE, encloses
from .findings import Findings

MAX_EIGENVALUES = 5  # listed in a line
_CAVEAT = {True: "", False: " (NOT CONVERGED)"}


def lower_kind(gap: GapResult) -> str:
    """The kind of the lower end of a gap, in parentheses; empty if it is rigorous."""
    return "" if gap.lower_kind == "rigorous" else f" (its lower end: {gap.lower_kind})"


def enclosure(gap: GapResult) -> str:
    """The two ends of a gap and their kinds."""
    ends = {"at least": (gap.gap_lower, gap.lower_kind), "at most": (gap.gap_upper, gap.upper_kind)}
    return ", ".join(
        f"{word} {value:.10g} ({kind})" for word, (value, kind) in ends.items() if kind != "none"
    )


def _say_chain(report: Findings) -> Iterator[str]:
    c = report.chain
    size = f"{c['nbytes'] / 1e6:,.1f} MB" if c["nbytes"] >= 1e5 else f"{c['nbytes']:,} bytes"
    yield f"chain: {c['n_states']:,} states, {c['nnz']:,} entries, {size} ({c['storage']})"
    if c["lag"] != 1:
        yield (
            f"  one step is {c['lag']} steps of the data (the lag of the counts); "
            "all times below are in steps of the chain"
        )


def _say_structure(report: Findings) -> Iterator[str]:
    s = report.structure
    if s is None:
        return
    n_closed, n_transient = int(s.closed.sum()), int(s.size[~s.closed].sum())
    word = "irreducible"
    if not s.is_irreducible:
        word = (
            f"{s.n_classes:,} communicating classes, {n_closed:,} of them closed; "
            f"{n_transient:,} transient states"
        )
    yield f"structure: {word}; period {s.period}{' (aperiodic)' if s.is_aperiodic else ''}"


def _say_stationary(report: Findings) -> Iterator[str]:
    law, few = report.stationary, report.rare
    if law is not None and few is not None:
        yield (
            f"stationary law: method {law.method}, sum of |pi P - pi| = {law.residual:.2g}"
            f"{_CAVEAT[law.converged]}"
        )
        n_states, mass = few["n_states"], few["mass"]
        yield f"  states of pi < {RARE:g}: {n_states:,}, with total mass {mass:.3g}"


def _say_balance(report: Findings) -> Iterator[str]:
    if (b := report.balance) is None:
        return
    rate = "infinite" if math.isinf(b.entropy_production) else f"{b.entropy_production:.6g}"
    word = "holds" if b.is_reversible else "fails"
    yield (
        f"detailed balance: {word}; flux violation {b.flux_violation:.6g} (at most 1)"
        f"{_CAVEAT[b.converged]}"
    )
    yield (
        f"  share of the flux on one-way transitions {b.one_way_flux:.6g}; "
        f"entropy production {rate} nats per step"
    )


def _say_gaps(report: Findings) -> Iterator[str]:
    words = {
        "spectral": "spectral gap 1 - lambda_2",
        "absolute": "absolute gap 1 - |lambda|",
        "additive": "gap of (P + P*)/2",
    }
    for kind, g in report.gaps.items():
        has_time = g.gap > 0.0 and kind != "additive"
        time = f", relaxation time {1.0 / g.gap:,.6g} steps" if has_time else ""
        slem = f", second-largest eigenvalue modulus {g.slem:.10g}" if g.slem is not None else ""
        yield f"{words[kind]}: {g.gap:.10g}{time}{slem}{_CAVEAT[g.converged]}"
    if (e := report.spectrum) is not None:
        values = ", ".join(f"{_number(value)}" for value in e.eigenvalues[1 : 1 + MAX_EIGENVALUES])
        more = ", ..." if len(e.eigenvalues) > 1 + MAX_EIGENVALUES else ""
        size = f"{e.residuals.max() + RITZ_ROUNDING:.2g}"
        known = (
            f"each within {e.rate_errors.max() + UNIT:.2g} (probabilistic)"
            if encloses(e)
            else f"residuals up to {size}, which bound nothing here"
        )
        caveat = _CAVEAT[e.converged]
        yield f"leading eigenvalues after 1: {values or 'none'}{more}, {known}{caveat}"


def _number(value: complex) -> str:
    if value.imag == 0.0:
        return f"{value.real:.6g}"
    return f"{value.real:.6g} {'-' if value.imag < 0.0 else '+'} {abs(value.imag):.6g}i"


def _say_sweep(report: Findings) -> Iterator[str]:
    for beta, g in report.sweep.items():
        yield f"beta {beta:g}: {g.kind} gap {g.gap:.10g}, {enclosure(g)}{_CAVEAT[g.converged]}"
    cold = sorted((beta, g.gap) for beta, g in report.sweep.items() if g.gap > 0.0)[:2]
    if len(cold) == 2:
        (low, small), (high, large) = cold
        barrier = math.log(large / small) / (1.0 / low - 1.0 / high)
        yield (
            f"  from beta {high:g} to {low:g} log gap falls by {barrier:.4g} per unit of 1/beta: "
            "the barrier, in units of the reward"
        )


def _say_mixing(report: Findings) -> Iterator[str]:
    m, start = report.mixing, report.mixing_start
    if m is None or start is None or m.kl is None or m.tv is None:
        return
    fall = "never rises" if m.kl_is_monotone else f"RISES by {m.kl_largest_increase:.2g}"
    bound = ""
    if m.bounds:
        basis = lower_kind(report.gaps["absolute"])
        bound = f", at most {m.bounds['tv'][0, -1]:.4g} by the gap{basis}"
    yield f"mixing from {_state_name(start)}, the most probable state, over {m.steps[-1]} steps:"
    yield (
        f"  KL to pi falls from {m.kl[0, 0]:.4g} to {m.kl[0, -1]:.4g} nats and {fall}; "
        f"total variation ends at {m.tv[0, -1]:.4g}{bound}{_CAVEAT[m.converged]}"
    )


def _say_hitting(report: Findings) -> Iterator[str]:
    if report.solve is None and report.sample is None:
        return
    level = report.parameters["level"]
    yield f"steps to reach a state of score >= {level:g}, from a start drawn from pi:"
    if report.solve is not None:
        yield from _say_solved(report, report.solve)
    if report.bounds is not None:
        yield from _say_bounds(report.bounds, report.slowest_start)
    if (s := report.sample) is not None:
        kind = " (a lower bound)" if s.mean_is_lower_bound else ""
        yield (
            f"  Monte Carlo {s.mean:,.8g}{kind}, 95 % interval {s.ci[0]:,.6g} to {s.ci[1]:,.6g}, "
            f"{s.n_walkers:,} walkers{_CAVEAT[s.converged]}"
        )
        if s.n_censored:
            yield f"  {s.n_censored:,} of them were stopped after {s.max_steps:,} steps"
    if report.standard_errors is not None:
        yield f"  the two means differ by {report.standard_errors:+.2f} standard errors"


def _say_solved(report: Findings, h: HittingResult) -> Iterator[str]:
    mean = (
        f"{h.mean_from_pi:,.8g}"
        if not math.isnan(h.mean_from_pi)
        else "from every state, but without a mean from pi, because pi is not unique"
    )
    yield f"  solved {mean} (certified relative error {h.relative_error:.2g}){_CAVEAT[h.converged]}"
    if h.n_infinite:
        yield (
            f"  {h.n_infinite:,} states may never reach it, "
            f"for example state {h.unreachable_example}"
        )
    if h.bound_from_gap is not None:
        basis = lower_kind(report.gaps.get("spectral") or report.gaps["additive"])
        yield (
            f"  bound from the gap {h.bound_from_gap:,.8g}{basis}; "
            f"the target has mass {h.target_mass:.6g}"
        )


def _state_name(state: dict[str, Any]) -> str:
    """A state by its number and, if it has one, its label."""
    label = "" if state["label"] is None else f" ({state['label']})"
    return f"state {state['state']}{label}"


def _say_bounds(b: BoundsResult, slowest: dict[str, Any] | None) -> Iterator[str]:
    yield (
        f"  mean return time {b.return_time:,.8g}, by Kac's formula {b.return_time_kac:,.8g}"
        f"{_CAVEAT[b.converged]}"
    )
    floor = "" if b.exit_rate_bound is None else f", at least gap pi(A) = {b.exit_rate_bound:.6g}"
    yield (
        f"  exit rate 1 - lambda_B {b.exit_rate:.6g}{floor}; "
        f"mean from the quasi-stationary law {b.quasi_stationary_mean:,.6g}"
    )
    if b.mean_bound is not None and slowest is not None:
        at = slowest["state"]
        yield (
            f"  slowest start: {_state_name(slowest)}, mean {b.mean[at]:,.6g}, "
            f"at most {b.mean_bound[at]:,.6g} by lambda_B"
        )


# The parts of a report, as error messages name them.
NAMES = {
    "stationary": "stationary law",
    "balance": "detailed balance",
    "spectral": "spectral gap",
    "absolute": "absolute gap",
    "additive": "additive gap",
    "mixing": "mixing curve",
    "solve": "solved hitting times",
    "bounds": "bounds of the hitting times",
    "sample": "simulated hitting times",
    "spectrum": "leading eigenvalues",
    "sweep": "gap at a temperature",
}


def name_of(part: str) -> str:
    """A part of a report in words."""
    return NAMES.get(part, part)


def say_run(report: Findings) -> Iterator[str]:
    """The parts without an answer, an interruption, the version, the seed and the time."""
    for error in report.errors:
        yield f"{name_of(error['part'])}: not available ({error['error']}): {error['text']}"
    if report.interrupted is not None:
        yield f"interrupted during the part {report.interrupted}; all later parts are missing"
    yield f"fastebm {report.version}, seed {report.seed}, {report.wall_s:.2f} s"


class Part(NamedTuple):
    """One question of a report."""

    question: str
    # The input that the question needs: shown if the question was not computed without it.
    needs: str
    # The answer in lines, none if there is no answer; a line that continues the one before begins
    # with a space.
    say: Callable[[Findings], Iterator[str]]
    # The evidence: fields of the report, and names of parts in its `errors`.
    fields: tuple[str, ...]


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
        "a level and a score of the states",
        _say_hitting,
        ("solve", "bounds", "sample", "standard_errors"),
    ),
    Part(
        "How does the gap change with the temperature?",
        "temperatures (betas) and a reward",
        _say_sweep,
        ("sweep",),
    ),
)
