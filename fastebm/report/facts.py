"""Facts about a chain, a run and a sample that reports, the demo and the command line share."""

import math
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy
import scipy.sparse as sp

from .._runtime import validate
from .._runtime.results import Result
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, BoolArray, FloatArray
from .._version import __version__
from ..chains.chain import MarkovChain
from ..datasets import HistoryLabels
from ..equilibrium.structure import on_closed_class
from ..errors import InvalidChainError, ReducibleChainError
from ..simulation.hitting_sample import HittingSample
from ..simulation.simulate import superior_states
from ..spectral.eigen_result import EigenResult
from .files import MAX_LISTED

# Real language models have states that no run ever visits (a sentence start that is entered with
# probability 1e-99). States of less stationary mass than this count as rare: a worst-case bound
# over them says nothing useful.
RARE = 1e-20


def seeded(rng: RNG) -> tuple[int | None, np.random.Generator]:
    """(seed, Generator). The seed repeats the run: it is drawn if `rng` is None, and is None if
    `rng` is a Generator."""
    if rng is None:
        rng = int(np.random.default_rng().integers(2**53))  # JSON readers keep integers up to here
    seed = int(rng) if isinstance(rng, (int, np.integer)) else None
    return seed, np.random.default_rng(rng)


def versions() -> dict[str, str]:
    """The versions of the packages that computed the numbers."""
    return {
        "fastebm": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }


def parts_of(found: Mapping[str, Any]) -> Iterator[tuple[str, Result]]:
    """(name, result) of every result, including those in dictionaries of results."""
    for name, value in found.items():
        for key, item in value.items() if isinstance(value, dict) else [(None, value)]:
            if isinstance(item, Result):
                yield name if key is None else f"{name}: {key}", item


def encloses(eigen: EigenResult) -> bool:
    """Whether the errors of the rates are proven: of reversible chains, but for what did not
    converge."""
    return eigen.criterion == "error" and bool(np.isfinite(eigen.rate_errors).all())


def describe(chain: MarkovChain) -> dict[str, Any]:
    """Size, storage, labels, reward and lag of a chain."""
    facts = {
        "n_states": chain.n_states,
        "nnz": chain.nnz,
        "dtype": str(chain.dtype),
        "storage": chain.storage,
        "nbytes": chain.nbytes,
        "labels": chain.labels is not None,
        "reward": chain.reward is not None,
        "lag": chain.lag,
    }
    return facts | {"beta": chain.beta} if hasattr(chain, "beta") else facts


def listed_labels(chain: MarkovChain) -> list[str] | None:
    """The labels of the states, to go with lists by state in JSON, which summarises longer ones."""
    if chain.labels is None or chain.n_states > MAX_LISTED:
        return None
    return [str(chain.labels[state]) for state in range(chain.n_states)]


def reversible(chain: MarkovChain) -> bool:
    """Whether the chain is reversible on its closed class; False if it has several."""
    try:
        return on_closed_class(chain).is_reversible
    except ReducibleChainError:
        return False


def named(chain: MarkovChain, state: int | np.integer) -> dict[str, Any]:
    """A state by its number and, if it has one, its label."""
    return {
        "state": int(state),
        "label": None if chain.labels is None else str(chain.labels[int(state)]),
    }


def most_probable(chain: MarkovChain) -> dict[str, Any]:
    """The state of largest stationary mass, with that mass."""
    pi = chain._law.take(resolve_threads(None)).pi
    return named(chain, np.argmax(pi)) | {"pi": float(pi.max())}


def rare(pi: FloatArray) -> dict[str, Any]:
    """Number and total mass of the states of stationary mass below RARE."""
    below = pi < RARE
    return {
        "threshold": RARE,
        "n_states": int(np.count_nonzero(below)),
        "mass": float(pi[below].sum()),
    }


def score_of(chain: MarkovChain, score: npt.ArrayLike | None) -> FloatArray | None:
    """The score of the states, by default the chain's reward; None if there is no such vector."""
    values: Any = chain.reward if score is None else score
    if values is None or sp.issparse(values):
        return None
    return validate.vector(values, chain.n_states, "score", chain.labels, allow_minus_inf=True)


def target_of(chain: MarkovChain, score: npt.ArrayLike | None, level: float | None) -> BoolArray:
    """The superior states as a bool mask, not empty; the score defaults to the chain's reward."""
    if level is None:
        raise InvalidChainError("a score needs a level; give level= as well")
    score = score_of(chain, score)
    if score is None:
        raise InvalidChainError(
            "a level needs a score of the states and the chain has no reward vector; give score="
        )
    target = superior_states(score, level)
    if not target.any():
        raise InvalidChainError(
            f"no state has a score of {level} or more; the largest is {score.max():.10g}"
        )
    return target


def standard_errors(mean: float, sample: HittingSample) -> float | None:
    """(Monte Carlo mean - mean) / its standard error; None if one is infinite or only a bound."""
    difference, error = sample.mean - mean, sample.std / math.sqrt(sample.n_walkers)
    if sample.mean_is_lower_bound or not math.isfinite(difference):
        return None
    if error > 0.0:
        return difference / error
    return 0.0 if difference == 0.0 else math.copysign(math.inf, difference)


def version_of(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def heaviest_words(labels: HistoryLabels, pi: FloatArray, n: int) -> list[dict[str, Any]]:
    """The n last words of largest stationary mass; the empty history has none."""
    last = labels.last
    mass = np.bincount(last[last >= 0], pi[last >= 0])
    return [
        {"word": labels.words[w], "mass": mass[w]} for w in np.argsort(-mass, kind="stable")[:n]
    ]


def heaviest_states(chain: MarkovChain, pi: FloatArray, n: int) -> list[dict[str, Any]]:
    """The n states of largest stationary mass, with that mass."""
    order = np.argsort(-pi, kind="stable")[:n]
    return [named(chain, state) | {"pi": float(pi[state])} for state in order]


def known_digits(value: float, relative_error: float) -> str:
    """`value` with the decimals that this error leaves, six at most."""
    off = abs(value) * relative_error
    if not (math.isfinite(off) and off < 1.0):
        return f"{value:.3g}"
    return f"{value:.{6 if off == 0.0 else min(6, math.floor(-math.log10(off)))}f}"


def between(ends: tuple[float, float], digits: int = 4) -> str:
    """An interval as text, rounded outward."""
    low, high = ends
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{low:g} to {high:g}"
    text = [f"{low:.{digits}f}", f"{high:.{digits}f}"]
    unit = 10.0**-digits
    if float(text[0]) > low:
        text[0] = f"{low - unit:.{digits}f}"
    if float(text[1]) < high:
        text[1] = f"{high + unit:.{digits}f}"
    return f"{text[0]} to {text[1]}"
