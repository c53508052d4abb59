"""The results that analyses return: frozen dataclasses of a value and its evidence."""

import dataclasses
import math
from typing import TypeVar, dataclass_transform

import numpy as np

T = TypeVar("T")


def to_json(value):
    """`value` with nothing that JSON lacks: arrays become lists, complex numbers {"re", "im"}, inf and nan None.

    A dictionary gains, beside every key whose number was not finite, the key `<name>_status` with "inf", "-inf" or
    "nan", so that nothing is lost; beside a list, the list of these, None where a number was finite.
    """
    if isinstance(value, dict):
        out = {}
        for key, item in value.items():
            out[str(key)] = to_json(item)
            status = _status(item)
            if status is not None:
                out[f"{key}_status"] = status
        return out
    if isinstance(value, Result):
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
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _status(value):
    """What in a number, or a list of them, is not finite; None where everything is."""
    if isinstance(value, (float, np.floating)):
        return None if math.isfinite(value) else str(float(value))
    if isinstance(value, np.ndarray) and (value.dtype.kind != "f" or np.isfinite(value).all()):
        return None
    if isinstance(value, (list, tuple, np.ndarray)):
        status = [_status(item) for item in value]
        return status if any(item is not None for item in status) else None
    return None


class Result:
    """Base of every result. Subclasses are frozen dataclasses; large arrays stay out of the one-line repr."""

    def to_dict(self):
        """All fields as plain Python values that `json.dumps` accepts."""
        return to_json(
            {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        )

    def __repr__(self):
        parts = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                parts.append(f"{field.name}=<{value.dtype} {value.shape}>")
            elif isinstance(value, float):
                parts.append(f"{field.name}={value:.10g}")
            elif isinstance(value, (list, tuple, dict)) and len(value) > 4:
                parts.append(f"{field.name}=<{len(value)} items>")
            else:
                parts.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"


@dataclass_transform(frozen_default=True, eq_default=False)
def result(cls: type[T]) -> type[T]:
    """Decorator: a frozen dataclass with the repr of `Result` and identity comparison (arrays have no truth value)."""
    return dataclasses.dataclass(frozen=True, repr=False, eq=False)(cls)
