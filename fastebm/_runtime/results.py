"""The results that analyses return: frozen dataclasses of a value and its evidence."""

import dataclasses
import math
from typing import Any, TypeVar, dataclass_transform

import numpy as np

T = TypeVar("T")


def printable(text: str) -> str:
    """`text` as UTF-8 can hold it: a byte of a file name that is not UTF-8, which Python keeps as a
    surrogate, becomes \\xff, and any other surrogate \\ud800."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def to_json(value: Any) -> Any:
    """`value` as JSON types: arrays become lists, complex numbers {"re", "im"}, inf and nan None.

    Nothing is lost: in a dictionary, a key whose number is not finite gets a second key
    `<name>_status` with "inf", "-inf" or "nan". A key that holds a list gets a list of these, None
    for every finite number.
    """
    if isinstance(value, dict):
        out = {}
        for key, item in value.items():
            name = printable(str(key))
            out[name] = to_json(item)
            status = _status(item)
            if status is not None:
                out[f"{name}_status"] = status
        return out
    if hasattr(value, "to_dict"):  # a result, or a chain, which this layer does not import
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, np.ndarray):
        return to_json(value.tolist())
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (complex, np.complexfloating)):
        return {"re": to_json(float(value.real)), "im": to_json(float(value.imag))}
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return printable(value)
    if value is None:
        return value
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _status(value: object) -> Any:
    """The "inf", "-inf" or "nan" of a number, or the list of them; None if everything is finite."""
    if isinstance(value, (float, np.floating)):
        return None if math.isfinite(value) else str(float(value))
    if isinstance(value, np.ndarray) and (value.dtype.kind != "f" or np.isfinite(value).all()):
        return None
    if isinstance(value, (list, tuple, np.ndarray)):
        status = [_status(item) for item in value]
        return status if any(item is not None for item in status) else None
    return None


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Result:
    """Base of every result. Subclasses are frozen dataclasses; the one-line repr shows arrays and
    sparse matrices by their type and shape only."""

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain Python values that `json.dumps` accepts."""
        plain: dict[str, Any] = to_json(public_fields(self))
        return plain

    def __repr__(self) -> str:
        parts = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name.startswith("_"):
                continue
            if field.kw_only and value == field.default:
                continue
            if isinstance(value, np.ndarray):
                parts.append(f"{field.name}=<{value.dtype} {value.shape}>")
            elif hasattr(value, "nnz"):
                parts.append(f"{field.name}=<sparse {value.shape}, {value.nnz} entries>")
            elif isinstance(value, float):
                parts.append(f"{field.name}={value:.10g}")
            elif isinstance(value, (list, tuple, dict)) and len(value) > 4:
                parts.append(f"{field.name}=<{len(value)} items>")
            else:
                parts.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"


def public_fields(result: Result) -> dict[str, Any]:
    """The fields of a result by name; one with an underscore is what a method of it needs."""
    names = [field.name for field in dataclasses.fields(result)]
    return {name: getattr(result, name) for name in names if not name.startswith("_")}


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class StepsResult(Result):
    """Base of the results whose times are steps of a chain.

    Attributes
    ----------
    lag : int
        Steps of the data in one step of the chain (`MarkovChain.lag`): a time of t steps is lag t
        steps of the data. 1 if the chain was not estimated at a lag.
    """

    lag: int = dataclasses.field(default=1, kw_only=True)


@dataclass_transform(frozen_default=True, eq_default=False)
def result(cls: type[T]) -> type[T]:
    """Decorator: a frozen dataclass with the repr of `Result`. Two results are equal only if they
    are the same object, because arrays have no truth value."""
    return dataclasses.dataclass(frozen=True, repr=False, eq=False)(cls)
