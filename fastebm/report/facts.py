"""What a report, the demo and the command line say alike of a chain, a run and a sample."""

import math
import platform

import numpy as np
import scipy
import scipy.sparse as sp

from .._runtime import validate
from .._runtime.results import Result
from .._version import __version__
from ..equilibrium.stationary import stationary
from ..equilibrium.structure import closed_class
from ..errors import FastebmError, InvalidChainError
from ..simulation.simulate import superior_states

# Real language models have states that no run ever sees (a sentence start entered with probability
# 1e-99): below this mass a state counts as rare, and what a worst-case bound says there is no news.
RARE = 1e-20


def seeded(rng):
    """(the int that repeats the run, or None where `rng` is no int; a Generator). A seed is drawn
    for None."""
    if rng is None:
        rng = int(np.random.default_rng().integers(2**53))  # JSON readers keep integers up to here
    seed = int(rng) if isinstance(rng, (int, np.integer)) else None
    return seed, np.random.default_rng(rng)


def versions():
    """Of what computed the numbers."""
    return {
        "fastebm": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }


def parts_of(found):
    """(name, result) of everything that was found, also of what stands in a dictionary of
    results."""
    for name, value in found.items():
        for key, item in value.items() if isinstance(value, dict) else [(None, value)]:
            if isinstance(item, Result):
                yield name if key is None else f"{name}: {key}", item


def encloses(eigen):
    """Whether each eigenvalue is within its residual of an exact one: of a reversible chain, whose
    S is symmetric."""
    return eigen.method != "block krylov-schur"


def describe(chain):
    """What a chain is, as a dict."""
    facts = {
        "n_states": chain.n_states,
        "nnz": chain.nnz,
        "dtype": str(chain.dtype),
        "storage": chain.storage,
        "nbytes": chain.nbytes,
        "labels": chain.labels is not None,
        "reward": chain.reward is not None,
    }
    return facts | {"beta": chain.beta} if hasattr(chain, "beta") else facts


def reversible(chain):
    """Whether the chain is reversible on its closed class; False where there are several."""
    try:
        inside = closed_class(chain)
    except FastebmError:
        return False
    return (chain if inside is None else chain.restrict(inside)).is_reversible


def named(chain, state):
    """A state by its number and, where it has one, its label."""
    return {
        "state": int(state),
        "label": None if chain.labels is None else str(chain.labels[int(state)]),
    }


def most_probable(chain):
    """The state of largest stationary mass, with that mass."""
    pi = stationary(chain).pi
    return named(chain, np.argmax(pi)) | {"pi": float(pi.max())}


def rare(pi):
    """The states of stationary mass below RARE: how many there are and their mass."""
    below = pi < RARE
    return {
        "threshold": RARE,
        "n_states": int(np.count_nonzero(below)),
        "mass": float(pi[below].sum()),
    }


def score_of(chain, score):
    """The score of the states, by default the chain's reward; None where there is no such
    vector."""
    score = chain.reward if score is None else score
    return (
        None
        if score is None or sp.issparse(score)
        else validate.vector(score, chain.n_states, "score", allow_minus_inf=True)
    )


def target_of(chain, score, level):
    """The superior states as a bool mask that is not empty; the score defaults to the chain's
    reward."""
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


def standard_errors(mean, sample):
    """(Monte Carlo mean - mean) / its standard error, None where that has no meaning."""
    difference, error = sample.mean - mean, sample.std / math.sqrt(sample.n_walkers)
    if sample.mean_is_lower_bound or not math.isfinite(difference):
        return None
    return (
        difference / error
        if error > 0.0
        else (0.0 if difference == 0.0 else math.copysign(math.inf, difference))
    )
