"""Chains whose rows a user's function computes: it is compiled by Numba to the C kernel interface, and no matrix is stored."""

import importlib
import math
import time
import types

import numpy as np
import scipy.sparse as sp

from .. import _core
from .._runtime import validate
from .._runtime.progress import interruptible
from .._runtime.threads import resolve_threads
from ..errors import InvalidChainError
from .computed import ComputedPattern
from .pattern import REVERSIBLE_MISMATCH
from .rule_compiler import _compiled, _kinds, _places

# A claim about the transpose is checked on the entries of this many random rows, and on no more than that many entries.
CHECKED_ROWS, CHECKED_ENTRIES = 256, 1024
# The first pass begins with so many rows and finds out how many make a call.
FIRST_ROWS, SECONDS_PER_CALL = 256, 0.1


class RulePattern(ComputedPattern):
    """The pattern of `row_kernel`, and the row scaling that makes its rows sum to one."""

    def __init__(self, rule, n_states, max_degree, data, symmetric, incoming, num_threads):
        self.rule, self.max_degree, self.data = (
            _function(rule, "rule"),
            max_degree,
            _checked_data(data),
        )
        self.incoming = None if incoming is None else _function(incoming, "incoming")
        kinds, places = _kinds(self.data), _places(max_degree, self.data)
        out = _compiled(self.rule, kinds)
        back = out if symmetric else None if incoming is None else _compiled(self.incoming, kinds)

        def kernel(forward, backward):
            address = 0 if backward is None else backward.address
            return _core.RuleKernel(
                n_states,
                max_degree,
                forward.address,
                address,
                places,
                (forward, backward, self.data),
            )

        rows = kernel(out, back)
        row_sum, nnz, least, largest = _inspected(rows, max_degree, num_threads, "")
        self.row = np.divide(1.0, row_sum, out=row_sum)
        columns = rows if symmetric else None
        if incoming is not None:
            columns = kernel(back, out)
            _inspected(columns, max_degree, num_threads, "incoming, ", allow_empty=True)
        if columns is not None:
            _check_transpose(rows, columns)
        super().__init__(
            rows,
            nnz,
            columns=columns,
            log_span=math.log(largest) - math.log(least),
            all_ones=least == largest == 1.0,
        )

    @property
    def nbytes(self):
        return super().nbytes + sum(
            item.nbytes for item in self.data if isinstance(item, np.ndarray)
        )

    @property
    def recipe(self):
        arrays = {
            f"data{i}": item for i, item in enumerate(self.data) if isinstance(item, np.ndarray)
        }
        numbers = [None if isinstance(item, np.ndarray) else item for item in self.data]
        facts = {
            "kind": "rule",
            "rule": _name(self.rule),
            "incoming": None if self.incoming is None else _name(self.incoming),
            "n_states": self.n_states,
            "max_degree": self.max_degree,
            "symmetric": self.is_symmetric,
            "numbers": numbers,
            "arrays": sorted(arrays),
        }
        return facts, arrays

    @classmethod
    def from_recipe(cls, recipe, arrays):
        data = tuple(
            arrays[f"data{i}"] if number is None else number
            for i, number in enumerate(recipe["numbers"])
        )
        incoming = None if recipe["incoming"] is None else _named(recipe["incoming"])
        return cls(
            _named(recipe["rule"]),
            recipe["n_states"],
            recipe["max_degree"],
            data,
            recipe["symmetric"],
            incoming,
            resolve_threads(None),
        )


# --- checks -----------------------------------------------------------------------------------------------------------


def _checked_data(data):
    """A tuple of contiguous arrays and plain numbers."""
    checked = []
    for i, item in enumerate(data if isinstance(data, (tuple, list)) else (data,)):
        if isinstance(item, np.ndarray):
            validate.real_array(item, f"data[{i}]")
            if (
                not item.flags.c_contiguous
                or not item.dtype.isnative
                or item.size == 0
                or item.ndim == 0
            ):
                raise InvalidChainError(
                    f"data[{i}] must be a contiguous array of native byte order, and not empty; "
                    "pass numpy.ascontiguousarray(it)"
                )
            checked.append(item)
        elif isinstance(item, (bool, int, float, np.bool_, np.integer, np.floating)):
            checked.append(item.item() if isinstance(item, np.generic) else item)
        else:
            raise TypeError(f"data[{i}] must be an array or a number, not {type(item).__name__}")
    return tuple(checked)


