"""Results as tables of a page: numbers with their bounds, and every field with what its docstring
says of it."""

import dataclasses
import inspect
import math

import numpy as np

from .._runtime.results import Result
from ..hitting.bounds import BoundsResult
from ..hitting.times import HittingResult
from ..linalg.rounding import ROUNDING
from ..spectral.eigenpairs import EigenResult
from .facts import encloses

MAX_ITEMS = 8


def tables(name, value):
    """The tables of one field of a report: its numbers that have bounds, and the rest as
    evidence."""
    if (
        isinstance(value, dict)
        and value
        and all(isinstance(item, Result) for item in value.values())
    ):
        return [
            table
            for key, item in value.items()
            for table in tables(
                f"{name}: {key:g}" if isinstance(key, float) else f"{name}: {key}", item
            )
        ]
    if not isinstance(value, Result):
        return [
            {
                "name": name,
                "numbers": [],
                "rows": rows(value if isinstance(value, dict) else {name: value}),
            }
        ]
    facts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    bounded = {
        key: interval for key in facts if (interval := _interval(value, facts, key)) is not None
    }
    numbers = [_number(name, key, facts[key], *interval) for key, interval in bounded.items()]
    if isinstance(value, EigenResult) and encloses(value):
        known = zip(value.eigenvalues[1:], value.residuals[1:] + ROUNDING)
        numbers += [
            _number(name, f"eigenvalue {k}", v, v - r, v + r, "rigorous: residual")
            for k, (v, r) in enumerate(known, 2)
        ]
    return [{"name": name, "numbers": numbers, "rows": rows(facts, _meanings(type(value)))}]


def _number(of, name, value, low, high, basis):
    return {
        "of": of,
        "name": name,
        "value": _text(value),
        "lower": _text(low),
        "upper": _text(high),
        "basis": basis,
    }


def _interval(value, facts, key):
    """(lower, upper, what they rest on) of a number that its result bounds, by the names of the
    fields; else None."""
    if (
        not isinstance(facts[key], (int, float))
        or isinstance(facts[key], bool)
        or facts[key] != facts[key]
    ):  # nan has no ends
        return None
    if f"{key}_lower" in facts and f"{key}_upper" in facts:
        kind = "rigorous" if isinstance(value, BoundsResult) else "bounds"
        low, high = facts.get("lower_kind", kind), facts.get("upper_kind", kind)
        basis = low if low == high else f"lower {low}, upper {high}"
        return facts[f"{key}_lower"], facts[f"{key}_upper"], basis
    if key == "mean" and "ci" in facts:
        return *facts["ci"], "95 % interval"
    if (
        key == next(iter(facts))
        and np.ndim(facts.get("lower", ())) == np.ndim(facts.get("upper", ())) == 0
    ):
        return facts["lower"], facts["upper"], "bounds"
    if isinstance(value, HittingResult) and key == "mean_from_pi":
        error = value.relative_error
        return facts[key] * max(1.0 - error, 0.0), facts[key] * (1.0 + error), "rigorous: residual"
    return None


def rows(facts, meanings=None):
    """One of a table for each fact: a dictionary, or pairs of a name and a value."""
    facts = facts.items() if isinstance(facts, dict) else facts
    return [
        {"name": str(key), "value": _text(value), "meaning": (meanings or {}).get(key, "")}
        for key, value in facts
    ]


def _meanings(kind):
    """What the docstring of a result says of each of its fields."""
    found, names = {}, ()
    for line in inspect.getdoc(kind).partition("Attributes\n----------\n")[2].splitlines():
        if line[:1].strip():
            names = line.partition(" : ")[0].split(", ")
        else:
            found |= {name: f"{found.get(name, '')} {line.strip()}".strip() for name in names}
    return {name: text.replace("``", "").replace("`", "") for name, text in found.items()}


def _text(value):
    """A value of a report as a reader wants it: nothing is rounded below ten digits, nothing long
    is listed in full."""
    if value is None:
        return "none"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        if abs(value) < 10**21:
            return f"{value:,}"
        return (
            f"{value:.10g}"
            if abs(value) < 10**308
            else f"10^{int(math.log10(abs(value)))} and more"
        )
    if isinstance(value, (float, np.floating)):
        if math.isfinite(value):
            return f"{value:,.10g}"
        return "undefined (nan)" if math.isnan(value) else "infinite" if value > 0 else "-infinite"
    if isinstance(value, np.ndarray):
        return _array_text(value)
    if isinstance(value, Result):
        return _text(
            {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        )
    if isinstance(value, dict):
        return _listed([f"{key} {_text(item)}" for key, item in value.items()], ", ")
    if isinstance(value, (list, tuple)):
        return _listed([_text(item) for item in value], "; ")
    return str(value)


def _listed(items, between):
    rest = len(items) - MAX_ITEMS
    return (
        between.join(items[:MAX_ITEMS]) + (f"{between}… {rest:,} more" if rest > 0 else "")
    ) or "none"


def _array_text(value):
    if value.ndim == 1 and value.size <= MAX_ITEMS:
        return _listed([_text(item) for item in value.tolist()], "; ")
    shape = " × ".join(f"{n:,}" for n in value.shape)
    if value.dtype == bool:
        return f"{shape} entries, {np.count_nonzero(value):,} of them yes"
    if value.size == 0 or value.dtype.kind not in "iuf":
        return f"{shape} entries"
    left_out = int(np.count_nonzero(np.isnan(value)))
    if left_out == value.size:
        return f"{shape} numbers, all undefined (nan)"
    ends = f"{shape} numbers from {_text(np.nanmin(value))} to {_text(np.nanmax(value))}"
    return ends + (f", {left_out:,} undefined (nan)" if left_out else "")
