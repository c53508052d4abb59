"""Chains whose rows a user's function computes: it is compiled by Numba to the C kernel interface, and no matrix is stored."""

import functools
import importlib
import math
import time
import types

import numpy as np
import scipy.sparse as sp

from . import _core, _validate
from ._build import MAX_STATES
from ._runtime import forecast_memory, interruptible, resolve_threads
from .chain import MarkovChain
from .computed import ComputedPattern
from .errors import InvalidChainError
from .pattern import REVERSIBLE_MISMATCH

# A claim about the transpose is checked on the entries of this many random rows, and on no more than that many entries.
CHECKED_ROWS, CHECKED_ENTRIES = 256, 1024
# The first pass begins with so many rows and finds out how many make a call.
FIRST_ROWS, SECONDS_PER_CALL = 256, 0.1


def row_kernel(rule, n_states, max_degree, *, data=(), symmetric=False, incoming=None, labels=None, reward=None,
               num_threads=None):
    """The random walk whose transitions `rule` computes: each row of weights divided by its sum.

    Parameters
    ----------
    rule : function (state, data, out_states, out_weights) -> degree
        Plain Python in the subset that Numba compiles, or a function compiled by ``numba.njit`` already. It writes the states
        that can follow `state` into out_states[:degree] (int64) and their positive weights into out_weights[:degree], at most
        `max_degree` of them, and returns how many; -1 refuses the state. Order does not matter, repeated states add up, a weight
        of zero is no transition. It must be a function of `state` and `data` alone, which it must not change: it is called again
        for every product, from several threads.
    n_states : int
    max_degree : int
        At most 8192.
    data : tuple of arrays and numbers, or one array
        What the rule reads: contiguous arrays of numbers, used in place and not to be changed later, and numbers, which become
        constants. The rule always sees a tuple.
    symmetric : bool
        weight(x -> y) = weight(y -> x) for all states: the chain is reversible, and left products and graph searches use the rule
        itself. The claim is checked on 256 random rows, not on all.
    incoming : function like `rule`, optional
        The columns: it writes the states that lead to `state` and the weights of these transitions. It gives a chain that is
        neither symmetric nor reversible its left products (x @ chain, stationary laws). Checked like `symmetric`.
    labels, reward, num_threads
        As in `MarkovChain`; threads of the first pass.

    Returns
    -------
    MarkovChain
        One pass over all rows checks them and finds their sums, the row scaling. `tilt` keeps the chain computed. Questions
        about all entries (`to_scipy`, `detailed_balance`) store a copy; so do the communicating classes of a chain that is not
        reversible and has no `incoming`. Walkers draw probabilities down to 2^-53.

    Raises
    ------
    InvalidChainError
        A row that the rule refuses, an exception in it, a degree, state or weight out of range, an empty row, each with the
        state; a rule that Numba cannot compile; `symmetric` or `incoming` that does not hold.

    Notes
    -----
    A chain is pickled, and saved, as the module and name of its rule with the data, not as machine code: the rule must be
    importable under that name where it is loaded, and is compiled again there. An index beyond `out_states`, `out_weights` or an
    array of `data` raises an IndexError in the rule, reported with the state.

    Examples
    --------
    >>> import fastebm as fe
    >>> def around(state, data, out_states, out_weights):
    ...     n = data[0]
    ...     out_states[0], out_weights[0] = (state + 1) % n, 1.0
    ...     out_states[1], out_weights[1] = (state - 1) % n, 1.0
    ...     return 2
    >>> cycle = fe.row_kernel(around, 12, 2, data=(12,), symmetric=True)
    >>> cycle.storage, round(float(fe.hitting_times(cycle, [0]).mean[6]), 9)
    ('computed + row', 36.0)
    """
    n_states, max_degree = _validate.count(n_states, "n_states"), _validate.count(max_degree, "max_degree")
    if n_states > MAX_STATES:
        raise InvalidChainError(f"n_states is at most {MAX_STATES}, got {n_states}")
    forecast_memory(8 * n_states, f"a chain of {n_states} states")
    if max_degree > _core.RULE_MAX_DEGREE:
        raise InvalidChainError(f"max_degree is at most {_core.RULE_MAX_DEGREE}, got {max_degree}; store a chain of longer rows "
                                "with MarkovChain")
    if symmetric and incoming is not None:
        raise InvalidChainError("a symmetric rule is its own incoming rule; leave one of the two out")
    pattern = RulePattern(rule, n_states, max_degree, data, bool(symmetric), incoming, resolve_threads(num_threads))
    return MarkovChain._from_parts(pattern, pattern.row, labels=labels, reward=reward)


