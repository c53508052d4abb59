"""What a kernel of words says: detailed balance, mixing, and tilts by the valence of the words."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .._runtime.results import Result, result
from .._runtime.resumable import stage
from .._runtime.types import BoolArray, FloatArray
from ..chains.words import WordChain
from ..equilibrium.detailed_balance import BalanceResult, detailed_balance
from ..errors import FastebmError, InvalidChainError
from ..hitting.times import HittingResult
from ..simulation.simulate import superior_states
from ..spectral.gap import spectral_gap
from ..spectral.gap_result import GapResult
from .facts import heaviest_states
from .sweep import Temperature, sweep, tilted_at

N_WORDS = 10
#: What a model is asked for the next word.
WORD_PROMPT = "Free association: night -> dark, bread -> butter, doctor -> nurse, {word} ->"
#: VADER valence of a superior word.
LEVEL = 2.5


@result
class WordTilt(Result):
    """The kernel tilted by the reward at one temperature.

    Attributes
    ----------
    beta : float
        inf: the model itself.
    mean_reward : float or None
        Under the stationary law.
    reference_kl : float or None
        KL from the model, in nats a word, in the mean over the stationary law.
    gap : GapResult or None
        1 - SLEM, unless the tilted chain is reversible.
    flux_violation, entropy_production : float or None
    hitting : HittingResult or None
        Times to reach a superior word.
    words : list of dict
        The words of largest stationary mass.
    errors : list of dict
        part, error (class name), text: the parts without an answer.
    converged : bool
    """

    beta: float
    mean_reward: float | None
    reference_kl: float | None
    gap: GapResult | None
    flux_violation: float | None
    entropy_production: float | None
    hitting: HittingResult | None
    words: list[dict[str, Any]]
    errors: list[dict[str, str]]
    converged: bool


@result
class WordStudy(Result):
    """What a kernel of words says. All numbers are those of the rows divided by their mass on the
    vocabulary; `leak` is what was off it.

    Attributes
    ----------
    leak : ndarray (n_words,)
        Mass of each row off the vocabulary.
    mean_leak, max_leak : float
        The mean is that over the stationary law.
    max_unresolved : float
        Every row, its leak included, is within this total variation of what all laws of the model
        would give.
    n_passes : int
        Contexts that the model evaluated.
    balance : BalanceResult or None
    gaps : dict of GapResult
        "additive": of (P + P*)/2; "absolute": 1 - SLEM.
    level : float or None
        Words of this reward and more are superior; None if there are none.
    n_superior : int
    words : list of dict
        The words of largest stationary mass.
    temperatures : list of WordTilt
    errors : list of dict
        part, error (class name), text: the parts without an answer.
    converged : bool
    """

    leak: FloatArray
    mean_leak: float | None
    max_leak: float
    max_unresolved: float
    n_passes: int
    balance: BalanceResult | None
    gaps: dict[str, GapResult]
    level: float | None
    n_superior: int
    words: list[dict[str, Any]]
    temperatures: list[WordTilt]
    errors: list[dict[str, str]]
    converged: bool


def study_words(
    chain: WordChain,
    betas: Sequence[float],
    *,
    level: float = LEVEL,
    rng: int = 0,
    num_threads: int | None = None,
    progress: bool = False,
) -> WordStudy:
    """The study of a chain with its reward. Without a word of reward >= level there are no hitting
    times."""
    if chain.reward is None:
        raise InvalidChainError("the words have no reward; give reward=")
    errors: list[dict[str, str]] = []
    options: dict[str, Any] = {"num_threads": num_threads, "progress": progress}

    def attempt(part: str, call: Callable[[], Any]) -> Any:
        try:
            return stage(part, call)
        except FastebmError as error:
            errors.append({"part": part, "error": type(error).__name__, "text": str(error)})
            return None

    balance = attempt("balance", lambda: detailed_balance(chain, num_threads=num_threads))
    gaps = dict[str, Any]()
    for kind in ("additive", "absolute"):
        find = partial(spectral_gap, chain, kind=kind, rng=rng, **options)
        gaps[kind] = attempt(f"{kind} gap", find)
    gaps = {kind: gap for kind, gap in gaps.items() if gap is not None}
    superior: BoolArray = superior_states(np.asarray(chain.reward), level)
    reached = level if superior.any() else None
    tilted = sweep(chain, None, betas, level=reached, rng=rng, **options)
    temperatures = [_tilt(chain, found, num_threads) for found in tilted]
    parts = [balance, *gaps.values(), *temperatures]
    return WordStudy(
        leak=chain.leak,
        mean_leak=None if balance is None else float(balance.pi @ chain.leak),
        max_leak=float(chain.leak.max()),
        max_unresolved=float(chain.unresolved.max()),
        n_passes=chain.n_passes,
        balance=balance,
        gaps=gaps,
        level=reached,
        n_superior=int(np.count_nonzero(superior)),
        words=[] if balance is None else heaviest_states(chain, balance.pi, N_WORDS),
        temperatures=temperatures,
        errors=errors + [error for found in temperatures for error in found.errors],
        converged=not errors and all(bool(part.converged) for part in parts),
    )


def _tilt(chain: WordChain, found: Temperature, num_threads: int | None) -> WordTilt:
    """A temperature with the balance of its chain, and its heaviest words."""
    balance, errors = None, list(found.errors)
    try:
        balance = stage(
            f"balance at {found.beta!r}",
            lambda: detailed_balance(
                tilted_at(chain, None, found.beta, num_threads), num_threads=num_threads
            ),
        )
    except FastebmError as error:
        text = f"at beta {found.beta:g}: {error}"
        errors.append({"part": "balance", "error": type(error).__name__, "text": text})
    return WordTilt(
        beta=found.beta,
        mean_reward=found.mean_reward,
        reference_kl=found.reference_kl,
        gap=found.gap,
        flux_violation=None if balance is None else balance.flux_violation,
        entropy_production=None if balance is None else balance.entropy_production,
        hitting=found.hitting,
        words=[] if balance is None else heaviest_states(chain, balance.pi, N_WORDS),
        errors=errors,
        converged=found.converged and balance is not None and bool(balance.converged),
    )
