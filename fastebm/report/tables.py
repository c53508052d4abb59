"""Results as tables of a page: numbers with their bounds, and every field with its meaning, taken
from the docstring of its class. A number with `_lower` and `_upper` next to it, or with `lower` and
`upper`, is shown with its bounds."""

import dataclasses
import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from .._runtime.results import Result
from ..hitting.bounds import BoundsResult
from ..hitting.times import HittingResult
from ..spectral.eigen_result import EigenResult
from .facts import encloses

MAX_ITEMS = 8

#: A row of a table: name, value, and either bounds or a meaning.
Row: TypeAlias = dict[str, str]


class Table(TypedDict):
    """One field of a report: its numbers that have bounds, and every value as evidence."""

    name: str
    numbers: list[Row]
    rows: list[Row]


def tables(name: str, value: Any) -> list[Table]:
    """The tables of one field of a report, several if it is a dictionary of results."""
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
    facts = _fields(value)
    bounded = {
        key: interval for key in facts if (interval := _interval(value, facts, key)) is not None
    }
    numbers = [_number(name, key, facts[key], *interval) for key, interval in bounded.items()]
    if isinstance(value, EigenResult) and encloses(value):
        known = zip(value.rates[1:], value.rate_errors[1:], strict=True)
        numbers += [
            _number(name, f"1 - eigenvalue {k}", v, v - e, v + e, "probabilistic")
            for k, (v, e) in enumerate(known, 2)
        ]
    return [{"name": name, "numbers": numbers, "rows": rows(facts, _meanings(type(value)))}]


def _fields(value: Result) -> dict[str, Any]:
    kind: Any = value  # every result is a dataclass
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}


def _number(of: str, name: str, value: float, low: float, high: float, basis: str) -> Row:
    return {
        "of": of,
        "name": name,
        "value": _text(value),
        "lower": _text(low),
        "upper": _text(high),
        "basis": basis,
    }


def _interval(value: Result, facts: Mapping[str, Any], key: str) -> tuple[float, float, str] | None:
    """(lower, upper, kind) of a number that its result bounds, found by the names of the fields;
    otherwise None."""
    if (
        not isinstance(facts[key], (int, float))
        or isinstance(facts[key], bool)
        or facts[key] != facts[key]
    ):  # nan has no bounds
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


def rows(
    facts: Mapping[str, Any] | Iterable[tuple[str, Any]], meanings: Mapping[str, str] | None = None
) -> list[Row]:
    """One row for each fact, from a mapping or from pairs of a name and a value."""
    pairs = facts.items() if isinstance(facts, Mapping) else facts
    return [
        {"name": str(key), "value": _text(value), "meaning": (meanings or {}).get(key, "")}
        for key, value in pairs
    ]


def _meanings(kind: type[Result]) -> dict[str, str]:
    """The meaning of each field of a result, from the docstring of its class."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in (inspect.getdoc(kind) or "").partition("Attributes\n----------\n")[2].splitlines():
        if line[:1].strip():
            names = line.partition(" : ")[0].split(", ")
        else:
            found |= {name: f"{found.get(name, '')} {line.strip()}".strip() for name in names}
    return {name: text.replace("``", "").replace("`", "") for name, text in found.items()}


def _text(value: Any) -> str:
    """A value as text: floats with ten significant digits, integers in full, long values
    summarised."""
    if value is None:
        return "none"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return _integer_text(int(value))
    if isinstance(value, (float, np.floating)):
        if math.isfinite(value):
            return f"{value:,.10g}"
        return "undefined (nan)" if math.isnan(value) else "infinite" if value > 0 else "-infinite"
    if isinstance(value, np.ndarray):
        return _array_text(value)
    if isinstance(value, Result):
        return _text(_fields(value))
    if isinstance(value, dict):
        return _listed([f"{key} {_text(item)}" for key, item in value.items()], ", ")
    if isinstance(value, (list, tuple)):
        return _listed([_text(item) for item in value], "; ")
    return str(value)


def _integer_text(value: int) -> str:
    if abs(value) < 10**21:
        return f"{value:,}"
    if abs(value) < 10**308:
        return f"{value:.10g}"
    return f"10^{int(math.log10(abs(value)))} and more"


def _listed(items: list[str], between: str) -> str:
    rest = len(items) - MAX_ITEMS
    return (
        between.join(items[:MAX_ITEMS]) + (f"{between}… {rest:,} more" if rest > 0 else "")
    ) or "none"


def _array_text(value: npt.NDArray[Any]) -> str:
    if value.ndim == 1 and value.size <= MAX_ITEMS:
        return _listed([_text(item) for item in value.tolist()], "; ")
    shape = " \N{MULTIPLICATION SIGN} ".join(f"{n:,}" for n in value.shape)
    if value.dtype == bool:
        return f"{shape} entries, {np.count_nonzero(value):,} of them yes"
    if value.size == 0 or value.dtype.kind not in "iuf":
        return f"{shape} entries"
    left_out = int(np.count_nonzero(np.isnan(value)))
    if left_out == value.size:
        return f"{shape} numbers, all undefined (nan)"
    ends = f"{shape} numbers from {_text(np.nanmin(value))} to {_text(np.nanmax(value))}"
    return ends + (f", {left_out:,} undefined (nan)" if left_out else "")
