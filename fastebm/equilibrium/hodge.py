"""The Hodge split of the log ratios of a chain: the gradient of a potential, and circulation."""

from typing import Any

import numpy as np

from .. import _core
from .._runtime.memory import forecast_memory
from .._runtime.types import Callback, FloatArray
from ..counts.connected_set import connected
from ..counts.cycles import rank_cycles
from ..counts.newton import newton
from ..patterns.scaled_pattern import ScaledPattern

# Cycles listed, as many as worst edges.
CYCLES_LISTED = 8


def hodge_split(
    scaled: ScaledPattern,
    log_pi: FloatArray,
    threads: int,
    progress: bool,
    callback: Callback | None,
) -> tuple[dict[str, Any], bool]:
    """(gradient_fraction, cycle_space and worst_cycles of `BalanceResult`, whether the solve
    converged)."""
    n, pattern = scaled.n_states, scaled.pattern
    forecast_memory(100 * pattern.nnz, "the Hodge split")
    graph = _core.PairGraph(pattern.matrix, pattern.transpose)
    rows = np.repeat(np.arange(n), np.diff(graph.indptr))
    log_row, log_col = scaled.log_row, scaled.log_col
    with np.errstate(divide="ignore", invalid="ignore"):
        forward, backward = np.log(graph.forward), np.log(graph.backward)
        two_way = np.isfinite(forward) & np.isfinite(backward) & np.isfinite(log_pi[rows])
        cycle_ratio = np.where(two_way, forward - backward, np.nan)  # scalings cancel along a cycle
        gradient = (
            (0.0 if log_row is None else log_row)
            - (0.0 if log_col is None else log_col)
            + np.zeros(n)
        )
        ratio = cycle_ratio + gradient[rows] - gradient[graph.indices]
        log_flux = np.where(
            two_way,
            log_pi[rows]
            + forward
            + (0.0 if log_row is None else log_row[rows])
            + (0.0 if log_col is None else log_col[graph.indices]),
            -np.inf,
        )
    upper = two_way & (graph.indices > rows)
    n_components = connected(n, graph.indptr, graph.indices, two_way)[1]
    if not upper.any():
        return {"gradient_fraction": 1.0, "cycle_space": 0, "worst_cycles": []}, True
    flux = np.exp(log_flux - log_flux.max())
    graph.forward[:], graph.backward[:] = flux, flux[graph.mirror]
    fit, converged = newton(
        graph,
        "least-squares",
        1e-6,
        threads,
        "the Hodge split",
        progress=progress,
        callback=callback,
    )
    # a flux that underflows relative to the largest has no weight
    weighted = upper & (graph.forward > 0) & (graph.backward > 0)
    x, y = rows[weighted], graph.indices[weighted]
    forward, backward = graph.forward[weighted], graph.backward[weighted]
    weight = 1.0 / (1.0 / forward + 1.0 / backward)
    curl = np.log(forward) - np.log(backward) - fit.v[x] + fit.v[y]
    size = float((weight * ratio[weighted] ** 2).sum())
    found, _ = rank_cycles(graph, cycle_ratio, None, CYCLES_LISTED)
    split = {
        "gradient_fraction": 1.0 - float((weight * curl**2).sum()) / size if size > 0 else 1.0,
        "cycle_space": int(upper.sum()) - n + int(n_components),
        "worst_cycles": [
            {"states": states, "affinity": affinity} for states, affinity, _, _ in found
        ],
    }
    return split, converged
