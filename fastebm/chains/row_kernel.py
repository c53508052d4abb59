"""The chain of a user's rule."""

from collections.abc import Callable

import numpy.typing as npt

from .. import _core
from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.threads import resolve_threads
from .._runtime.types import Labels
from ..errors import InvalidChainError
from ..patterns.build import MAX_STATES
from ..patterns.rule import RulePattern
from .chain import MarkovChain


def row_kernel(
    rule: Callable[..., int],
    n_states: int,
    max_degree: int,
    *,
    data: object = (),
    symmetric: bool = False,
    incoming: Callable[..., int] | None = None,
    labels: Labels | None = None,
    reward: npt.ArrayLike | None = None,
    num_threads: int | None = None,
) -> MarkovChain:
    """The random walk whose transitions `rule` computes: each row of weights divided by its sum.

    Parameters
    ----------
    rule : function (state, data, out_states, out_weights) -> degree
        Plain Python in the subset that Numba compiles, or a function compiled by ``numba.njit``. It
        writes the states that can follow `state` into out_states[:degree] (int64) and their
        positive weights into out_weights[:degree], at most `max_degree` of them, and returns how
        many; -1 refuses the state. The order does not matter, repeated states add up, and a weight
        of zero is no transition. It must be a function of `state` and `data` alone and must not
        change `data`: it is called again for every product, from several threads.
    n_states : int
    max_degree : int
        At most 8192.
    data : tuple of arrays and numbers, or one array
        What the rule reads: contiguous arrays of numbers, which are used in place and must not be
        changed later, and numbers, which become constants. The rule always gets a tuple.
    symmetric : bool
        weight(x -> y) = weight(y -> x) for all states: the chain is reversible, and left products
        and graph searches use the rule itself. The claim is checked on 256 random rows, not on all.
    incoming : function like `rule`, optional
        The columns: it writes the states that lead to `state` and the weights of these transitions.
        A chain that is neither symmetric nor reversible needs it for left products (x @ chain,
        stationary laws). It is checked like `symmetric`.
    labels, reward
        As in `MarkovChain`.
    num_threads : int, optional
        Threads of the first pass.

    Returns
    -------
    MarkovChain
        One pass over all rows checks them and finds their sums, the row scaling. A tilt of it is
        computed, too. Analyses that need all entries (`to_scipy`, `detailed_balance`) store a copy;
        so do the communicating classes of a chain that is not reversible and has no `incoming`.
        Walkers draw probabilities down to 2^-53.

    Raises
    ------
    InvalidChainError
        The rule refuses a row or raises an exception; a degree, state or weight is out of range, or
        a row is empty (the text names the state); Numba cannot compile the rule; `symmetric` or
        `incoming` does not hold.

    Notes
    -----
    A chain is pickled, and saved, as the module and name of its rule with the data, not as machine
    code. The rule must be importable under that name where it is loaded, and is compiled again
    there. `fastebm.load` imports it only if ``trust=`` names its module or gives the rule itself.
    An index beyond `out_states`, `out_weights` or an array of `data` raises an IndexError in the
    rule, which is reported with the state.

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
    n_states = validate.count(n_states, "n_states")
    max_degree = validate.count(max_degree, "max_degree")
    if n_states > MAX_STATES:
        raise InvalidChainError(f"n_states is at most {MAX_STATES}, got {n_states}")
    forecast_memory(8 * n_states, f"a chain of {n_states:,} states", "lower n_states")
    if max_degree > _core.RULE_MAX_DEGREE:
        raise InvalidChainError(
            f"max_degree is at most {_core.RULE_MAX_DEGREE}, got {max_degree}; store a chain of "
            "longer rows with MarkovChain"
        )
    if symmetric and incoming is not None:
        raise InvalidChainError(
            "a symmetric rule is its own incoming rule; leave one of the two out"
        )
    pattern = RulePattern(
        rule, n_states, max_degree, data, bool(symmetric), incoming, resolve_threads(num_threads)
    )
    return MarkovChain._from_parts(pattern, pattern.row, labels=labels, reward=reward)
