"""The additive and the multiplicative reversibilisation of a chain.

They are stored balanced, as ``B = (S + S^T) / 2`` or ``S S^T`` of S = D^(1/2) P D^(-1/2) with
sqrt(pi) as a scaling: symmetric to the last bit whatever the accuracy of pi, and in the range of a
double even where fluxes of 1e-200 would not be.
"""

from typing import Any, Literal, TypeAlias

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.threads import resolve_threads
from .._runtime.types import FloatArray
from ..chains.chain import MarkovChain, require_chain
from ..chains.symmetrized import balanced_pattern
from ..errors import InvalidChainError
from ..patterns import passes
from ..patterns.pattern import Pattern
from ..patterns.scaled_pattern import ScaledPattern
from .structure import closed_class

Kind: TypeAlias = Literal["additive", "multiplicative"]


def reversibilize(
    chain: MarkovChain, kind: Kind = "additive", *, num_threads: int | None = None
) -> MarkovChain:
    """The additive reversibilisation ``(P + P*) / 2``, the reversible chain of the same pi that is
    nearest in flux, or the multiplicative one, ``P P*`` (Fill 1991).

    It is reversible to the last bit whatever the accuracy of pi.

    Parameters
    ----------
    chain : MarkovChain
        Irreducible, or with one closed class (the result then lives on that class).
    kind : {"additive", "multiplicative"}
        P P* may have several classes. Where P has long rows it has far more entries than P.

    Returns
    -------
    MarkovChain
        Of a reversible chain "additive" is the chain itself.

    Raises
    ------
    ReducibleChainError
        More than one closed class.
    ConvergenceError
        The stationary distribution does not converge.
    InvalidChainError
        log pi spans more than 1200, or transitions underflow.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> cycle = fe.MarkovChain(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
    >>> fe.reversibilize(cycle).to_scipy().toarray().tolist()
    [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]
    """
    require_chain(chain)
    validate.choice(kind, "kind", ("additive", "multiplicative"))
    threads = resolve_threads(num_threads)
    inside = closed_class(chain)
    if inside is not None:
        return reversibilize(chain.restrict(inside), kind, num_threads=threads)
    if chain._scaled.pattern.is_balanced and kind == "additive":
        return chain
    law = chain._law.require(threads, "the reversibilisation")
    found = formed(chain, kind, law.log_pi, threads)
    if underflows(found):
        raise InvalidChainError(
            "transitions of the reversibilisation, times the root of the ratio of the stationary "
            "masses that they join, underflow; restrict the chain to its likelier states, or raise "
            "beta if it is tilted"
        )
    return found


def formed(chain: MarkovChain, kind: Kind, log_pi: FloatArray, threads: int) -> MarkovChain:
    """The reversibilisation of an irreducible chain with this law, if it does not underflow."""
    chain._scaled.require_transitions("the reversibilisation")
    span = log_pi.max() - log_pi.min()
    if span > 1200.0:  # sqrt(pi) is the scaling, and must fit a double
        raise InvalidChainError(
            f"log pi spans {span:.0f}, beyond what the reversibilisation can store (1200); "
            "restrict the chain to its likelier states"
        )
    old = chain._scaled
    if kind == "additive":
        forecast_memory(2 * 12 * chain.nnz, "the additive reversibilisation")
        pattern, shift = old.pattern, old.shift
        matrix = passes.symmetric_part(
            pattern.matrix, pattern.transpose, old.log_row, old.log_col, log_pi, threads
        )
    else:
        forecast_memory(int(60 * fill(chain)), "P P*")
        matrix, shift = _square(balanced_pattern(chain, log_pi).to_scipy()), None
    symmetric = Pattern(matrix, symmetric=True)
    # The rows of diag(pi)^-1/2 B diag(pi)^1/2 sum to 1 - shift up to rounding in pi; the row
    # scaling makes it exact.
    col = np.exp(0.5 * (log_pi - 0.5 * (log_pi.max() + log_pi.min())))
    total = ScaledPattern(symmetric).apply(col, num_threads=threads)
    moving = 1.0 if shift is None else 1.0 - shift
    # (Q + Q*) / 2 = rate ((P + P*) / 2 - 1); P P* takes two steps of different chains
    rate = chain.rate if kind == "additive" else None
    return chain._like(ScaledPattern(symmetric, moving / total, col, shift), rate=rate)


def underflows(found: MarkovChain) -> bool:
    """Whether entries of a chain that was `formed`, times the root of the ratio of the masses that
    they join, are zero or have lost digits."""
    values = found._scaled.pattern.matrix.values
    return values is not None and bool(values.min() < np.finfo(np.float64).tiny)


def fill(chain: MarkovChain) -> float:
    """Entries of P P*, at most."""
    matrix = chain._scaled.pattern.matrix
    into = np.bincount(matrix.indices, minlength=chain.n_states).astype(float)
    if chain._scaled.shift is not None:
        into += 1.0
    return float(into @ into)


def _square(S: Any) -> _core.Csr:
    """S S^T, symmetric to the last bit."""
    B = S @ S.T
    B = (0.5 * (B + B.T)).tocsr()
    B.sort_indices()
    indices = np.ascontiguousarray(B.indices, dtype=np.int32)
    return _core.Csr(np.ascontiguousarray(B.indptr, dtype=np.int64), indices, B.data)
