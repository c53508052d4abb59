"""The mutual information of two positions of a stationary chain: from all states, from a sample of
them, and bounded by the spectrum."""

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from .._runtime import validate
from .._runtime.checkpoint import fingerprint, remembered_seed
from .._runtime.memory import forecast_memory
from .._runtime.random import generator_state
from .._runtime.results import Result, result
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, Callback, FloatArray, IntArray, Path
from ..chains.chain import MarkovChain, require_chain
from ..equilibrium.structure import closed_class
from ..errors import InvalidChainError
from .curve import mixing_curve

#: All states are starts up to this number of them.
MAX_EXACT = 4096
DEFAULT_STARTS = 256


@result
class InformationCurve(Result):
    """The mutual information of two positions of a stationary chain.

    Attributes
    ----------
    lags : ndarray int64 (n_lags,)
    information : ndarray (n_lags,)
        I(X_0; X_k) in nats.
    lower, upper : ndarray (n_lags,)
        From all states: the sum with a bound on its rounding, and on the effect of the error of pi
        on each divergence. From a sample: the t interval of its mean, for which `level` is
        approximate. 0 and inf if the stationary distribution did not converge.
    standard_error : ndarray (n_lags,)
        Of a sample; 0 from all states.
    n_starts : int
    kind : "all states" | "sample"
    level : float or None
        Of the interval from a sample.
    converged : bool
        The stationary distribution did.
    """

    lags: IntArray
    information: FloatArray
    lower: FloatArray
    upper: FloatArray
    standard_error: FloatArray
    n_starts: int
    kind: str
    level: float | None
    converged: bool


