"""The reversible chain of maximum likelihood, with the evidence for it."""

from .._runtime import validate
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import MarkovChain
from ..counts.matrix import CountMatrix
from ..counts.reversible_mle import fit_reversible


@result
class ReversibleFit(Result):
    """The reversible chain of maximum likelihood and the evidence for it.

    Attributes
    ----------
    chain : MarkovChain
        Reversible; `chain.pi` in closed form.
    log_likelihood : float
        sum n(x, y) log P(x, y), nats.
    n_newton, n_products : int
        Newton steps, and products with the Laplacian that they took in all.
    last_step : float
        Largest change of a log pi in the last Newton step: Newton's method converges quadratically, so the fit is off by less.
    row_sum_error : float
        Largest distance of a row sum from 1 before the rows were scaled: the residual of the likelihood equations.
    converged : bool
    """

    chain: object
    log_likelihood: float
    n_newton: int
    n_products: int
    last_step: float
    row_sum_error: float
    converged: bool


def reversible_fit(
    counts,
    *,
    pi=None,
    tol=1e-10,
    labels=None,
    reward=None,
    num_threads=None,
    progress=False,
    callback=None,
):
    """The reversible chain of maximum likelihood, by Newton's method on its convex dual, with the evidence.

    Parameters
    ----------
    counts : sparse or dense (n_states, n_states), or TransitionCounts
        Non-negative, whole numbers or not; strongly connected (with pi: connected, directions forgotten).
    pi : array_like (n_states,), optional
        The stationary distribution, where it is known; positive.
    tol : float
        Newton's method stops when no log pi moves by more.

    Returns
    -------
    ReversibleFit

    Raises
    ------
    ReducibleChainError
        The counts are not strongly connected: the likelihood then has no maximum with a positive law everywhere. The text names
        two states; `connected_set` keeps the part that is.

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
    pattern, row, col, evidence = fit_reversible(data, pi, tol, threads, progress, callback)
    chain = MarkovChain._from_parts(pattern, row, col, labels=data.labels, reward=reward)
    return ReversibleFit(chain=chain, **evidence)
