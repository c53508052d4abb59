"""The additive reversibilisation of a chain.

It is stored balanced, as ``B = D^(1/2) (P + P*) / 2 D^(-1/2)`` with sqrt(pi) as a scaling:
symmetric to the last bit whatever the accuracy of pi, and in the range of a double even where
fluxes of 1e-200 would not be.
"""

from typing import Literal

import numpy as np

from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.threads import resolve_threads
from ..chains.chain import MarkovChain, require_chain
from ..errors import InvalidChainError
from ..patterns import passes
from ..patterns.pattern import Pattern
from ..patterns.scaled_pattern import ScaledPattern
from .structure import closed_class


def reversibilize(
    chain: MarkovChain, kind: Literal["additive"] = "additive", *, num_threads: int | None = None
) -> MarkovChain:
    """The additive reversibilisation ``(P + P*) / 2``: the reversible chain of the same pi that is
    nearest in flux.

    It is reversible to the last bit whatever the accuracy of pi.

    Parameters
    ----------
    chain : MarkovChain
        Irreducible, or with one closed class (the result then lives on that class).
    kind : "additive"

    Returns
    -------
    MarkovChain
        The chain itself if it is reversible.

    Raises
    ------
    ReducibleChainError
        More than one closed class.
    ConvergenceError
        The stationary distribution does not converge.
    InvalidChainError
        log pi spans more than 1200.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> cycle = fe.MarkovChain(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
    >>> fe.reversibilize(cycle).to_scipy().toarray().tolist()
    [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]
    """
    require_chain(chain)
    validate.choice(kind, "kind", ("additive",))
    threads = resolve_threads(num_threads)
    inside = closed_class(chain)
    if inside is not None:
        return reversibilize(chain.restrict(inside), kind, num_threads=threads)
    if chain.is_reversible:
        return chain
    log_pi = chain._law.require(threads, "the reversibilisation").log_pi
    span = log_pi.max() - log_pi.min()
    if span > 1200.0:  # sqrt(pi) is the scaling, and must fit a double
        raise InvalidChainError(
            f"log pi spans {span:.0f}, beyond what the reversibilisation can store (1200); "
            "restrict the chain to its likelier states"
        )
    old = chain._scaled
    forecast_memory(2 * 12 * chain.nnz, "the additive reversibilisation")
    matrix = passes.symmetric_part(
        old.pattern.matrix, old.pattern.transpose, old.log_row, old.log_col, log_pi, threads
    )
    symmetric = Pattern(matrix, symmetric=True)
    # The rows of diag(pi)^-1/2 B diag(pi)^1/2 sum to 1 - shift up to rounding in pi; the row
    # scaling makes it exact.
    col = np.exp(0.5 * (log_pi - 0.5 * (log_pi.max() + log_pi.min())))
    total = ScaledPattern(symmetric).apply(col, num_threads=threads)
    moving = 1.0 if old.shift is None else 1.0 - old.shift
    return chain._like(ScaledPattern(symmetric, moving / total, col, old.shift))