def information_curve(
    chain: MarkovChain,
    lags: int | npt.ArrayLike,
    *,
    n_starts: int | None = None,
    level: float = 0.95,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> InformationCurve:
    """Mutual information I(X_0; X_k) of a stationary chain: the mean over starts drawn from pi of
    KL(P^k(x, .) || pi).

    Parameters
    ----------
    chain : MarkovChain
        With one closed class.
    lags : int or array_like
        1 to this number, or these.
    n_starts : int, optional
        Starts drawn from pi. None: all states up to 4096 of them, otherwise 256 starts.
    level : float
        Of the interval from a sample.
    rng
        Of the sample.
    num_threads, progress, callback, checkpoint
        As in `mixing_curve`, which computes the divergences: 16 starts in one pass per step.

    Returns
    -------
    InformationCurve

    Raises
    ------
    InvalidChainError
        Lags below 1.
    ReducibleChainError
        More than one closed class.
    MemoryForecastError
        The divergences of all starts and lags do not fit.
    Interrupted
        Ctrl-C.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> flip = fe.MarkovChain(np.array([[0.9, 0.1], [0.1, 0.9]]))
    >>> fe.information_curve(flip, 3).information.round(4).tolist()
    [0.3681, 0.2218, 0.1375]
    """
    require_chain(chain)
    wanted = _wanted(lags)
    level = validate.number(level, "level", above=0.0, below=1.0)
    if n_starts is not None:
        n_starts = validate.count(n_starts, "n_starts", 2)
        forecast_memory(
            8 * n_starts * (2 * wanted.size + 4),
            f"the divergences of {n_starts:,} starts at {wanted.size:,} lags",
            "lower n_starts or pass fewer lags",
        )
    rng = remembered_seed(rng, checkpoint)
    generator, threads = np.random.default_rng(rng), resolve_threads(num_threads)
    state = generator_state(generator)
    inside = closed_class(chain)
    if inside is not None:
        chain = chain.restrict(inside)
    with resumable(
        "information_curve",
        checkpoint,
        lambda: fingerprint(chain.fingerprint(), wanted, n_starts, level, state),
        partial=lambda: None,
        seed=rng,
    ):
        law = chain._law.take(threads)
        pi = np.exp(law.log_pi)
        pi /= pi.sum()
        likely = np.flatnonzero(pi > 0)
        is_exact = n_starts is None and likely.size <= MAX_EXACT
        if is_exact:
            starts, weights = likely, pi[likely]
        else:
            n = DEFAULT_STARTS if n_starts is None else n_starts
            starts = generator.choice(chain.n_states, n, p=pi)
            weights = np.full(n, 1 / n)
        unique, place = np.unique(starts, return_inverse=True)
        curve = mixing_curve(
            chain,
            unique,
            steps=wanted,
            distances=("kl",),
            num_threads=num_threads,
            progress=progress,
            callback=callback,
        )
    assert curve.kl is not None
    each, error = curve.kl[place], weights @ curve.error["kl"][place]
    information = weights @ each
    spread, half = np.zeros(wanted.size), np.zeros(wanted.size)
    if not is_exact:
        spread = each.std(axis=0, ddof=1) / np.sqrt(len(each))
        half = spread * stdtrit(len(each) - 1, (1 + level) / 2)
    return InformationCurve(
        lags=curve.steps,
        information=information,
        lower=np.maximum(0.0, information - error - half) if law.converged else 0.0 * half,
        upper=information + error + half if law.converged else half + np.inf,
        standard_error=spread,
        n_starts=len(starts),
        kind="all states" if is_exact else "sample",
        level=None if is_exact else level,
        converged=bool(law.converged and curve.converged),
    )


def _wanted(lags: int | npt.ArrayLike) -> IntArray:
    """The lags, ascending."""
    if isinstance(lags, (int, np.integer)):
        n = validate.count(lags, "lags")
        forecast_memory(16 * n, f"{n:,} lags", "lower lags")
        return np.arange(1, n + 1)
    wanted = np.atleast_1d(validate.real_array(lags, "lags"))
    is_whole = wanted.ndim == 1 and wanted.size > 0 and bool((wanted == np.floor(wanted)).all())
    if not is_whole or not 1 <= wanted[0] <= wanted[-1] < 2**63 or (np.diff(wanted) <= 0).any():
        raise InvalidChainError("lags must be whole numbers >= 1 in increasing order")
    return wanted.astype(np.int64)


def information_bound(
    eigenvalues: npt.ArrayLike, lags: npt.ArrayLike, *, n_states: int
) -> FloatArray:
    """Upper bound on I(X_0; X_k) of a reversible chain from its spectrum:
    log(1 + sum over j >= 2 of lambda_j^(2k)).

    Parameters
    ----------
    eigenvalues : array_like (m,)
        The m eigenvalues of largest modulus, 1 included, m >= 2. Those that are not given count as
        the smallest of them.
    lags : array_like
    n_states : int

    Returns
    -------
    ndarray
        Nats; a bound as far as the eigenvalues are exact, or upper ends of their moduli.

    Raises
    ------
    InvalidChainError
        Fewer than two eigenvalues, more than states, or a modulus above 1.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> flip = fe.MarkovChain(np.array([[0.9, 0.1], [0.1, 0.9]]))
    >>> fe.information_bound([1.0, 0.8], [1, 2, 3], n_states=2).round(4).tolist()
    [0.4947, 0.3433, 0.2328]
    """
    n_states = validate.count(n_states, "n_states")
    modulus = np.sort(np.abs(np.asarray(eigenvalues)))[::-1].astype(np.float64)
    if not 2 <= modulus.size <= n_states or modulus[0] > 1 + 1e-9:
        raise InvalidChainError(
            f"{modulus.size} eigenvalues, the largest of modulus {modulus.max(initial=0.0):.6g}; "
            f"give 2 to {n_states}, with the eigenvalue 1 and the largest moduli after it"
        )
    k = np.asarray(lags, dtype=np.float64)[..., None]
    powers = np.minimum(modulus[1:], 1.0) ** (2 * k)
    bound: FloatArray = np.log1p(
        powers.sum(axis=-1) + float(n_states - modulus.size) * powers[..., -1]
    )
    return bound
