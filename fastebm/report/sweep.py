"""A sweep over temperatures: what changes when a reward tilts a chain more and more."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .._runtime import validate
from .._runtime.results import Result, result
from .._runtime.resumable import stage
from .._runtime.threads import resolve_threads
from .._runtime.types import FloatArray
from .._runtime.warn import shortfalls, warn_unconverged
from ..chains.chain import MarkovChain
from ..chains.tilt import TiltedChain, tilt
from ..equilibrium.stationary import stationary
from ..errors import FastebmError, Interrupted, InvalidChainError
from ..hitting.times import HittingResult, hitting_times
from ..spectral.gap import spectral_gap
from ..spectral.gap_result import GapResult
from .facts import reversible, target_of


@result
class Temperature(Result):
    """A chain tilted at one temperature.

    Attributes
    ----------
    beta : float
        inf: the reference itself.
    gap : GapResult or None
        "spectral" if the tilted chain is reversible, otherwise "absolute".
    mean_reward : float or None
        sum pi(x) r(x) over the stationary law pi of the tilted chain; None for a reward of
        transitions.
    reference_kl : float or None
        KL divergence from the reference per step, in nats, in the mean over pi.
    hitting : HittingResult or None
        Of the superior states, if a level was given; with the bound from the gap if the tilted
        chain is reversible.
    errors : list of dict
        part, error (class name), text: the parts without an answer.
    converged : bool
        Every part has an answer, and it converged.
    """

    beta: float
    gap: GapResult | None
    mean_reward: float | None
    reference_kl: float | None
    hitting: HittingResult | None
    errors: list[dict[str, str]]
    converged: bool


def checked_betas(betas: Sequence[float]) -> list[float]:
    """The temperatures, each above 0 or inf."""
    return [
        math.inf if beta == math.inf else validate.number(beta, "betas", above=0.0)
        for beta in betas
    ]


def tilted_at(
    chain: MarkovChain, reward: npt.ArrayLike | None, beta: float, num_threads: int | None
) -> TiltedChain:
    """`chain` tilted by `reward`, which defaults to its own; a tilted chain gives its reference."""
    reference = chain.reference if isinstance(chain, TiltedChain) else chain
    given: Any = chain.reward if reward is None else reward
    if given is None:
        raise InvalidChainError(
            "betas need a reward of the states and the chain has none; give reward="
        )
    return tilt(reference, given, beta, num_threads=num_threads)


def sweep(
    chain: MarkovChain,
    reward: npt.ArrayLike | None,
    betas: Sequence[float],
    *,
    level: float | None = None,
    tol: float = 1e-8,
    rng: int = 0,
    num_threads: int | None = None,
    progress: bool = False,
) -> Iterator[Temperature]:
    """The temperatures one after the other, each as if it were the only one.

    Parameters
    ----------
    chain : MarkovChain
    reward : array_like (n_states,), optional
        Default: the chain's own.
    betas : sequence of float
    level : float, optional
        The mean times to reach the states of reward >= level are computed.
    tol : float
        Relative accuracy of gaps and hitting times.
    rng : int
        Seed of each temperature.
    num_threads, progress
        As in `spectral_gap`.

    Yields
    ------
    Temperature

    Raises
    ------
    InvalidChainError
        A beta that is not positive, no reward, a level that no state reaches.
    """
    betas = checked_betas(betas)
    target = None if level is None else target_of(chain, reward, level)
    options = {"num_threads": resolve_threads(num_threads), "progress": progress}
    for beta in betas:
        tilted = tilted_at(chain, reward, beta, options["num_threads"])

        def run(tilted: TiltedChain = tilted, beta: float = beta) -> Temperature:
            return _temperature(tilted, beta, target, tol, rng, options)

        yield stage(f"beta {beta!r}", run)


def _temperature(
    tilted: TiltedChain, beta: float, target: Any, tol: float, rng: int, options: dict[str, Any]
) -> Temperature:
    errors: list[dict[str, str]] = []

    def attempt(part: str, call: Callable[[], Any]) -> Any:
        try:
            return stage(part, call)
        except FastebmError as error:
            text = f"at beta {beta:g}: {error}"
            errors.append({"part": part, "error": type(error).__name__, "text": text})
            return None

    found: dict[str, Any] = {}
    is_reversible = reversible(tilted)
    kind = "spectral" if is_reversible else "absolute"
    with shortfalls() as reasons:
        try:
            found["law"] = attempt("stationary", lambda: stationary(tilted, **options))
            found["gap"] = gap = attempt(
                "gap", lambda: spectral_gap(tilted, kind=kind, tol=tol, rng=rng, **options)
            )
            if target is not None:
                bound = gap if is_reversible else None
                found["hitting"] = attempt(
                    "hitting", lambda: hitting_times(tilted, target, tol=tol, gap=bound, **options)
                )
        except KeyboardInterrupt as stop:
            reached = getattr(stop, "partial", None)
            found |= {_PARTS[type(reached)]: reached} if type(reached) in _PARTS else {}
            so_far = _result(tilted, beta, found, errors, converged=False)
            raise Interrupted(f"at beta {beta:g}: {stop}", so_far) from stop
    for reason in reasons:
        warn_unconverged(f"at beta {beta:g}: {reason}")
    return _result(tilted, beta, found, errors, converged=not (errors or reasons))


# What an interrupted part has so far. A law that is not finished gives no means.
_PARTS = {GapResult: "gap", HittingResult: "hitting"}


def _result(
    tilted: TiltedChain,
    beta: float,
    found: dict[str, Any],
    errors: list[dict[str, str]],
    converged: bool,
) -> Temperature:
    law = found.get("law")
    return Temperature(
        beta=beta,
        gap=found.get("gap"),
        mean_reward=None if law is None else _mean(law.pi, tilted.reward),
        reference_kl=None if law is None else _mean(law.pi, tilted.reference_kl()),
        hitting=found.get("hitting"),
        errors=errors,
        converged=converged,
    )


def _mean(pi: FloatArray, values: Any) -> float | None:
    """The mean over pi; states of pi 0 do not count, whatever their value."""
    if sp.issparse(values):
        return None
    held = pi > 0.0
    return float(pi[held] @ np.asarray(values)[held])
