"""The law of a continuous-time chain at a time, with a proven error."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.results import Result, result
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import Callback, FloatArray, Path, States
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain
from ..errors import InvalidChainError
from ..linalg.rounding import UNIT
from .exponential import Exponential
from .fixed_point import MAX_SIZE
from .generator import mean_steps, off_diagonal
from .steps import MixedSteps

# Up to this many expected steps a chain that is small enough to be squared is stepped all the same,
# and a large one without HELD.
FEW_STEPS = 1000
# The probability to stay that is added to more steps, at a rate 1 / (1 - HELD) times as high.
# Without it the steps of a periodic chain do not come to rest. Products with both round once.
HELD = Fraction(1, 8)


@result
class LawAtResult(Result):
    """The law of a continuous-time chain at a time.

    Attributes
    ----------
    law : ndarray (n_states,)
    time : float
    error : float
        Proven bound on ``sum |law - exact|``.
    method : str
        "uniformisation", or "squaring" of a small chain in fixed point.
    n_iter : int
        Steps of the uniformised chain, or squarings.
    converged : bool
        error <= tol.
    """

    law: FloatArray
    time: float
    error: float
    method: str
    n_iter: int
    converged: bool


def law_at(
    chain: MarkovChain,
    t: float,
    start: States | FloatArray,
    *,
    tol: float = 1e-12,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> LawAtResult:
    """The law of a continuous-time chain at time t, ``start exp(Q t)``, with a proven error.

    Parameters
    ----------
    chain : MarkovChain
        With a `rate`, as `MarkovChain.from_generator` makes it.
    t : float
        Not negative and finite, in units of time.
    start : int or float array (n_states,)
        A state, or a law.
    tol : float
        The L1 error that is wanted.
    num_threads, progress, callback, checkpoint
        As in `simulate_hitting_times`.

    Returns
    -------
    LawAtResult

    Raises
    ------
    InvalidChainError
        The chain has no rate, t is negative, NaN or infinite, or the start is no law.
    MemoryForecastError
        The steps of a large chain are so many that their Poisson law does not fit.
    Interrupted
        Ctrl-C. `partial` is the result so far with its error.

    Notes
    -----
    Uniformisation: the law after a Poisson number of steps of mean rate t. The weights are computed
    in integers and truncated where the rest is below 1e-33. A step rounds by at most a multiple of
    the in-degree in L1, which steps do not amplify. As the steps do not increase the L1 distance
    between two laws, they may end where the change of one times those to come is small, or where
    rounding is all that changes it and `tol` is out of reach. Beyond 1000 expected steps the chain
    is uniformised at 8/7 of its rate, so that the steps of a periodic chain come to rest, too.

    Up to 512 states, and where rate t is large or the rounding of so many steps is, exp(Q t) is
    computed by scaling and squaring in fixed point of 160 bits instead: rates of 1e-6 beside 1e6 at
    any time cost some 40 products of matrices, and 1e12 steps lose no digit.

    "Exact" is the law of the rates that the chain stores, to two roundings of those given.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> chain = fe.MarkovChain.from_generator(np.array([[-2.0, 2.0], [1.0, -1.0]]))
    >>> found = fe.law_at(chain, 0.5, 0)
    >>> found.law.round(12).tolist(), found.error < 1e-12
    ([0.482086773432, 0.517913226568], True)
    """
    mean = mean_steps(chain, t)
    tol = validate.number(tol, "tol", above=0.0)
    law = _start(chain, start)
    threads = resolve_threads(num_threads)
    steps: MixedSteps | Exponential
    step: Callable[[FloatArray], FloatArray]
    if is_squared(chain, float(mean), tol):
        steps = Exponential(off_diagonal(chain).toarray(), mean)
    else:
        # an entry is a sum of as many terms as there are edges to the state
        terms = UNIT * (np.diff(chain._scaled.pattern.transpose.indptr) + 20.0)
        step = partial(chain._scaled.apply, transposed=True, num_threads=threads)
        if mean > FEW_STEPS:
            step, mean = partial(_held, step), mean / (1 - HELD)
        steps = MixedSteps(
            step, law, lambda x: float(np.abs(x).sum()), mean, tol, lambda x: float(terms @ x)
        )

    def pack() -> LawAtResult:
        found, error = _read(steps, law)
        return LawAtResult(
            law=found,
            time=float(t),
            error=error,
            method="squaring" if isinstance(steps, Exponential) else "uniformisation",
            n_iter=steps.done,
            converged=bool(error <= tol),
        )

    with resumable(
        "law_at",
        checkpoint,
        lambda: fingerprint(chain.fingerprint(), chain.rate, law, float(t), tol),
        state=steps.state,
        restore=steps.restore,
        partial=pack,
        progress=progress,
        callback=callback,
    ) as monitor:
        steps.run(monitor)
        found = pack()
    if not found.converged:
        warn_unconverged(unmet("law_at", found.error, found.n_iter, tol))
    return found


def _held(step: Callable[[FloatArray], FloatArray], x: FloatArray) -> FloatArray:
    return float(1 - HELD) * step(x) + float(HELD) * x


def _read(steps: MixedSteps | Exponential, law: FloatArray) -> tuple[FloatArray, float]:
    if isinstance(steps, MixedSteps):
        return steps.mixture.copy(), steps.error
    return steps.rows(law) if steps.is_done else (law.copy(), 2.0)


def _start(chain: MarkovChain, start: States | FloatArray) -> FloatArray:
    laws = validate.start_laws(start, chain.n_states, chain.labels)
    if laws is None:
        states = validate.state_array(start, chain.n_states, "start", chain.labels)
        if states.size != 1:
            raise InvalidChainError(
                f"start has {states.size} states; give one, or a law (n_states,) of floats"
            )
        laws = [np.zeros(chain.n_states)]
        laws[0][states] = 1.0
    if len(laws) != 1:
        raise InvalidChainError(f"start has {len(laws)} laws; call once for each")
    return laws[0]


def is_squared(chain: MarkovChain, mean: float, tol: float) -> bool:
    """Whether exp(Q t) is computed by squaring."""
    if chain.n_states > MAX_SIZE:
        return False
    rounding = mean * (chain._scaled.pattern.max_degree + 8.0) * UNIT
    return mean > FEW_STEPS or rounding > 0.1 * tol


def unmet(call: str, error: float, n_iter: int, tol: float) -> str:
    """The warning about an error above the tolerance."""
    return (
        f"{call}: the error is up to {error:.3g} after {n_iter} steps, above tol = {tol:.3g}, and "
        "the rounding of so many steps allows no smaller one; raise tol"
    )
