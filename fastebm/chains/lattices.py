"""Random walks on lattices whose transitions are computed from the state number and never stored."""

import math
import operator

import numpy as np

from .._runtime import validate
from .._runtime.memory import forecast_memory
from ..errors import InvalidChainError
from ..patterns.lattice import MAX_AXES, MAX_STATES, LatticePattern
from .chain import MarkovChain


def _axes(value, name):
    value = validate.count(value, name)
    if value > MAX_AXES:
        raise InvalidChainError(
            f"{name} must be at most {MAX_AXES}, got {value}: a lattice has at most 2^62 states"
        )
    return value


def _walk(shape, holding, self_loop, *, cyclic, labels, reward):
    holding = validate.number(holding, "holding", above=-np.finfo(float).tiny, below=1.0)
    n = math.prod(shape)
    if n > MAX_STATES:
        raise InvalidChainError(
            f"a lattice has at most 2^62 states, this one has {n}; make it smaller"
        )
    forecast_memory(8 * n * (2 if holding else 1), f"a chain of {n} states")
    pattern = LatticePattern(shape, cyclic=cyclic, self_loop=bool(self_loop))
    row = np.full(n, (1.0 - holding) / pattern.degree)
    shift = np.full(n, holding) if holding else None
    return MarkovChain._from_parts(pattern, row, None, shift, labels=labels, reward=reward)


def Hypercube(m, *, holding=0.5, self_loop=False, labels=None, reward=None):
    """The random walk on the m-cube: hold with probability `holding`, else flip a uniform one of m bits. Nothing is stored.

    Parameters
    ----------
    m : int
        Number of bits; the 2^m states are the numbers 0..2^m - 1.
    holding : float
        In [0, 1). At the default 1/2 the walk is lazy, with eigenvalues 1 - k/m (Levin & Peres, sections 2.3 and 12.4).
    self_loop : bool
        Staying is one more of the m + 1 equally likely moves, an entry of the pattern: a tilt by a reward reweights it like the
        others. (It does so to `holding` too, which has a weight of its own.)
    labels, reward
        As in `MarkovChain`.

    Returns
    -------
    MarkovChain
        Reversible with uniform pi; one row scaling of n_states numbers, and a shift where `holding` is not 0. A product costs
        m + 1 streams through the vector, most of them in cache. Tilting keeps it computed. Pickled and saved as its recipe.

    Raises
    ------
    InvalidChainError
        m below 1 or above 62, or holding outside [0, 1).
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
        (2,) * _axes(m, "m"), holding, self_loop, cyclic=False, labels=labels, reward=reward
    )


def Torus(shape, *, holding=0.0, self_loop=False, labels=None, reward=None):
    """The random walk on a discrete torus: hold with probability `holding`, else one step along a uniform one of the 2 d
    directions, wrapping around. Nothing is stored.

    Parameters
    ----------
    shape : int or sequence of d ints
        Lengths of the axes, at least 1; states are numbered in C order (the last coordinate changes fastest), as by
        `numpy.ravel_multi_index`. On an axis of length 2 both directions lead to the same state, on one of length 1 to the
        state itself.
    holding : float
        In [0, 1).
    self_loop : bool
        Staying is one more of the 2 d + 1 equally likely moves; see `Hypercube`.
    labels, reward
        As in `MarkovChain`.

    Returns
    -------
    MarkovChain
        Reversible with uniform pi; eigenvalues are holding + (1 - holding) times the mean of cos(2 pi k_i / L_i) over axes
        (Levin & Peres, section 12.3). See `Hypercube` for what it stores.

    Examples
    --------
    >>> import fastebm as fe
    >>> import numpy as np
    >>> torus = fe.Torus((60, 50), holding=0.25)
    >>> bool(np.isclose(fe.spectral_gap(torus).gap, 0.75 * (1 - np.cos(2 * np.pi / 60)) / 2, rtol=1e-8))
    True
    """
    try:
        shape = (operator.index(shape),)
    except TypeError:
        if isinstance(shape, str) or not hasattr(shape, "__iter__"):
            raise TypeError(
                f"shape must be an integer or a sequence of integers, not {type(shape).__name__}"
            ) from None
        shape = tuple(shape)
    if not shape:
        raise InvalidChainError("shape is empty; a torus needs at least one axis")
    shape = tuple(validate.count(length, f"shape[{i}]") for i, length in enumerate(shape))
    _axes(len(shape), "the number of axes")
    return _walk(shape, holding, self_loop, cyclic=True, labels=labels, reward=reward)


def HammingGraph(length, alphabet, *, holding=0.0, self_loop=False, labels=None, reward=None):
    """The random walk on words: hold with probability `holding`, else replace the letter at a uniform place by a uniform one of
    the others. Nothing is stored.

    Parameters
    ----------
    length : int
        Letters of a word.
    alphabet : int
        Number q of letters, at least 2; the state of a word is its number in base q, the last letter being the units.
    holding : float
        In [0, 1).
    self_loop : bool
        Staying is one more of the equally likely moves; see `Hypercube`.
    labels, reward
        As in `MarkovChain`.

    Returns
    -------
    MarkovChain
        Reversible with uniform pi; eigenvalues are holding + (1 - holding) (1 - k q / (length (q - 1))), k = 0..length, of
        multiplicity C(length, k) (q - 1)^k. See `Hypercube` for what it stores.

    Examples
    --------
    >>> import fastebm as fe
    >>> words = fe.HammingGraph(5, 4)
    >>> words.n_states, round(fe.spectral_gap(words).gap * 15, 9)
    (1024, 4.0)
    """
    length, alphabet = _axes(length, "length"), validate.count(alphabet, "alphabet", minimum=2)
    return _walk(
        (alphabet,) * length, holding, self_loop, cyclic=False, labels=labels, reward=reward
    )
