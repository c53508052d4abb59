"""The analyses that are checked, one entry each, and what each of them may refuse."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

import fastebm as fe

from .verdicts import CRASH, REFUSED, WRONG, Verdict


@dataclass(frozen=True)
class Analysis:
    """A check of one public analysis on a case.

    Attributes
    ----------
    name : str
    check : callable
        Yields a Verdict for each value and bound of the result.
    needs : set of str
        "one law" (one closed class), "irreducible", "aperiodic", "reversible", "strong
        components" (every edge leads back), "range" (log pi within the range that the docstring
        states): without it the analysis has to refuse.
    """

    name: str
    check: Callable[..., Iterator[Verdict]]
    needs: frozenset[str]
    weight: float = 1.0  # how often it is taken, less where it is long


ANALYSES: dict[str, Analysis] = {}


def analysis(*needs, weight=1.0):
    """Enter a check under its own name."""

    def enter(check):
        ANALYSES[check.__name__] = Analysis(check.__name__, check, frozenset(needs), weight)
        return check

    return enter


def refusals(truth, needs):
    """(errors that the analysis has to raise on this chain, errors that it may raise)."""
    due, allowed = set(), set()
    if ("one law" in needs and not truth.has_one_law) or (
        "irreducible" in needs and not truth.is_irreducible
    ):
        due.add(fe.ReducibleChainError)
        if "reversible" in needs:
            allowed.add(fe.NotReversibleError)
    elif "reversible" in needs and truth.is_reversible is not True:
        (allowed if truth.is_reversible is None else due).add(fe.NotReversibleError)
    if "strong components" in needs:
        x, y = np.nonzero(truth.adjacent)
        if not truth.reach[y, x].all():
            due.add(fe.ReducibleChainError)
        elif truth.P[truth.adjacent].min() < 1e-300:
            allowed.add(fe.ReducibleChainError)
    if "aperiodic" in needs and truth.period > 1:
        due.add(fe.PeriodicChainError)
    if "range" in needs and truth.has_one_law:
        log_pi = truth.log_pi[truth.closed[0]]
        if log_pi.min() < -1190 or max(log_pi) - min(log_pi) > 1190:
            allowed.add(fe.InvalidChainError)
    return due, allowed


def verdicts_of(entry, case):
    """Every verdict of one analysis on one case."""
    due, allowed = refusals(case.truth, entry.needs) if entry.needs else (set(), set())
    found = []
    try:
        found.extend(entry.check(case))
    except Exception as error:  # whatever it is, it is a finding, unless it is a refusal
        if type(error) in due | allowed or _says_underflow(error, case):
            return [*found, Verdict(entry.name, REFUSED)]
        return [*found, Verdict(entry.name, CRASH, f"{type(error).__name__}: {error}")]
    if due:
        names = " or ".join(sorted(kind.__name__ for kind in due))
        return [Verdict(entry.name, WRONG, f"no {names} was raised")]
    return found


def _says_underflow(error, case):
    """Whether the chain is refused because transitions underflowed, and they do."""
    if case.beta is None or float(case.moving.P[case.moving.adjacent].min()) > 1e-300:
        return False
    refusals = (fe.InvalidChainError, fe.NotReversibleError)
    return isinstance(error, refusals) and "underflow" in str(error)
