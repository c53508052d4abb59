"""The part of the demo on policies that look ahead: the one of the largest mean reward at each
beta, next to the one-step tilt, and the one for a verifiable reward at the end of a path."""

import math
from typing import Any

from ..chains.chain import MarkovChain
from ..chains.tilt import tilt
from ..hitting.times import hitting_times
from ..policy import average, verifiable
from ..spectral.gap import spectral_gap
from ..spectral.gap_result import GapResult
from .answers import enclosure
from .facts import known_digits

# Of the gain, and of gaps, hitting times and success probabilities: what they are known to is
# printed.
GAIN_TOL, GAP_TOL, TOL = 1e-6, 1e-3, 1e-4
# Of the verifiable reward, which is 0 or 1.
BETAS = (1.0, 0.5, 0.2, 0.1)
# A sentence that has ended.
END = "</s>"
# Numbers that come with their ends.
OF_A_STEP = ("gain", "price_of_myopia", "mean_reward", "kl_rate")
OF_A_PATH = ("success", "path_kl", "value")


def look_ahead(demo: Any, beta: float) -> None:
    """The policy of the largest mean reward minus beta times the KL rate, added to the last
    temperature of the sweep: what the one-step tilt loses, gap and hitting times. At beta = inf
    both are the reference."""
    if math.isinf(beta):
        return
    reference, reward, tag = demo.reference, demo.reward, f" looking ahead at {beta!r}"
    best = demo.found(f"policy{tag}", _best, reference, reward, beta)
    logs = reward + beta * best.pop("log_v")
    chain = tilt(reference, logs, beta, num_threads=demo.options["num_threads"])
    gap = demo.found(f"gap{tag}", spectral_gap, chain, tol=GAP_TOL, rng=demo.seed)
    solve = demo.found(f"solve{tag}", hitting_times, chain, demo.target, tol=TOL, gap=gap)
    demo.checks += [best["converged"], solve.converged]
    found = best | {
        "gap": gap,
        "target_mass": solve.target_mass,
        "hitting_solved": solve.mean_from_pi,
        "hitting_residual": solve.residual + solve.residual_floor,
    }
    demo.sweep[-1]["look_ahead"] = found
    demo.gaps[f"beta {beta:g}, looking ahead"] = gap
    demo.timed(f"beta {beta:g}, looking ahead")
    demo.say_section(
        f"beta = {beta:g}, looking ahead: the policy of the largest gain, the mean reward per step "
        "minus beta times the KL to the reference",
        ("gain", f"{found['gain']:.6f}", f"proven: {_ends(found, 'gain')}"),
        (
            "price of myopia",
            f"{found['price_of_myopia']:.6f}",
            "by which the gain of the one-step tilt is smaller; "
            f"proven: {_ends(found, 'price_of_myopia')}",
        ),
        (
            "mean reward",
            f"{found['mean_reward']:.6f}",
            f"at a cost of {found['kl_rate']:.6f} nats per step of KL to the reference",
        ),
        ("spectral gap", said(gap, 3), ""),
        ("hitting time", solved(found), f"superior states have mass {found['target_mass']:.6f}"),
    )


def solved(found: dict[str, Any]) -> str:
    """The mean hitting time, with the digits that its certificate covers."""
    error = found["hitting_residual"]
    return f"{known_digits(found['hitting_solved'], error)} solved (certified to {error:.0e})"


def rewarded_at_the_end(demo: Any) -> None:
    """The pretrained model tuned by a verifiable reward: 1 if a sentence reaches a superior state
    before it ends."""
    labels, start = demo.labels, demo.facts["start"]
    wrong = ~demo.target & (labels.last == labels.words.index(END))
    found = demo.found(
        "verifiable", _rewarded, demo.chain, demo.target, wrong=wrong, start=start["state"]
    )
    demo.checks.append(found["converged"])
    demo.facts["verifiable"] = found | {"n_correct": demo.facts["n_superior"]}
    demo.timed("verifiable reward")
    reference = found["reference"]
    demo.say_section(
        "the pretrained kernel tuned by a verifiable reward, 1 if the sentence reaches a superior "
        f"state before it ends, from the state '{start['label']}'",
        ("correct", f"{demo.facts['n_superior']:,} superior states", ""),
        (
            "wrong",
            f"{found['n_wrong']:,} states after {END}",
            "a path that reaches neither counts as wrong, too; from a state that reaches every "
            "other its probability is zero",
        ),
        (
            "untuned",
            f"success {reference['success']:.8f}",
            f"proven: {_ends(reference, 'success', 8)}",
        ),
        *(
            (
                f"beta = {at['beta']:g}",
                f"success {at['success']:.8f}",
                f"at a cost of {at['path_kl']:.6f} nats of KL for the whole path",
            )
            for at in found["sweep"]
        ),
    )


def said(gap: GapResult, digits: int) -> str:
    """A gap; its ends if these are all that is known of it."""
    return f"{gap.gap:.{digits}g}" if gap.converged else f"not converged: {enclosure(gap)}"


def _ends(found: dict[str, Any], name: str, digits: int = 9) -> str:
    """The two ends, rounded outwards."""
    unit = 10.0**-digits
    low = math.floor(found[f"{name}_lower"] / unit) * unit
    high = math.ceil(found[f"{name}_upper"] / unit) * unit
    return f"{low:.{digits}f} to {high:.{digits}f}"


def _with_ends(policy: Any, names: tuple[str, ...], state: int | None = None) -> dict[str, float]:
    every = {f"{name}{end}" for name in names for end in ("", "_lower", "_upper")}
    values = {name: getattr(policy, name) for name in sorted(every)}
    return {name: float(x if state is None else x[state]) for name, x in values.items()}


def _best(reference: MarkovChain, reward: Any, beta: float, **options: Any) -> dict[str, Any]:
    """What a checkpoint keeps of the policy; log_v makes its chain again."""
    found = average(reference, reward, beta, tol=GAIN_TOL, **options)
    kept = {"log_v": found.log_v, "converged": found.converged}
    return _with_ends(found, OF_A_STEP) | kept


def _rewarded(
    chain: MarkovChain, correct: Any, *, wrong: Any, start: int, **options: Any
) -> dict[str, Any]:
    """Success, path KL and value from `start` at each beta, by one committor."""
    found = verifiable(chain, correct, math.inf, wrong=wrong, tol=TOL, **options).at([start])
    return {
        "n_wrong": int(wrong.sum()),
        "start": start,
        "converged": found.converged,
        "reference": _with_ends(found, OF_A_PATH[:1], 0),
        "sweep": [
            {"beta": policy.beta} | _with_ends(policy, OF_A_PATH, 0)
            for policy in found.sweep(BETAS)
        ],
    }
