"""Trajectories in memory as arrays of state numbers. States may be given as numbers, words or other
names, and points may belong to no state."""

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

import numpy as np
import numpy.typing as npt

from .._runtime.labelled import is_series, is_table
from .._runtime.types import Labels
from ..errors import InvalidChainError

# Points that are searched for unassigned ones at a time: a memory map is not read whole.
_POINTS_A_PIECE = 4_000_000
_MIXED = "states are names in one place and numbers in another; write them one way"


class TrajectoryPieces:
    """The trajectories as arrays of state numbers, cut at points without a state.

    A point has no state if it is -1, NaN, None, pandas.NA or masked. Iterating reads the
    trajectories once.

    Parameters
    ----------
    trajectories : Iterable
        Arrays, lists, ranges or Series; one of them that holds scalars is one trajectory.
    labels : sequence, optional
        Names of the states, by which names in the trajectories are looked up. Without labels, names
        are numbered in the order in which they are first seen.

    Attributes
    ----------
    has_names : bool
        The states read so far are names, not numbers.
    n_unassigned : int
        Points without a state that were read so far.
    """

    def __init__(self, trajectories: Any, labels: Labels | None = None) -> None:
        self._given = _several(trajectories)
        self._labels = labels
        self._numbers: dict[Any, int] = {}
        self.has_names = self._has_numbers = False
        self.n_unassigned = 0

    @property
    def labels(self) -> Labels | None:
        """The labels that were given, or the names seen so far; None if states are numbers."""
        if self._labels is not None:
            return self._labels
        return tuple(self._numbers) if self.has_names else None

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        if self._labels is not None:
            self._numbers = {label: i for i, label in enumerate(self._labels)}
        for number, trajectory in enumerate(self._given):
            yield from self._cut(self._state_numbers(trajectory, number), number)

    def _state_numbers(self, trajectory: Any, number: int) -> npt.NDArray[Any]:
        """The states of one trajectory; -1 where it has none."""
        array = trajectory if isinstance(trajectory, np.ndarray) else _as_array(trajectory, number)
        if np.ma.is_masked(array):
            array = _filled(array)
        if array.ndim != 1:
            raise TypeError(f"trajectory {number} must be one-dimensional, not of {array.shape}")
        if array.dtype.kind in "OUS":
            return self._looked_up(array, number)
        if array.dtype.kind == "f" and array.size:  # pandas has whole numbers and NaN as floats
            array = _whole(array, number)
        if array.size and array.dtype.kind not in "iu":
            raise TypeError(
                f"trajectory {number} must hold state numbers or names, not dtype {array.dtype}"
            )
        if self.has_names and array.size:
            raise InvalidChainError(f"trajectory {number}: {_MIXED}")
        self._has_numbers |= array.size > 0
        return array

    def _looked_up(self, array: npt.NDArray[Any], number: int) -> npt.NDArray[Any]:
        points: list[Any] = array.tolist()
        missing = [_is_missing(point) for point in points]
        known = [point for point, is_missing in zip(points, missing, strict=True) if not is_missing]
        if all(isinstance(point, int) and not isinstance(point, bool) for point in known):
            for at, point in enumerate(points):
                if not missing[at] and not -(2**63) <= point < 2**63:
                    raise InvalidChainError(
                        f"trajectory {number} has state {point} at position {at}, which is beyond"
                        " the largest that can be counted; renumber the states"
                    )
            numbers = [-1 if gone else point for point, gone in zip(points, missing, strict=True)]
            return self._state_numbers(np.array(numbers, np.int64), number)
        if self._has_numbers:
            raise InvalidChainError(f"trajectory {number}: {_MIXED}")
        self.has_names = True
        states = np.full(len(points), -1, np.int64)
        for at, (point, is_missing) in enumerate(zip(points, missing, strict=True)):
            if not is_missing:
                states[at] = self._number_of(point, number, at)
        return states

    def _number_of(self, name: Any, number: int, at: int) -> int:
        try:
            if self._labels is None:
                return self._numbers.setdefault(name, len(self._numbers))
            return self._numbers[name]
        except KeyError:
            problem = "which is not among the labels"
        except TypeError:
            problem = "which cannot be the name of a state; use words or numbers"
        raise InvalidChainError(f"trajectory {number} has {name!r} at position {at}, {problem}")

    def _cut(self, x: npt.NDArray[Any], number: int) -> Iterator[npt.NDArray[Any]]:
        begin = 0
        for first in range(0, len(x), _POINTS_A_PIECE):
            part = np.asarray(x[first : first + _POINTS_A_PIECE])
            if part.dtype.kind == "u" or part.min() >= 0:
                continue
            if part.min() < -1:
                at = int(np.argmax(part < -1))
                raise InvalidChainError(
                    f"trajectory {number} has state {part[at]} at position {first + at}; states are"
                    " numbered from 0, and -1 marks a point without a state"
                )
            for at in (np.flatnonzero(part == -1) + first).tolist():
                if at > begin:
                    yield x[begin:at]
                begin = at + 1
                self.n_unassigned += 1
        if begin < len(x) or begin == 0:
            yield x[begin:]