class RulePattern(ComputedPattern):
    """The pattern of `row_kernel`, and the row scaling that makes its rows sum to one."""

    def __init__(self, rule, n_states, max_degree, data, symmetric, incoming, num_threads):
        self.rule, self.max_degree, self.data = _function(rule, "rule"), max_degree, _checked_data(data)
        self.incoming = None if incoming is None else _function(incoming, "incoming")
        kinds, places = _kinds(self.data), _places(max_degree, self.data)
        out = _compiled(self.rule, kinds)
        back = out if symmetric else None if incoming is None else _compiled(self.incoming, kinds)

        def kernel(forward, backward):
            address = 0 if backward is None else backward.address
            return _core.RuleKernel(n_states, max_degree, forward.address, address, places, (forward, backward, self.data))

        rows = kernel(out, back)
        row_sum, nnz, least, largest = _inspected(rows, max_degree, num_threads, "")
        self.row = np.divide(1.0, row_sum, out=row_sum)
        columns = rows if symmetric else None
        if incoming is not None:
            columns = kernel(back, out)
            _inspected(columns, max_degree, num_threads, "incoming, ", allow_empty=True)
        if columns is not None:
            _check_transpose(rows, columns)
        super().__init__(rows, nnz, columns=columns, log_span=math.log(largest) - math.log(least),
                         all_ones=least == largest == 1.0)

    @property
    def nbytes(self):
        return super().nbytes + sum(item.nbytes for item in self.data if isinstance(item, np.ndarray))

    @property
    def recipe(self):
        arrays = {f"data{i}": item for i, item in enumerate(self.data) if isinstance(item, np.ndarray)}
        numbers = [None if isinstance(item, np.ndarray) else item for item in self.data]
        facts = {"kind": "rule", "rule": _name(self.rule), "incoming": None if self.incoming is None else _name(self.incoming),
                 "n_states": self.n_states, "max_degree": self.max_degree, "symmetric": self.is_symmetric, "numbers": numbers,
                 "arrays": sorted(arrays)}
        return facts, arrays

    @classmethod
    def from_recipe(cls, recipe, arrays):
        data = tuple(arrays[f"data{i}"] if number is None else number for i, number in enumerate(recipe["numbers"]))
        incoming = None if recipe["incoming"] is None else _named(recipe["incoming"])
        return cls(_named(recipe["rule"]), recipe["n_states"], recipe["max_degree"], data, recipe["symmetric"], incoming,
                   resolve_threads(None))


# --- checks -----------------------------------------------------------------------------------------------------------


def _checked_data(data):
    """A tuple of contiguous arrays and plain numbers."""
    checked = []
    for i, item in enumerate(data if isinstance(data, (tuple, list)) else (data,)):
        if isinstance(item, np.ndarray):
            _validate.real_array(item, f"data[{i}]")
            if not item.flags.c_contiguous or not item.dtype.isnative or item.size == 0 or item.ndim == 0:
                raise InvalidChainError(f"data[{i}] must be a contiguous array of native byte order, and not empty; "
                                        "pass numpy.ascontiguousarray(it)")
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
                raise InvalidChainError(_describe(fault, facts, kernel.n_states, max_degree, prefix))
            pace = SECONDS_PER_CALL / max(time.perf_counter() - clock, 1e-9)
            size = int(min(max(size * min(pace, 4.0), 1), kernel.rows_per_call))
            begin, nnz = end, nnz + facts["nnz"]
            least, largest = min(least, facts["least"]), max(largest, facts["largest"])
    kernel.rows_per_call = size
    if least == largest == 1.0:
        kernel.set_all_ones()
    if not allow_empty and row_sum.min() < np.finfo(float).tiny:
        at = int(np.argmin(row_sum))
        raise InvalidChainError(f"{prefix}state {at}: the weights sum to {row_sum[at]}, too small to divide by; scale them up")
    return row_sum, nnz, least, largest


def _describe(fault, facts, n_states, max_degree, prefix):
    text = f"{prefix}state {facts['state']}: {fault}"
    if facts["entry"] >= 0:
        return text + f" (entry {facts['entry']}: state {facts['target']}, weight {facts['weight']}; states are 0..{n_states - 1})"
    if facts["degree"] >= 0:
        return text + f" (degree {facts['degree']}, max_degree {max_degree})"
    return text + ("; an index beyond out_states, out_weights or data is one" if facts["degree"] == -2 else "")


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
                raise InvalidChainError(f"the rule is not symmetric: the weight {x[k]} -> {y[k]} is {weight[k]}, "
                                        f"{y[k]} -> {x[k]} is {found[k]}; leave symmetric out, or give incoming=")
            source, target, out, into = (x[k], y[k], weight[k], found[k]) if one is rows else (y[k], x[k], found[k], weight[k])
            raise InvalidChainError(f"incoming does not fit the rule: the weight {source} -> {target} is {out} by the rule, "
                                    f"{into} by incoming")
        if one is other:
            return


def _scipy_rows(kernel, states):
    indptr, indices, values = _core.rows_of(kernel, states, 1)
    values = np.ones(len(indices)) if values is None else values
    found = sp.csr_array((values, indices, indptr.astype(np.int32)), shape=(len(states), kernel.n_states))
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
        raise InvalidChainError(f"the rule {function.__qualname__} cannot be found again under its name; to pickle or save the "
                                "chain, define it at the top level of a module")
    return f"{function.__module__}:{function.__qualname__}"


def _named(name):
    module, _, qualified = name.partition(":")
    try:
        return _look_up(module, qualified)
    except (ImportError, AttributeError) as error:
        raise InvalidChainError(f"the rule {name} of this chain cannot be imported ({error}); make its module importable") from error


def _look_up(module, qualified):
    found = importlib.import_module(module)
    for part in qualified.split("."):
        found = getattr(found, part)
    return found


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
    return tuple((item.dtype.str, item.ndim) if isinstance(item, np.ndarray) else (type(item), item) for item in data)


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
        compiled = numba.cfunc(nb.void(nb.int64, nb.int64, numbers, numbers, numbers, nb.CPointer(nb.float64)))(scope["rows"])
    except numba.core.errors.NumbaError as error:
        failure = error
    for signature in rule.nopython_signatures:
        if not isinstance(signature.return_type, nb.Integer):
            raise InvalidChainError(f"{function.__qualname__} must return its degree, an int, and returns "
                                    f"{signature.return_type}") from failure
    if failure is not None:
        raise InvalidChainError(f"{function.__qualname__} cannot be compiled by Numba: {failure}") from failure
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
