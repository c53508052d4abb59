"""The pattern of a lattice, computed from the state number."""

from functools import cached_property

import numpy as np

from .. import _core
from .computed import ComputedPattern

MAX_STATES, MAX_AXES = 2**62, 62


class LatticePattern(ComputedPattern):
    """Steps that change one digit of the state, a number in mixed radix: to a neighbour on a cycle, or to any other value.

    shape is in C order, the last digit changes fastest. cyclic: cycles, else complete graphs. self_loop: ones on the diagonal.
    """

    def __init__(self, shape, *, cyclic, self_loop):
        self.shape, self.cyclic, self.self_loop = shape, cyclic, self_loop
        kernel = _core.LatticeKernel(np.array(shape[::-1], np.int64), cyclic, self_loop)
        super().__init__(
            kernel, kernel.n_states * kernel.degree, columns=kernel, log_span=0.0, all_ones=True
        )

    @property
    def degree(self):
        """Entries of each row."""
        return self._kernel.degree

    @property
    def recipe(self):
        facts = {
            "kind": "lattice",
            "shape": list(self.shape),
            "cyclic": self.cyclic,
            "self_loop": self.self_loop,
        }
        return facts, {}

    @classmethod
    def from_recipe(cls, recipe, arrays):
        return cls(tuple(recipe["shape"]), cyclic=recipe["cyclic"], self_loop=recipe["self_loop"])

    @property
    def identity(self):
        return self.recipe

    @property
    def potential(self):
        return np.broadcast_to(0.0, self.n_states)  # zeros that take no memory

    @cached_property
    def classes(self):
        """One class; its period is 2 exactly where no closed path is odd: even cycles, or complete graphs on two letters."""
        even = all(length % 2 == 0 for length in self.shape) if self.cyclic else self.shape[0] == 2
        period = 2 if even and not self.self_loop else 1
        one = np.ones(1, np.int64)
        return (
            np.zeros(self.n_states, np.int32),
            np.ones(1, bool),
            period * one,
            self.n_states * one,
        )