def _several(trajectories: Any) -> Iterable[Any]:
    """The trajectories as an iterable. One that holds scalars is a single trajectory."""
    if is_table(trajectories):
        raise TypeError(
            "a DataFrame does not say where its trajectories begin; pass a list of arrays, such as "
            "[group.state.to_numpy() for _, group in frame.groupby('trajectory')] in pandas"
        )
    if is_series(trajectories) or isinstance(trajectories, range):  # in the order of its rows
        return [trajectories]
    if hasattr(trajectories, "__array__"):  # such as a pandas.Categorical, or a tensor
        trajectories = np.asanyarray(trajectories)  # masked arrays keep their mask
    if isinstance(trajectories, np.ndarray) and trajectories.ndim == 1:
        is_one = trajectories.dtype != object or _is_point(
            trajectories[0] if len(trajectories) else 0
        )
        return [trajectories] if is_one else trajectories
    if isinstance(trajectories, (list, tuple)) and trajectories and _is_point(trajectories[0]):
        return [trajectories]
    several: Iterable[Any] = trajectories
    return several


def _is_point(value: Any) -> bool:
    return isinstance(value, (str, bytes)) or not hasattr(value, "__iter__")


def _as_array(trajectory: Any, number: int) -> npt.NDArray[Any]:
    if _is_point(trajectory) or isinstance(trajectory, (Set, Mapping)):
        raise TypeError(
            f"trajectory {number} is {trajectory!r:.100}, which is no sequence of states; pass a "
            "list of trajectories, or one trajectory as a list"
        )
    if is_series(trajectory) or hasattr(trajectory, "__array__") or isinstance(trajectory, range):
        return np.asarray(trajectory)
    points = list(trajectory)
    kinds = {type(point) for point in points}
    if kinds <= {int} or all(issubclass(kind, (np.number, int, float)) for kind in kinds):
        return np.asarray(points, np.int64 if not points else None)
    array = np.empty(len(points), object)  # NumPy would turn ["a", 1] into two words
    array[:] = points
    return array


def _is_missing(point: Any) -> bool:
    # pandas.NA is compared first: its != has no truth value
    is_na = point is None or type(point).__name__ in ("NAType", "NaTType")
    return is_na or bool(point != point)


def _filled(array: Any) -> npt.NDArray[Any]:
    """A masked array with NaN, -1 or None at its masked points."""
    if array.dtype.kind in "fi":
        return np.asarray(array.filled(np.nan if array.dtype.kind == "f" else -1))
    return np.array(array.tolist(), object)


def _whole(array: npt.NDArray[Any], number: int) -> npt.NDArray[Any]:
    """Floats that are whole numbers or NaN, as integers; NaN becomes -1."""
    missing = np.isnan(array)
    states = np.where(missing, -1, array)
    off = (states != np.rint(states)) | (np.abs(states) >= 2**53)
    if off.any():
        at = int(np.argmax(off))
        raise TypeError(
            f"trajectory {number} has {states[at]} at position {at}; states are whole numbers or"
            " names; discretize() turns numbers into states"
        )
    return states.astype(np.int64)
