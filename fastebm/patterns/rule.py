"""Patterns whose rows a user's function computes. Numba compiles it to the C kernel interface, and
no matrix is stored.

Rules run with bounds checks, and C checks every degree, state and weight in every product: a user's
mistake must be reported with its state and not write into another row.

Rules are kept by name. A chain is pickled and saved as `module:function` with its data, as Python
pickles functions: source text or machine code in a data folder would be run by whoever opens it. So
would a module that it names, which is therefore imported only if the caller trusts it. The row sums
are checked again when a chain is loaded.
"""

import importlib
import math
import re
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp

from .. import _core
from .._runtime import validate
from .._runtime.pacing import Pacer, paced_ranges
from .._runtime.progress import interruptible
from .._runtime.threads import resolve_threads
from .._runtime.types import FloatArray, IntArray
from .._runtime.warn import warn_user
from ..errors import InvalidChainError
from .build import MAX_STATES
from .computed import ComputedPattern
from .pattern import REVERSIBLE_MISMATCH, FindRule, Recipe
from .rule_compiler import argument_kinds, compiled_rows, rule_arguments

# A claim about the transpose is checked on this many random rows, and on at most this many entries.
CHECKED_ROWS, CHECKED_ENTRIES = 256, 1024
RULE_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
# A rule may take any time: the first pass begins with this many rows a call and follows the clock.
FIRST_ROWS = 256


#: What `load` takes as trust.
Trusted: TypeAlias = str | Callable[..., Any] | Iterable[str | Callable[..., Any]] | None


class _RowFacts(NamedTuple):
    row_sum: FloatArray
    nnz: int
    least: float
    largest: float


class RulePattern(ComputedPattern):
    """The pattern of `row_kernel`, and the row scaling `row` that makes its rows sum to one."""

    _kernel: _core.RuleKernel

    def __init__(
        self,
        rule: Callable[..., int],
        n_states: int,
        max_degree: int,
        data: object,
        symmetric: bool,
        incoming: Callable[..., int] | None,
        num_threads: int,
    ) -> None:
        self.rule, self.max_degree = _function(rule, "rule"), max_degree
        self.data = _checked_data(data)
        self.incoming = None if incoming is None else _function(incoming, "incoming")
        kinds = argument_kinds(self.data)
        arguments = rule_arguments(max_degree, self.data)
        out = compiled_rows(self.rule, kinds)
        back = None if self.incoming is None else compiled_rows(self.incoming, kinds)
        back = out if symmetric else back

        def kernel(forward: Any, backward: Any) -> _core.RuleKernel:
            address = 0 if backward is None else backward.address
            return _core.RuleKernel(
                n_states,
                max_degree,
                forward.address,
                address,
                arguments,
                (forward, backward, self.data),
            )

        rows = kernel(out, back)
        found = _inspect(rows, max_degree, num_threads, "")
        self.row = np.divide(1.0, found.row_sum, out=found.row_sum)
        columns = rows if symmetric else None
        if incoming is not None:
            columns = kernel(back, out)
            _inspect(columns, max_degree, num_threads, "incoming, ", allow_empty=True)
        if columns is not None:
            _check_transpose(rows, columns)
        super().__init__(
            rows,
            found.nnz,
            columns=columns,
            log_span=math.log(found.largest) - math.log(found.least),
            all_ones=found.least == found.largest == 1.0,
        )

    @property
    def nbytes(self) -> int:
        return super().nbytes + sum(
            item.nbytes for item in self.data if isinstance(item, np.ndarray)
        )

    @property
    def recipe(self) -> Recipe:
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
    def from_recipe(
        cls, recipe: dict[str, Any], arrays: Mapping[str, Any], find_rule: FindRule
    ) -> "RulePattern":
        n_states = validate.count(recipe["n_states"], "n_states")
        max_degree = validate.count(recipe["max_degree"], "max_degree")
        if n_states > MAX_STATES or max_degree > _core.RULE_MAX_DEGREE:
            raise InvalidChainError(f"a rule of {n_states} states and degree {max_degree}")
        symmetric = validate.flag(recipe["symmetric"], "symmetric")
        data = tuple(
            arrays[f"data{i}"] if number is None else number
            for i, number in enumerate(recipe["numbers"])
        )
        incoming = None if recipe["incoming"] is None else find_rule(recipe["incoming"])
        rule = find_rule(recipe["rule"])
        threads = resolve_threads(None)
        return cls(rule, n_states, max_degree, data, symmetric, incoming, threads)


# --- checks ---------------------------------------------------------------------------------------


def _checked_data(data: object) -> tuple[Any, ...]:
    """A tuple of contiguous arrays and plain numbers."""
    checked: list[Any] = []
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
                    f"pass numpy.ascontiguousarray(data[{i}])"
                )
            checked.append(item)
        elif isinstance(item, (bool, int, float, np.bool_, np.integer, np.floating)):
            checked.append(item.item() if isinstance(item, np.generic) else item)
        else:
            raise TypeError(f"data[{i}] must be an array or a number, not {type(item).__name__}")
    return tuple(checked)


