"""A user's rule, compiled by Numba to the C functions of a kernel. Numba is imported only here, and
only if there is a rule to compile."""

import functools
import types
from typing import Any

import numpy as np

from .._runtime.types import IntArray
from ..errors import InvalidChainError

# Computes rows begin..end-1 as csrc (`rule.h`) wants them. No exception of the rule may leave it:
# Numba's C functions swallow exceptions.
_ROWS = """
def rows(begin, end, places, degree, states, weights):
    places = carray(places, {n_places})
    data = ({items})
    most = places[0]
    degree = carray(degree, end - begin)
    states = carray(states, (end - begin) * most)
    weights = carray(weights, (end - begin) * most)
    for state in range(begin, end):
        own = (state - begin) * most
        try:
            degree[state - begin] = rule(
                state, data, states[own : own + most], weights[own : own + most]
            )
        except Exception:
            degree[state - begin] = -2
"""


def argument_kinds(data: tuple[Any, ...]) -> tuple[tuple[Any, Any], ...]:
    """What the compiled code depends on: types and dimensions of the arrays, the numbers'
    values."""
    return tuple(
        (item.dtype.str, item.ndim) if isinstance(item, np.ndarray) else (type(item), item)
        for item in data
    )


def rule_arguments(max_degree: int, data: tuple[Any, ...]) -> IntArray:
    """What the compiled code is given at run time: max_degree, then the address and the shape of
    each array, int64."""
    places = [max_degree]
    for item in data:
        if isinstance(item, np.ndarray):
            places += [item.ctypes.data, *item.shape]
    return np.array(places, np.int64)


@functools.lru_cache(maxsize=64)
def compiled_rows(function: types.FunctionType, kinds: tuple[tuple[Any, Any], ...]) -> Any:
    """The C function (csrc, `rule.h`: ebm_rule_rows_t) that calls the rule on a range of states."""
    import numba

    nb: Any = numba.types  # without type hints
    # Bounds are checked (12 % of a hypercube's product): a row that is longer than max_degree would
    # write into another one.
    rule = numba.njit(boundscheck=True)(function)
    scope = {
        "carray": numba.carray,  # type: ignore[attr-defined]  # not in numba.__all__
        "rule": rule,
        "as_pointer": _as_pointer(),
    }
    items, at = "", 1
    for i, (kind, value) in enumerate(kinds):
        if isinstance(kind, str):
            shape = "".join(f"places[{at + 1 + axis}], " for axis in range(value))
            items += f"carray(as_pointer(places[{at}]), ({shape}), item{i}), "
            scope[f"item{i}"] = np.dtype(kind)
            at += 1 + value
        else:
            items += f"item{i}, "
            scope[f"item{i}"] = value
    exec(_ROWS.format(n_places=at, items=items), scope)
    numbers, failure = nb.CPointer(nb.int64), None
    try:
        compiled = numba.cfunc(
            nb.void(nb.int64, nb.int64, numbers, numbers, numbers, nb.CPointer(nb.float64))
        )(scope["rows"])
    except numba.core.errors.NumbaError as error:
        failure = error
    for signature in rule.nopython_signatures:
        if not isinstance(signature.return_type, nb.Integer):
            raise InvalidChainError(
                f"{function.__qualname__} must return its degree, an int, and returns "
                f"{signature.return_type}"
            ) from failure
    if failure is not None:
        raise InvalidChainError(
            f"{function.__qualname__} cannot be compiled by Numba: {failure}"
        ) from failure
    return compiled


@functools.cache
def _as_pointer() -> Any:
    """An address as a pointer, in compiled code."""
    from numba import types as nb
    from numba.extending import intrinsic

    @intrinsic
    def as_pointer(context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(nb.voidptr))

        return nb.voidptr(nb.int64), generate

    return as_pointer
