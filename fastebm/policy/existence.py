"""Whether the value of a first-exit problem is finite: class by class."""

import numpy as np

from .. import _core
from .._runtime.types import BoolArray
from ..errors import ConvergenceError, InvalidChainError
from ..patterns.graph import components
from .iteration import PerronSearch
from .log_kernel import LogKernel
from .perron_cycles import Report

# Accuracy to which the log of a spectral radius is found before it is called undecided.
DECIDED = 1e-13
# A log of a spectral radius this far from zero is decided, whatever rounding did.
CLEAR = 1e-6
MAX_ITER = 100_000


def require_finite(kernel: LogKernel, inside: BoolArray, states: BoolArray, report: Report) -> None:
    """Raise if the spectral radius of M on a communicating class of B is one or more, or cannot be
    told from one. It lies between the ends of Collatz and Wielandt, min and max of M v / v.

    Parameters
    ----------
    inside : ndarray bool
        B, among the states of `kernel`.
    states : ndarray bool
        These states, among those of the reference.
    """
    if kernel.largest_reward <= 0.0:
        return  # rows of M sum to one at most, and from every state some mass leaves
    part = kernel.chain._scaled.pattern.part(inside)
    labels, n_classes = components(part)
    numbers, own = np.flatnonzero(states), np.flatnonzero(inside)
    undecided: tuple[int, str] | None = None
    for members in _cyclic_classes(part, labels, n_classes):
        mask = np.zeros(kernel.n_states, bool)
        mask[own[members]] = True
        sub = kernel.restrict(mask)
        search = PerronSearch(sub, np.zeros(sub.n_states), DECIDED, MAX_ITER)
        step = search.run(report, is_decided=lambda low, high: low > CLEAR or high < -CLEAR)
        low = float(step.rho.min()) - step.rounding
        high = float(step.rho.max()) + step.rounding
        first = int(numbers[own[members[0]]])
        name = f"the class of state {first} ({len(members)} states)"
        if low >= 0.0:
            raise InvalidChainError(
                f"the value is infinite: on {name}, which can reach the exit, the spectral radius "
                f"of q exp(reward / beta) is at least exp({low:.6g}), so that staying there longer "
                "always earns more; raise beta, or lower the rewards of the class"
            )
        if high >= 0.0:
            undecided = first, f"{name} is between exp({low:.3g}) and exp({high:.3g})"
    if undecided is not None:
        raise ConvergenceError(
            "whether the value is finite is not decided: the spectral radius of q exp(reward / "
            f"beta) on {undecided[1]}, which rounding does not tell from one; raise beta, or lower "
            "the rewards of the class"
        )


def _cyclic_classes(
    part: _core.Csr, labels: np.ndarray[tuple[int, ...], np.dtype[np.int32]], n_classes: int
) -> list[np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    """The members of the classes with a cycle."""
    size = np.bincount(labels, minlength=n_classes)
    loops = np.zeros(n_classes, np.uint8)
    _core.components_loops(part, 0, part.n_states, labels, loops)
    order = np.argsort(labels, kind="stable")
    starts = np.concatenate([[0], np.cumsum(size)])
    return [order[starts[c] : starts[c + 1]] for c in np.flatnonzero((size > 1) | (loops > 0))]
