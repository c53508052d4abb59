"""Newton's method for the convex likelihoods of pairs of states."""

import warnings

from .. import _core
from .._runtime.pacing import ENTRIES_PER_CALL
from .._runtime.progress import interruptible
from ..errors import ConvergenceWarning

MAX_NEWTON = 200


def run_newton(potential, description, *, progress=False, callback=None, partial=lambda: None):
    """Run `_core.PotentialFit` to its end in pieces that Ctrl-C can come between."""
    products = max(1, ENTRIES_PER_CALL // max(potential.graph.nnz, 1))
    with interruptible(description, partial, progress=progress, callback=callback) as monitor:
        done = False
        while not done:
            done = potential.run(products)
            monitor(
                potential.n_newton,
                step=potential.step_size,
                imbalance=potential.imbalance,
                n_products=potential.n_products,
            )
    return potential


def newton(
    graph,
    kind,
    tol,
    threads,
    description,
    *,
    guess=True,
    max_newton=MAX_NEWTON,
    progress=False,
    callback=None,
):
    """A finished `_core.PotentialFit` of the pair graph; warns where it did not converge."""
    potential = _core.PotentialFit(graph, kind, guess, tol, max_newton, threads)
    run_newton(potential, description, progress=progress, callback=callback)
    if potential.n_newton >= max_newton:
        warnings.warn(
            f"{description}: the step of log pi is still {potential.step_size:.3g} after {max_newton} Newton steps",
            ConvergenceWarning,
            stacklevel=3,
        )
    return potential
