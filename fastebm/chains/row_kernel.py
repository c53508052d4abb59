"""The chain of a user's rule."""

from .. import _core
from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.threads import resolve_threads
from ..errors import InvalidChainError
from ..patterns.build import MAX_STATES
from ..patterns.rule import RulePattern
from .chain import MarkovChain


def row_kernel(
    rule,
    n_states,
    max_degree,
    *,
    data=(),
    symmetric=False,
    incoming=None,
    labels=None,
    reward=None,
    num_threads=None,
):
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
    n_states, max_degree = (
        validate.count(n_states, "n_states"),
        validate.count(max_degree, "max_degree"),
    )
    if n_states > MAX_STATES:
        raise InvalidChainError(f"n_states is at most {MAX_STATES}, got {n_states}")
    forecast_memory(8 * n_states, f"a chain of {n_states} states")
    if max_degree > _core.RULE_MAX_DEGREE:
        raise InvalidChainError(
            f"max_degree is at most {_core.RULE_MAX_DEGREE}, got {max_degree}; store a chain of longer rows "
            "with MarkovChain"
        )
    if symmetric and incoming is not None:
        raise InvalidChainError(
            "a symmetric rule is its own incoming rule; leave one of the two out"
        )
    pattern = RulePattern(
        rule, n_states, max_degree, data, bool(symmetric), incoming, resolve_threads(num_threads)
    )
    return MarkovChain._from_parts(pattern, pattern.row, labels=labels, reward=reward)
