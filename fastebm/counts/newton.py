"""Newton's method for the convex likelihoods of pairs of states.

Everything that is estimated from counts is one convex problem. The dual of the reversible
likelihood, the least action of arXiv 2512.10047 and the Bradley-Terry model all minimise
``sum w(x, y) K(v(x) - v(y))``, and the C core solves it once (`pair_newton`). Its steps need no
value of the function, whose differences would be rounding: the third derivative of K is at most its
second, which bounds how far a step may go (Sun & Tran-Dinh 2019).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from .. import _core
from .._runtime.checkpoint import fingerprint
from .._runtime.pacing import ENTRIES_PER_CALL
from .._runtime.progress import interruptible
from .._runtime.resumable import State, has_checkpoint, save, stage
from .._runtime.types import Callback
from .._runtime.warn import warn_unconverged
from .cluster_shift import cluster_balance

MAX_NEWTON = 200
# Rounds of Newton's method, between which clusters are balanced.
MAX_BALANCES = 8


class NewtonFit(NamedTuple):
    """A finished fit. `converged`: the last step was at most `tol`, and no cluster of states is out
    of balance with the others by more than a shift of `tol` (see `cluster_shift`)."""

    potential: _core.PairNewton
    converged: bool


def run_newton(
    potential: _core.PairNewton,
    description: str,
    *,
    progress: bool = False,
    callback: Callback | None = None,
    partial: Callable[[], Any] = lambda: None,
) -> _core.PairNewton:
    """Run `_core.PairNewton` to its end in pieces between which Ctrl-C is answered; `description`
    tells it apart from others on the same pairs with the same start."""
    products = max(1, ENTRIES_PER_CALL // max(potential.graph.nnz, 1))
    reached: State | None = None

    def run() -> _core.PairNewton:
        nonlocal reached
        with interruptible(description, partial, progress=progress, callback=callback) as monitor:
            done = False
            while not done:
                done = potential.run(products)
                if has_checkpoint():
                    reached = _arrays(potential)
                    save()
                monitor(
                    potential.n_newton,
                    step=potential.step_size,
                    imbalance=potential.imbalance,
                    n_products=potential.n_products,
                )
        return potential

    def restored(saved: State) -> _core.PairNewton:
        potential.restore(saved["vectors"], saved["weight"], saved["numbers"])
        return potential

    if not has_checkpoint():
        return run()
    graph = potential.graph
    begin = _arrays(potential)  # but for the weights, which it does not read
    pairs = (graph.indptr, graph.indices, graph.forward, graph.backward)
    parts = (*pairs, begin["vectors"], begin["numbers"])
    return stage(
        f"newton {fingerprint(description, *parts)}",
        run,
        pack=_arrays,
        unpack=restored,
        state=lambda: reached,
        restore=restored,
    )


def _arrays(potential: _core.PairNewton) -> State:
    return dict(zip(("vectors", "weight", "numbers"), potential.state(), strict=True))


def newton(
    graph: _core.PairGraph,
    kind: str,
    tol: float,
    threads: int,
    description: str,
    *,
    guess: bool = True,
    max_newton: int = MAX_NEWTON,
    progress: bool = False,
    callback: Callback | None = None,
) -> NewtonFit:
    """The fit of the pair graph; warns if it did not converge."""
    potential = _core.PairNewton(graph, kind, guess, tol, max_newton, threads)
    for left in reversed(range(MAX_BALANCES)):
        run_newton(potential, description, progress=progress, callback=callback)
        if potential.n_newton >= max_newton:
            reason = (
                f"the step of log pi is still {potential.step_size:.3g} after {max_newton} Newton "
                "steps"
            )
            break
        balance = cluster_balance(potential, kind)
        if balance.shift <= max(2.0 * tol, balance.rounding):
            return NewtonFit(potential, True)
        if not left:
            reason = (
                "a set of states is so weakly connected to the others that rounding hides where "
                f"its values lie among theirs: they may be off by {balance.shift:.3g}, above "
                f"tol = {tol:.3g}"
            )
            break
        potential.restart(balance.step)
    warn_unconverged(f"{description}: {reason}")
    return NewtonFit(potential, False)
