"""The reversible chain of maximum likelihood, with the evidence for it."""

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.results import Result, result
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import Callback, Labels, Path
from ..chains.chain import MarkovChain
from ..counts.matrix import CountMatrix, CountsLike
from ..counts.reversible_mle import fit_reversible


@result
class ReversibleFit(Result):
    """The reversible chain of maximum likelihood, with the evidence for it.

    Attributes
    ----------
    chain : MarkovChain
        Reversible; `chain.pi` in closed form.
    log_likelihood : float
        sum n(x, y) log P(x, y), nats.
    n_newton, n_products : int
        Newton steps, and products with the Laplacian that they took in all.
    last_step : float
        Largest change of a log pi in the last Newton step. Newton's method converges quadratically,
        so the error of the fit is smaller.
    row_sum_error : float
        Largest distance of a row sum from 1 before the rows were scaled: the residual of the
        likelihood equations.
    converged : bool
    """

    chain: MarkovChain
    log_likelihood: float
    n_newton: int
    n_products: int
    last_step: float
    row_sum_error: float
    converged: bool


def reversible_fit(
    counts: CountsLike,
    *,
    pi: npt.ArrayLike | None = None,
    tol: float = 1e-10,
    labels: Labels | None = None,
    reward: npt.ArrayLike | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> ReversibleFit:
    """The reversible chain of maximum likelihood, by Newton's method on its convex dual.

    Parameters
    ----------
    counts : sparse or dense (n_states, n_states), or TransitionCounts
        Non-negative, whole numbers or not. Strongly connected; with pi, connected if directions are
        ignored.
    pi : array_like (n_states,), optional
        The stationary distribution, if it is known; positive.
    tol : float
        Newton's method stops when no log pi changes by more.
    labels, reward : optional
        Of the chain, as in `MarkovChain`.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`. The checkpoint keeps
        the vectors of Newton's method.

    Returns
    -------
    ReversibleFit

    Raises
    ------
    ReducibleChainError
        The counts are not strongly connected, so the likelihood has no maximum with a positive
        stationary distribution. The message names two states; `connected_set` keeps the largest
        strongly connected part.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> fit = fe.reversible_fit(np.array([[5, 3], [2, 7]]))
    >>> fit.converged, fit.chain.pi.round(12).tolist()
    (True, [0.372093023256, 0.627906976744])
    """
    tol = validate.number(tol, "tol", above=0.0)
    threads = resolve_threads(num_threads)
    data = CountMatrix(counts, labels=labels)
    matrix, law = data.matrix, None if pi is None else np.asarray(pi)
    with resumable(
        "reversible_fit",
        checkpoint,
        lambda: fingerprint(matrix.indptr, matrix.indices, matrix.values, law, tol),
        partial=lambda: None,
    ):
        pattern, row, col, evidence = fit_reversible(data, pi, tol, threads, progress, callback)
    chain = MarkovChain._from_parts(
        pattern, row, col, labels=data.labels, reward=reward, lag=data.lag, time_unit=data.time_unit
    )
    return ReversibleFit(chain=chain, **evidence)
