"""The mutual information of two positions of a stationary chain: from all states, from a sample of
them, and bounded by the spectrum."""

from copy import copy
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.checkpoint import fingerprint, remembered_seed
from .._runtime.memory import forecast_memory
from .._runtime.random import generator_state
from .._runtime.results import Result, result
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, Callback, FloatArray, IntArray, Path
from ..chains.chain import MarkovChain, require_chain
from ..chains.law import KnownLaw, StationaryLaw
from ..equilibrium.law_error import relative_law_error
from ..equilibrium.structure import closed_class
from ..errors import InvalidChainError
from ..linalg.rounding import UNIT
from .bounded_mean import lower_end, upper_end
from .curve import mixing_curve

#: All states are starts up to this number of them.
MAX_EXACT = 4096
DEFAULT_STARTS = 256
# More than all states together whose probability is below the range of doubles.
TINY = 1e-300


@result
class InformationCurve(Result):
    """The mutual information of two positions of a stationary chain.

    Attributes
    ----------
    lags : ndarray int64 (n_lags,)
    information : ndarray (n_lags,)
        I(X_0; X_k) in nats.
    lower, upper : ndarray (n_lags,)
        From all states: the sum with a bound on its rounding and on the effect of the error of pi,
        on each divergence and on its weight. From a sample: a confidence interval for each lag that
        holds with probability `level` for any chain and any number of starts, much wider than the
        standard error (see the notes of `information_curve`). 0 and inf if the stationary
        distribution did not converge, or, from all states, if no error of it is proven.
    standard_error : ndarray (n_lags,)
        Of a sample; 0 from all states. At large lags few states have most of the information, and a
        sample without them has a small standard error, too.
    n_starts : int
    kind : "all states" | "sample"
    level : float or None
        Of the interval from a sample.
    pi_kind : "proven" | "converged" | "none"
        What `lower` and `upper` assume of pi: nothing, or that its relative error is the tolerance
        at which the power steps converged (a sample from a chain whose pi has no proven error).
        "none": pi did not converge and its error is unknown; the ends are 0 and inf.
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
    pi_kind: str
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
    """Mutual information I(X_0; X_k) of a stationary chain: the mean over pi of
    KL(P^k(x, .) || pi), exact or from a sample of the starts x.

    Parameters
    ----------
    chain : MarkovChain
        With one closed class.
    lags : int or array_like
        1 to this number, or these.
    n_starts : int, optional
        Starts to draw. None: all states up to 4096 of them, otherwise 256 starts.
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

    Notes
    -----
    No divergence from x exceeds log(1 / pi(x)), its value at k = 0. So starts are drawn with
    probabilities proportional to pi(x) log(1 / pi(x)), that is from pi where pi is uniform, and the
    ratios KL(P^k(x, .) || pi) / log(1 / pi(x)) are in [0, 1]; their mean is I_k / H(pi). The
    interval is that of Waudby-Smith and Ramdas (2024) for such means, which needs no assumption. It
    is never narrower than about 6 H(pi) / n_starts. A t interval of the same draws misses more
    often than it says where few states have most of the information.

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
        likely = np.flatnonzero((pi > 0) & (pi < 1))  # from a state of mass 1 nothing is lost
        most = -np.log(pi[likely])
        entropy = float(pi[likely] @ most)
        is_exact = likely.size == 0 or (n_starts is None and likely.size <= MAX_EXACT)
        drawn = np.arange(likely.size)
        pi_kind = "proven" if law.converged or np.isfinite(law.error) else "none"
        if not is_exact:
            n = DEFAULT_STARTS if n_starts is None else n_starts
            drawn = generator.choice(likely.size, n, p=pi[likely] * most / entropy)
            if not chain.is_reversible and law.converged and np.isinf(law.error):
                chain, pi_kind = _with_error(chain, law, law.tol), "converged"
        unique, place = np.unique(drawn, return_inverse=True)
        curve = mixing_curve(
            chain,
            likely[unique] if likely.size else np.zeros(1, np.int64),
            steps=wanted,
            distances=("kl",),
            num_threads=num_threads,
            progress=progress,
            callback=callback,
        )
    assert curve.kl is not None
    # of a weight: the error of pi, exp, and the sums over the states
    off = 2.0 * relative_law_error(chain, law.log_pi, threads) + UNIT * (8.0 + 4.0 * pi.size)
    spread = np.zeros(wanted.size)
    if is_exact:
        weights = pi[likely] if likely.size else np.zeros(1)
        information = weights @ curve.kl
        error = weights @ curve.error["kl"]
        error = error + (information + error) * off + TINY
        lower, upper = information - error, information + error
    else:
        ratios = curve.kl[place] / most[drawn, None]
        error = curve.error["kl"][place] / most[drawn, None]
        information = entropy * ratios.mean(axis=0)
        spread = entropy * ratios.std(axis=0, ddof=1) / np.sqrt(len(drawn))
        lower, upper = (
            entropy * end
            for end in _ends(ratios, np.nan_to_num(error, nan=np.inf), (1.0 - level) / 2.0)
        )
        # no ratio exceeds 1 but by the error of pi; H(pi) has that error, too
        lower, upper = lower - 2.0 * off * entropy, upper + 2.0 * off * (entropy + 1.0) + TINY
    is_known = law.converged and not np.isnan(off)
    return InformationCurve(
        lags=curve.steps,
        information=information,
        lower=np.maximum(0.0, np.nan_to_num(lower)) if is_known else 0.0 * spread,
        upper=np.where(np.isnan(upper), np.inf, upper) if is_known else spread + np.inf,
        standard_error=spread,
        n_starts=len(drawn) if likely.size else 1,
        kind="all states" if is_exact else "sample",
        level=None if is_exact else level,
        pi_kind=pi_kind,
        converged=bool(law.converged and curve.converged),
    )


def _with_error(chain: MarkovChain, law: StationaryLaw, error: float) -> MarkovChain:
    """The same chain, as if this error of its law were proven."""
    assumed = copy(chain)
    assumed._law = KnownLaw(chain._scaled, replace(law, error=error))
    return assumed


def _ends(ratios: FloatArray, error: FloatArray, failure: float) -> tuple[FloatArray, FloatArray]:
    """The ends for the mean of each column of `ratios`, which are known up to `error`: of numbers
    that are smaller, and of numbers that are larger."""
    least, most = np.clip(ratios - error, 0.0, 1.0), np.clip(ratios + error, 0.0, 1.0)
    return (
        np.array([lower_end(column, failure) for column in least.T]),
        np.array([upper_end(column, failure) for column in most.T]),
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
