"""Random walks on lattices whose transitions are computed from the state number and never
stored."""

import math
import operator
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.memory import forecast_memory
from .._runtime.types import Labels
from ..errors import InvalidChainError
from ..patterns.lattice import MAX_AXES, MAX_STATES, LatticePattern
from .chain import MarkovChain


def _axes(value: int, name: str) -> int:
    value = validate.count(value, name)
    if value > MAX_AXES:
        raise InvalidChainError(
            f"{name} must be at most {MAX_AXES}, got {value}: a lattice has at most 2^62 states"
        )
    return value


def _walk(
    shape: tuple[int, ...],
    holding: float,
    self_loop: bool,
    *,
    cyclic: bool,
    argument: str,
    labels: Labels | None,
    reward: npt.ArrayLike | None,
) -> MarkovChain:
    holding = validate.number(holding, "holding", above=-np.finfo(float).tiny, below=1.0)
    n = math.prod(shape)
    if n > MAX_STATES:
        raise InvalidChainError(
            f"a lattice has at most 2^62 states, this one has {n}; make it smaller"
        )
    forecast_memory(
        8 * n * (2 if holding else 1), f"a lattice of {n:,} states", f"lower {argument}"
    )
    pattern = LatticePattern(shape, cyclic=cyclic, self_loop=bool(self_loop))
    row = np.full(n, (1.0 - holding) / pattern.degree)
    shift = np.full(n, holding) if holding else None
    return MarkovChain._from_parts(pattern, row, None, shift, labels=labels, reward=reward)


def Hypercube(
    m: int,
    *,
    holding: float = 0.5,
    self_loop: bool = False,
    labels: Labels | None = None,
    reward: npt.ArrayLike | None = None,
) -> MarkovChain:
    """The random walk on the m-cube: hold with probability `holding`, otherwise flip one of the m
    bits, chosen uniformly. No matrix is stored.

    Parameters
    ----------
    m : int
        Number of bits; the 2^m states are the numbers 0..2^m - 1.
    holding : float
        In [0, 1). At the default 1/2 the walk is lazy, with eigenvalues 1 - k/m (Levin & Peres,
        sections 2.3 and 12.4).
    self_loop : bool
        Staying is one more of the m + 1 equally likely moves, an entry of the pattern: a tilt
        reweights it like the other entries. (It reweights `holding` too, which has a weight of its
        own.)
    labels, reward
        As in `MarkovChain`.

    Returns
    -------
    MarkovChain
        Reversible with uniform pi. It stores one row scaling of n_states numbers, and a shift if
        `holding` is not 0. A product takes m + 1 passes over the vector, most of them in cache. A
        tilt of it is computed, too. It is pickled and saved as its recipe.

    Raises
    ------
    InvalidChainError
        m is below 1 or above 62, or holding is outside [0, 1).
    MemoryForecastError
        Even vectors of n_states numbers do not fit.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> cube = fe.Hypercube(10)
    >>> round(fe.spectral_gap(cube).gap, 12), cube.n_states
    (0.1, 1024)
    >>> fe.tilt(cube, np.arange(1024) % 2, beta=0.5).storage
    'computed + row + col + shift'
    """
    return _walk(
        (2,) * _axes(m, "m"),
        holding,
        self_loop,
        cyclic=False,
        argument="m",
        labels=labels,
        reward=reward,
    )


def Torus(
    shape: int | Sequence[int],
    *,
    holding: float = 0.0,
    self_loop: bool = False,
    labels: Labels | None = None,
    reward: npt.ArrayLike | None = None,
) -> MarkovChain:
    """The random walk on a discrete torus: hold with probability `holding`, otherwise step in one
    of the 2 d directions, chosen uniformly, wrapping around. No matrix is stored.

    Parameters
    ----------
    shape : int or sequence of d ints
        Lengths of the axes, at least 1. States are numbered in C order (the last coordinate changes
        fastest), as by `numpy.ravel_multi_index`. On an axis of length 2 both directions lead to
        the same state, on one of length 1 to the state itself.
    holding : float
        In [0, 1).
    self_loop : bool
        Staying is one more of the 2 d + 1 equally likely moves; see `Hypercube`.
    labels, reward
        As in `MarkovChain`.

    Returns
    -------
    MarkovChain
        Reversible with uniform pi. The eigenvalues are holding + (1 - holding) times the mean of
        cos(2 pi k_i / L_i) over the axes (Levin & Peres, section 12.3). Memory and products
        are as of `Hypercube`.

    Raises
    ------
    InvalidChainError
        A length is below 1, there are more than 62 axes or 2^62 states, or holding is outside
        [0, 1).
    MemoryForecastError
        As of `Hypercube`.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> torus = fe.Torus((60, 50), holding=0.25)
    >>> gap = 0.75 * (1 - np.cos(2 * np.pi / 60)) / 2
    >>> bool(np.isclose(fe.spectral_gap(torus).gap, gap, rtol=1e-8))
    True
    """
    lengths: tuple[int, ...]
    try:
        lengths = (operator.index(shape),)  # type: ignore[arg-type]  # refused: a sequence
    except TypeError:
        if isinstance(shape, str) or not hasattr(shape, "__iter__"):
            raise TypeError(
                f"shape must be an integer or a sequence of integers, not {type(shape).__name__}"
            ) from None
        lengths = tuple(shape)
    if not lengths:
        raise InvalidChainError("shape is empty; a torus needs at least one axis")
    lengths = tuple(validate.count(length, f"shape[{i}]") for i, length in enumerate(lengths))
    _axes(len(lengths), "the number of axes")
    return _walk(
        lengths, holding, self_loop, cyclic=True, argument="shape", labels=labels, reward=reward
    )


def HammingGraph(
    length: int,
    alphabet: int,
    *,
    holding: float = 0.0,
    self_loop: bool = False,
    labels: Labels | None = None,
    reward: npt.ArrayLike | None = None,
) -> MarkovChain:
    """The random walk on words: hold with probability `holding`, otherwise replace the letter at
    one place, chosen uniformly, by one of the other letters, chosen uniformly. No matrix is stored.

    Parameters
    ----------
    length : int
        Letters of a word.
    alphabet : int
        Number q of letters, at least 2. The state of a word is its number in base q, with the last
        letter as the units.
    holding : float
        In [0, 1).
    self_loop : bool
        Staying is one more of the equally likely moves; see `Hypercube`.
    labels, reward
        As in `MarkovChain`.

    Returns
    -------
    MarkovChain
        Reversible with uniform pi. The eigenvalues are
        holding + (1 - holding) (1 - k q / (length (q - 1))), k = 0..length, of multiplicity
        C(length, k) (q - 1)^k. Memory and products are as of `Hypercube`.

    Raises
    ------
    InvalidChainError
        length is below 1, alphabet is below 2, there are more than 2^62 states, or holding is
        outside [0, 1).
    MemoryForecastError
        As of `Hypercube`.

    Examples
    --------
    >>> import fastebm as fe
    >>> words = fe.HammingGraph(5, 4)
    >>> words.n_states, round(fe.spectral_gap(words).gap * 15, 9)
    (1024, 4.0)
    """
    length, alphabet = _axes(length, "length"), validate.count(alphabet, "alphabet", minimum=2)
    return _walk(
        (alphabet,) * length,
        holding,
        self_loop,
        cyclic=False,
        argument="length or alphabet",
        labels=labels,
        reward=reward,
    )
