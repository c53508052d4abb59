"""A user's rule, compiled by Numba to the C functions of a kernel."""

import functools

import numpy as np

from ..errors import InvalidChainError

# --- compilation ------------------------------------------------------------------------------------------------------

# Rows begin..end-1 as csrc/rule.h wants them. The rule's exceptions must not leave it: Numba's C functions swallow them.
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
            degree[state - begin] = rule(state, data, states[own : own + most], weights[own : own + most])
        except Exception:
            degree[state - begin] = -2
"""


def _kinds(data):
    """What compiled code depends on: types and dimensions of the arrays, the values of the numbers."""
    return tuple(
        (item.dtype.str, item.ndim) if isinstance(item, np.ndarray) else (type(item), item)
        for item in data
    )


def _places(max_degree, data):
    """What it does not: max_degree, then address and shape of each array, int64."""
    places = [max_degree]
    for item in data:
        if isinstance(item, np.ndarray):
            places += [item.ctypes.data, *item.shape]
    return np.array(places, np.int64)


@functools.lru_cache(maxsize=64)
def _compiled(function, kinds):
    """The C function (csrc/rule.h, ebm_rule_rows_t) that calls the rule on a range of states."""
    import numba  # imported only when there is a rule to compile
    from numba import types as nb

    # bounds are checked: a row that is longer than max_degree would write into another (12 % of a hypercube's product)
    rule = numba.njit(boundscheck=True)(function)
    scope = {"carray": numba.carray, "rule": rule, "as_pointer": _as_pointer()}
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
def _as_pointer():
    """An address as a pointer, in compiled code."""
    from numba import types as nb
    from numba.extending import intrinsic

    @intrinsic
    def as_pointer(context, address):
        def generate(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(nb.voidptr))

        return nb.voidptr(nb.int64), generate

    return as_pointer
