"""The pattern of a lattice, computed from the state number."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.lazy import lazy
from .._runtime.types import FloatArray
from ..errors import InvalidChainError
from .computed import ComputedPattern
from .graph import Classes
from .pattern import FindRule, Recipe

MAX_STATES, MAX_AXES = 2**62, 62


class LatticePattern(ComputedPattern):
    """Steps that change one digit of the state, a number in mixed radix: to a neighbouring value on
    a cycle, or to any other value.

    Sums over all other values of a digit are formed as the values below plus the values above, not
    as the whole minus the value itself: products of non-negative vectors stay non-negative, and
    still cost two additions a number.

    Parameters
    ----------
    shape : tuple of int
        In C order: the last digit changes fastest.
    cyclic : bool
        Each axis is a cycle, otherwise a complete graph.
    self_loop : bool
        Ones on the diagonal.
    """

    _kernel: _core.LatticeKernel

    def __init__(self, shape: tuple[int, ...], *, cyclic: bool, self_loop: bool) -> None:
        self.shape, self.cyclic, self.self_loop = shape, cyclic, self_loop
        kernel = _core.LatticeKernel(np.array(shape[::-1], np.int64), cyclic, self_loop)
        super().__init__(
            kernel, kernel.n_states * kernel.degree, columns=kernel, log_span=0.0, all_ones=True
        )
        self.max_degree = kernel.degree

    @property
    def degree(self) -> int:
        """Entries of each row."""
        return self._kernel.degree

    @property
    def recipe(self) -> Recipe:
        facts = {
            "kind": "lattice",
            "shape": list(self.shape),
            "cyclic": self.cyclic,
            "self_loop": self.self_loop,
        }
        return facts, {}

    @classmethod
    def from_recipe(
        cls, recipe: dict[str, Any], arrays: Mapping[str, Any], find_rule: FindRule
    ) -> "LatticePattern":
        shape = tuple(
            validate.count(length, "a length of the lattice") for length in recipe["shape"]
        )
        if not 1 <= len(shape) <= MAX_AXES or math.prod(shape) > MAX_STATES:
            raise InvalidChainError(f"a lattice of shape {shape} has too many axes or states")
        cyclic, self_loop = (validate.flag(recipe[name], name) for name in ("cyclic", "self_loop"))
        return cls(shape, cyclic=cyclic, self_loop=self_loop)

    @property
    def identity(self) -> tuple[object, ...]:
        return self.recipe

    @property
    def potential(self) -> FloatArray:
        return np.broadcast_to(0.0, (self.n_states,))  # zeros that take no memory

    @lazy
    def classes(self) -> Classes:
        """One class. Its period is 2 exactly if no closed path has odd length: even cycles, or
        complete graphs of two states."""
        even = all(length % 2 == 0 for length in self.shape) if self.cyclic else self.shape[0] == 2
        period = 2 if even and not self.self_loop else 1
        one = np.ones(1, np.int64)
        return (
            np.zeros(self.n_states, np.int32),
            np.ones(1, bool),
            period * one,
            self.n_states * one,
        )