def _inspect(
    kernel: _core.RuleKernel,
    max_degree: int,
    num_threads: int,
    prefix: str,
    *,
    allow_empty: bool = False,
) -> _RowFacts:
    """Check all rows and sum them; an InvalidChainError names the first faulty state. The pace that
    the pass ends with is kept for later passes. Columns may be empty."""
    row_sum, nnz, least, largest = np.empty(kernel.n_states), 0, math.inf, 0.0
    most = kernel.rows_per_call
    pacer = Pacer(min(most, FIRST_ROWS), largest=most)
    with interruptible("row_kernel", lambda: None):
        for begin, end in paced_ranges(kernel.n_states, pacer):
            fault, facts = kernel.inspect(num_threads, allow_empty, begin, end, row_sum)
            if fault is not None:
                raise InvalidChainError(
                    _describe(fault, facts, kernel.n_states, max_degree, prefix)
                )
            nnz += facts["nnz"]
            least, largest = min(least, facts["least"]), max(largest, facts["largest"])
    kernel.rows_per_call = pacer.size
    if least == largest == 1.0:
        kernel.set_all_ones()
    if not allow_empty and row_sum.min() < np.finfo(float).tiny:
        at = int(np.argmin(row_sum))
        raise InvalidChainError(
            f"{prefix}state {at}: the weights sum to {row_sum[at]}, too small to divide by; "
            "scale them up"
        )
    return _RowFacts(row_sum, nnz, least, largest)


def _describe(
    fault: str, facts: dict[str, Any], n_states: int, max_degree: int, prefix: str
) -> str:
    text = f"{prefix}state {facts['state']}: {fault}"
    if facts["entry"] >= 0:
        return (
            f"{text} (entry {facts['entry']}: state {facts['target']}, weight {facts['weight']}; "
            f"states are 0..{n_states - 1})"
        )
    if facts["degree"] >= 0:
        return f"{text} (degree {facts['degree']}, max_degree {max_degree})"
    if facts["degree"] == -2:
        return f"{text}; a possible cause is an index beyond out_states, out_weights or data"
    return text


def _check_transpose(rows: _core.RuleKernel, columns: _core.RuleKernel) -> None:
    """Check on random states of both that `columns` is the transpose of `rows`."""
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
                f"incoming does not fit the rule: the weight {source} -> {target} is {out} by the "
                f"rule, {into} by incoming"
            )
        if one is other:
            return


def _scipy_rows(kernel: _core.RuleKernel, states: IntArray) -> Any:
    indptr, indices, values = _core.rows_of(kernel, states, 1)
    values = np.ones(len(indices)) if values is None else values
    found = sp.csr_array(
        (values, indices, indptr.astype(np.int32)), shape=(len(states), kernel.n_states)
    )
    found.sum_duplicates()
    return found


# --- names ----------------------------------------------------------------------------------------


def _function(rule: Any, name: str) -> types.FunctionType:
    """The Python function, also of one that Numba has compiled already."""
    rule = getattr(rule, "py_func", rule)
    if not isinstance(rule, types.FunctionType):
        raise TypeError(f"{name} must be a Python function, not {type(rule).__name__}")
    return rule


def _name(function: types.FunctionType) -> str:
    """module:qualified name, under which the function can be imported."""
    try:
        found = _look_up(function.__module__, function.__qualname__)
    except (ImportError, AttributeError):
        found = None
    if getattr(found, "py_func", found) is not function:
        raise InvalidChainError(
            f"the rule {function.__qualname__} cannot be found again under its name; to pickle or "
            "save the chain, define it at the top level of a module"
        )
    return f"{function.__module__}:{function.__qualname__}"


def warn_of_main(path: str, recipe: Mapping[str, Any] | None) -> None:
    """Warn where a chain that is saved has a rule that only this program can find."""
    names = [(recipe or {}).get(key) or "" for key in ("rule", "incoming")]
    if any(name.startswith("__main__:") for name in names):
        warn_user(
            f"{path}: the rule of the chain is in __main__, the script that runs, so that no other "
            "program can load the chain; move the rule to a module and save the chain again",
            UserWarning,
        )


def trusted_rules(trust: Trusted) -> FindRule:
    """Finds rules by name, of those that the caller trusts: functions of the modules that are
    named, and functions that are given. A module that is imported already is no exception: its
    functions were not meant to be run for any folder that names them."""
    listed = [trust] if isinstance(trust, str) or callable(trust) else trust
    if listed is None:
        listed = ()
    elif isinstance(listed, bool) or not isinstance(listed, Iterable):
        raise TypeError(
            "trust must be a module's name, a function, or a list of them, not "
            f"{type(trust).__name__}"
        )
    modules: set[str] = set()
    functions: dict[str, types.FunctionType] = {}
    for item in listed:
        if isinstance(item, str):
            modules.add(item)
        else:
            function = _function(item, "trust")
            functions[f"{function.__module__}:{function.__qualname__}"] = function

    def find(name: str) -> Any:
        if not isinstance(name, str) or not RULE_NAME.fullmatch(name):
            raise InvalidChainError(f"{name!r} is not the name of a rule; save the chain again")
        module = name.partition(":")[0]
        if name in functions:
            return functions[name]
        if module not in modules:
            raise InvalidChainError(
                f"the rows of this chain are computed by {name}, and loading it runs the module "
                f"{module}; pass trust={module!r} if you trust its code"
            )
        return imported_rule(name)

    return find


def imported_rule(name: str) -> types.FunctionType:
    """The rule of that name; its module is imported."""
    module, _, qualified = name.partition(":")
    try:
        function = _function(_look_up(module, qualified), f"the rule {name}")
    except (ImportError, AttributeError) as error:
        raise InvalidChainError(
            f"the rule {name} of this chain cannot be imported ({error}); make its module "
            "importable"
        ) from error
    if function.__module__ != module or function.__qualname__ != qualified:
        raise InvalidChainError(f"{name} is not defined there; save the chain again")
    return function


def _look_up(module: str, qualified: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in qualified.split("."):
        found = getattr(found, part)
    return found
