"""What a check says of an answer, and the comparisons that say it."""

from dataclasses import dataclass

import numpy as np

RIGHT = "right"  # verified, and the result says that it converged
OPEN = "open"  # the result says that it did not converge, and what it claims holds
REFUSED = "refused"  # an error that the input deserves
WRONG = "wrong"  # said to have converged, and is not within the tolerance
END = "end"  # a stated bound does not hold
CRASH = "crash"  # an error that the input does not deserve
BAD = (WRONG, END, CRASH)
OUTCOMES = (RIGHT, OPEN, REFUSED, WRONG, END, CRASH)

TINY = 1e-290  # numbers below it may be denormal
HUGE = 1e290


@dataclass(frozen=True)
class Verdict:
    name: str
    outcome: str
    detail: str = ""


def worst(error, allowed):
    """The index at which error exceeds allowed by the largest factor, NaN counting as infinite;
    None where it does nowhere."""
    with np.errstate(invalid="ignore", divide="ignore"):
        excess = np.where(error <= allowed, 0.0, np.abs(error) / np.maximum(allowed, TINY))
    excess = np.where(np.isnan(excess), np.inf, excess)
    if not excess.size or excess.max() == 0:
        return None
    return np.unravel_index(int(np.argmax(excess)), excess.shape)


def _pair(got, want):
    got, want = np.asarray(got), np.asarray(want)
    if want.dtype == object:
        want = want.astype(float)
    if got.shape != want.shape:
        raise AssertionError(f"shape {got.shape}, not {want.shape}")
    return got, want


def _outside(got, want):
    """Both beyond the range of doubles on the same side, or the same number."""
    return (got == want) | ((got > HUGE) & (want > HUGE))


def near(name, got, want, rel, floor=0.0, *, converged=True):
    """got is within rel |want| + floor of want."""
    got, want = _pair(got, want)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.where(_outside(got, want), 0.0, np.abs(got - want))
        allowed = np.broadcast_to(rel * np.abs(want) + floor + TINY, error.shape)
        allowed = np.where(np.isfinite(want), allowed, 0.0)
    at = worst(error, allowed)
    if at is None:
        return Verdict(name, RIGHT if converged else OPEN)
    detail = f"{name}{_place(at)} = {got[at]!r}, not {want[at]!r}"
    return Verdict(name, WRONG if converged else OPEN, detail if converged else "")


def between(name, lower, want, upper, slack):
    """lower <= want <= upper, up to the relative slack that rounding of the input leaves."""
    lower, want = _pair(lower, want)
    upper, want = _pair(upper, want)
    with np.errstate(invalid="ignore", over="ignore"):
        low = (lower <= want + slack * np.abs(want) + TINY) | _outside(lower, want)
        high = (upper >= want - slack * np.abs(want) - TINY) | _outside(upper, want)
    bad = np.argwhere(~(low & high))
    if not len(bad):
        return Verdict(name, RIGHT)
    at = tuple(bad[0])
    return Verdict(
        name, END, f"{name}{_place(at)}: {want[at]!r} outside [{lower[at]!r}, {upper[at]!r}]"
    )


def _place(at):
    return f"[{', '.join(map(str, at))}]" if at else ""


def holds(name, condition, detail="", outcome=WRONG):
    return Verdict(name, RIGHT) if condition else Verdict(name, outcome, f"{name}: {detail}")
