"""Values as arrays that a file can hold without code: numbers, text, arrays, containers and
results."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from .results import Result

# The entry with the structure of the value, as JSON in which arrays are numbered.
STRUCTURE = "structure"


def pack(value: Any) -> dict[str, Any]:
    """Arrays from which `unpack` makes an equal value.

    Raises
    ------
    TypeError
        The value holds something else, such as a chain.
    """
    arrays: dict[str, Any] = {}
    structure = json.dumps(_structure(value, arrays))
    return arrays | {STRUCTURE: np.array(structure)}


def unpack(arrays: Mapping[str, Any]) -> Any:
    """The value of the arrays that `pack` returned."""
    return _value(json.loads(str(arrays[STRUCTURE])), arrays)


def _structure(value: Any, arrays: dict[str, Any]) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, complex) and not isinstance(value, np.generic):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.hasobject:
            raise TypeError("an array of Python objects cannot be kept in a checkpoint")
        name = f"array{len(arrays)}"
        arrays[name] = np.asarray(value)
        return {"array" if isinstance(value, np.ndarray) else "scalar": name}
    if isinstance(value, list):
        return [_structure(item, arrays) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [_structure(item, arrays) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[_structure(part, arrays) for part in item] for item in value.items()]}
    if isinstance(value, Result):
        fields = {
            field.name: _structure(getattr(value, field.name), arrays)
            for field in dataclasses.fields(value)
        }
        return {"result": _name(type(value)), "fields": fields}
    raise TypeError(f"a {type(value).__name__} cannot be kept in a checkpoint")


def _value(structure: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(structure, list):
        return [_value(item, arrays) for item in structure]
    if not isinstance(structure, dict):
        return structure
    if "complex" in structure:
        return complex(*structure["complex"])
    if "array" in structure:
        return arrays[structure["array"]]
    if "scalar" in structure:
        return arrays[structure["scalar"]][()]
    if "tuple" in structure:
        return tuple(_value(item, arrays) for item in structure["tuple"])
    if "dict" in structure:
        return {_value(key, arrays): _value(item, arrays) for key, item in structure["dict"]}
    fields = {name: _value(item, arrays) for name, item in structure["fields"].items()}
    return _types()[structure["result"]](**fields)


def _name(cls: type[Result]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _types() -> dict[str, type[Result]]:
    """Every kind of result by its name; nothing is imported for a name that a file holds."""
    found: dict[str, type[Result]] = {}
    open_types: list[type[Result]] = [Result]
    while open_types:
        cls = open_types.pop()
        found[_name(cls)] = cls
        open_types += cls.__subclasses__()
    return found