def _inspected(kernel, max_degree, num_threads, prefix, *, allow_empty=False):
    """(row sums, entries, least and largest weight) of all rows; an InvalidChainError names the first faulty state. Columns may
    be empty. Ranges grow or shrink until one takes SECONDS_PER_CALL, as the rule may take any time."""
    row_sum, begin, nnz, least, largest = np.empty(kernel.n_states), 0, 0, math.inf, 0.0
    size = min(kernel.rows_per_call, FIRST_ROWS)
    with interruptible("row_kernel", lambda: None):
        while begin < kernel.n_states:
            end, clock = min(begin + size, kernel.n_states), time.perf_counter()
            fault, facts = kernel.inspect(num_threads, allow_empty, begin, end, row_sum)
            if fault is not None:
                raise InvalidChainError(
                    _describe(fault, facts, kernel.n_states, max_degree, prefix)
                )
            pace = SECONDS_PER_CALL / max(time.perf_counter() - clock, 1e-9)
            size = int(min(max(size * min(pace, 4.0), 1), kernel.rows_per_call))
            begin, nnz = end, nnz + facts["nnz"]
            least, largest = min(least, facts["least"]), max(largest, facts["largest"])
    kernel.rows_per_call = size
    if least == largest == 1.0:
        kernel.set_all_ones()
    if not allow_empty and row_sum.min() < np.finfo(float).tiny:
        at = int(np.argmin(row_sum))
        raise InvalidChainError(
            f"{prefix}state {at}: the weights sum to {row_sum[at]}, too small to divide by; scale them up"
        )
    return row_sum, nnz, least, largest


def _describe(fault, facts, n_states, max_degree, prefix):
    text = f"{prefix}state {facts['state']}: {fault}"
    if facts["entry"] >= 0:
        return (
            text
            + f" (entry {facts['entry']}: state {facts['target']}, weight {facts['weight']}; states are 0..{n_states - 1})"
        )
    if facts["degree"] >= 0:
        return text + f" (degree {facts['degree']}, max_degree {max_degree})"
    return text + (
        "; an index beyond out_states, out_weights or data is one" if facts["degree"] == -2 else ""
    )


def _check_transpose(rows, columns):
    """Whether `columns` is the transpose of `rows`, on random states of both."""
    rng = np.random.default_rng(0)
    for one, other in ((rows, columns), (columns, rows)):
        chosen = np.unique(rng.integers(one.n_states, size=CHECKED_ROWS))
        mine = _scipy_rows(one, chosen)
        at, y = mine.nonzero()
        few = rng.permutation(len(y))[:CHECKED_ENTRIES]
        x, y, weight = chosen[at[few]], y[few], np.ravel(mine[at[few], y[few]])
        those, place = np.unique(y, return_inverse=True)
        found = np.ravel(_scipy_rows(other, those.astype(np.int64))[place, x])
        bad = np.abs(weight - found) > REVERSIBLE_MISMATCH * weight
        if bad.any():
            k = int(np.argmax(bad))
            if one is other:
                raise InvalidChainError(
                    f"the rule is not symmetric: the weight {x[k]} -> {y[k]} is {weight[k]}, "
                    f"{y[k]} -> {x[k]} is {found[k]}; leave symmetric out, or give incoming="
                )
            source, target, out, into = (
                (x[k], y[k], weight[k], found[k])
                if one is rows
                else (y[k], x[k], found[k], weight[k])
            )
            raise InvalidChainError(
                f"incoming does not fit the rule: the weight {source} -> {target} is {out} by the rule, "
                f"{into} by incoming"
            )
        if one is other:
            return


def _scipy_rows(kernel, states):
    indptr, indices, values = _core.rows_of(kernel, states, 1)
    values = np.ones(len(indices)) if values is None else values
    found = sp.csr_array(
        (values, indices, indptr.astype(np.int32)), shape=(len(states), kernel.n_states)
    )
    found.sum_duplicates()
    return found


# --- names ------------------------------------------------------------------------------------------------------------


def _function(rule, name):
    """The Python function, of one that Numba has compiled too."""
    rule = getattr(rule, "py_func", rule)
    if not isinstance(rule, types.FunctionType):
        raise TypeError(f"{name} must be a Python function, not {type(rule).__name__}")
    return rule


def _name(function):
    """module:qualified name, under which the function can be imported."""
    try:
        found = _look_up(function.__module__, function.__qualname__)
    except (ImportError, AttributeError):
        found = None
    if getattr(found, "py_func", found) is not function:
        raise InvalidChainError(
            f"the rule {function.__qualname__} cannot be found again under its name; to pickle or save the "
            "chain, define it at the top level of a module"
        )
    return f"{function.__module__}:{function.__qualname__}"


def _named(name):
    module, _, qualified = name.partition(":")
    try:
        return _look_up(module, qualified)
    except (ImportError, AttributeError) as error:
        raise InvalidChainError(
            f"the rule {name} of this chain cannot be imported ({error}); make its module importable"
        ) from error


def _look_up(module, qualified):
    found = importlib.import_module(module)
    for part in qualified.split("."):
        found = getattr(found, part)
    return found
