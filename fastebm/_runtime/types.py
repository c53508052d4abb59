"""Types that signatures share."""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
Float32Array: TypeAlias = npt.NDArray[np.float32]
IntArray: TypeAlias = npt.NDArray[np.int64]
Int32Array: TypeAlias = npt.NDArray[np.int32]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
#: A bool mask as the core takes it.
ByteMask: TypeAlias = npt.NDArray[np.uint8]

#: States of a chain: a bool mask (n_states,), state numbers, or one number.
States: TypeAlias = npt.ArrayLike
#: What Scientific Python SPEC 7 accepts as rng (scientific-python.org/specs/spec-0007).
RNG: TypeAlias = (
    int
    | Sequence[int]
    | np.random.Generator
    | np.random.BitGenerator
    | np.random.SeedSequence
    | None
)
#: Called with the progress of a long call as a dict.
Callback: TypeAlias = Callable[[dict[str, Any]], None]
Path: TypeAlias = str | os.PathLike[str]
#: Names of the states, one for each.
Labels: TypeAlias = Sequence[Any]
