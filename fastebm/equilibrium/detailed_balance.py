"""Detailed balance: how far a chain is from it, and where."""

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.pacing import Pacer, paced_ranges
from .._runtime.progress import interruptible
from .._runtime.results import Result, result
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import Callback, FloatArray, Path
from ..chains.chain import MarkovChain, require_chain
from .hodge import hodge_split


@result
class BalanceResult(Result):
    """How far a chain is from detailed balance ``pi(x) P(x, y) = pi(y) P(y, x)``.

    Attributes
    ----------
    is_reversible : bool
        flux_violation <= tol; False if pi did not converge.
    max_violation : float
        max |F - F^T| of the flux F(x, y) = pi(x) P(x, y).
    flux_violation : float
        sum |F - F^T| / 2, the total variation between the flux and its reversal, in [0, 1].
    one_way_flux : float
        Flux along edges that have no reverse edge.
    n_one_way : int
        Number of these edges.
    entropy_production : float
        1/2 sum (F - F^T) log(F / F^T), nats a step; inf if one_way_flux > 0.
    two_way_entropy_production : float
        The part of it from edges with both directions, always finite.
    worst_edges : list of dict
        source, target, flux, reverse_flux of the edges with the largest violation, largest first.
    potential : ndarray (n_states,)
        -log pi: the canonical potential of arXiv 2512.18730 if the chain is reversible; +inf on
        transient states.
    pi : ndarray (n_states,)
    converged : bool
        The stationary distribution did (otherwise the fluxes are those of another law), and the
        solve of `hodge`.
    gradient_fraction : float or None
        With hodge=True: the fraction of the squared log ratios log P(x, y) / P(y, x), weighted by
        1 / (1 / F(x, y) + 1 / F(y, x)), that a potential explains (their gradient part). The rest
        circulates. 1 for a chain in detailed balance.
    cycle_space : int or None
        Independent cycles, n_pairs - n_states + n_components, of the two-way edges.
    worst_cycles : list of dict or None
        states and affinity (log of the product of forward over backward probabilities, zero by
        Kolmogorov's criterion) of the worst cycles, worst first, among all triangles and the cycles
        that close a breadth-first forest.
    """

    is_reversible: bool
    max_violation: float
    flux_violation: float
    one_way_flux: float
    n_one_way: int
    entropy_production: float
    two_way_entropy_production: float
    worst_edges: list[dict[str, Any]]
    potential: FloatArray
    pi: FloatArray
    converged: bool
    gradient_fraction: float | None = None
    cycle_space: int | None = None
    worst_cycles: list[dict[str, Any]] | None = None


def detailed_balance(
    chain: MarkovChain,
    *,
    pi: npt.ArrayLike | None = None,
    tol: float = 1e-10,
    hodge: bool = False,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> BalanceResult:
    """Measure how far `chain` is from detailed balance (theory, section 2; entropy production:
    Schnakenberg 1976).

    Parameters
    ----------
    chain : MarkovChain
        With one closed class, unless pi is given.
    pi : array_like (n_states,), optional
        The law of the fluxes; default the stationary one.
    tol : float
        Flux violation up to which the chain counts as reversible.
    hodge : bool
        Also split the log ratios into a gradient and a circulation, and rank cycles by their
        affinity; this takes a Laplacian solve.
    checkpoint : path, optional
        A file from which an interrupted call resumes with the same bits: it keeps the search for
        the stationary distribution and the Laplacian solve.

    Returns
    -------
    BalanceResult

    Raises
    ------
    ReducibleChainError
        More than one closed class, and no pi.
    InvalidChainError
        pi is not a probability vector.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> P = np.array([[0.0, 0.75, 0.25], [0.25, 0.0, 0.75], [0.75, 0.25, 0.0]])
    >>> b = fe.detailed_balance(fe.MarkovChain(P))
    >>> b.is_reversible, round(b.flux_violation, 12)
    (False, 0.5)
    >>> bool(np.isclose(b.entropy_production, 0.5 * np.log(3), rtol=1e-12))
    True
    """
    require_chain(chain)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    threads = resolve_threads(num_threads)
    converged = split_converged = True
    given = None
    if pi is not None:
        given = validate.distribution(pi, chain.n_states, "pi", chain.labels)
    with resumable(
        "detailed_balance",
        checkpoint,
        lambda: fingerprint(chain.fingerprint(), given, tol, hodge),
        partial=lambda: None,
    ):
        if given is None:
            law = chain._law.take(threads)
            log_pi, converged = law.log_pi, law.converged
        else:
            with np.errstate(divide="ignore"):
                log_pi = np.log(given)
        scaled = chain._scaled
        found = balance(
            scaled.pattern.matrix,
            scaled.pattern.transpose,
            scaled.log_row,
            scaled.log_col,
            log_pi,
            threads,
        )
        split: dict[str, Any] = {}
        if hodge:
            split, split_converged = hodge_split(scaled, log_pi, threads, progress, callback)
    edges = [
        {"source": s, "target": t, "flux": f, "reverse_flux": b} for s, t, f, b in found["worst"]
    ]
    return BalanceResult(
        is_reversible=converged and found["violation"] <= tol,
        max_violation=found["max_violation"],
        flux_violation=found["violation"],
        one_way_flux=found["one_way"],
        n_one_way=found["n_one_way"],
        entropy_production=np.inf if found["one_way"] > 0.0 else found["entropy_production"],
        two_way_entropy_production=found["entropy_production"],
        worst_edges=edges,
        potential=-log_pi,
        pi=np.exp(log_pi),
        converged=converged and split_converged,
        **split,
    )


def balance(
    matrix: _core.Csr,
    transpose: _core.Csr,
    log_row: FloatArray | None,
    log_col: FloatArray | None,
    log_pi: FloatArray,
    threads: int,
) -> dict[str, Any]:
    """The fluxes compared with their reversal, as the dict of `_core.Balance.total`."""
    found = _core.Balance(matrix, transpose, log_row, log_col, log_pi)
    with interruptible("detailed_balance", lambda: None):
        for first, last in paced_ranges(found.n_blocks, Pacer(1)):
            found.expand(first, last, threads)
    return found.total()
