"""Standard errors of potentials: the sandwich estimator on the Laplacian of a graph."""

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from .. import _core
from .._runtime.memory import forecast_memory
from .._runtime.progress import interruptible
from .._runtime.random import philox_key
from .._runtime.resumable import State, save, stage
from .._runtime.types import RNG, Callback, FloatArray, Int32Array, IntArray

# Up to this many states the sandwich is formed exactly (an n^3 inverse, 2 s); beyond, it is
# estimated from random probes.
EXACT_STATES = 2000
# Solves of the estimate: a standard error is then accurate to about 1 / sqrt(2 * 200) = 5 %.
PROBES = 200


def centered(
    V: FloatArray, components: Int32Array, n_components: int, weights: FloatArray
) -> FloatArray:
    """V with weighted mean zero in each component."""
    mass = np.bincount(components, weights, minlength=n_components)
    mean = np.bincount(components, weights * V, minlength=n_components) / np.where(
        mass > 0, mass, 1.0
    )
    return V - mean[components]


def multinomial_errors(
    fit: _core.PairNewton,
    components: Int32Array,
    n_components: int,
    gauge: FloatArray,
    total: FloatArray,
    scale: FloatArray,
    rng: RNG,
    progress: bool,
    callback: Callback | None,
) -> tuple[FloatArray, str]:
    """(standard errors of the centered solution, kind).

    Row x of the weights of the fit is `scale[x]` times a multinomial of total[x] / scale[x] draws;
    gauge (n_states,) holds the weights of the mean that is set to zero.
    """
    graph = fit.graph
    n = graph.n_states
    slope = fit.slopes()
    safe = np.where(total > 0, total, 1.0)
    if n <= EXACT_STATES:
        H, rows = _hessian(fit)
        flow = graph.forward * slope
        M = _laplacian(n, rows, graph.indices, scale[rows] * graph.forward * slope**2)
        diagonal = np.arange(n)
        m = sp.csr_array(
            (
                np.concatenate([np.bincount(rows, flow, minlength=n), -flow]),
                (np.concatenate([diagonal, rows]), np.concatenate([diagonal, graph.indices])),
            ),
            shape=(n, n),
        )
        M -= (m.T @ sp.diags_array(scale / safe) @ m).toarray()
        return _errors(H, M, components, n_components, gauge), "exact"
    key, flow = philox_key(rng), np.empty(graph.nnz)
    # `numbers` of the fit count the products of the probes, too
    vectors, weight, numbers = fit.state()
    reached: State = {"squares": np.zeros(n), "done": np.array(0), "numbers": numbers}

    def restore(saved: State) -> None:
        nonlocal reached
        reached = saved

    def run() -> State:
        nonlocal reached
        fit.restore(vectors, weight, reached["numbers"])
        with interruptible(
            "the standard errors", lambda: None, total=PROBES, progress=progress, callback=callback
        ) as monitor:
            for probe in range(int(reached["done"]), PROBES):
                x = fit.probe(slope, safe, scale, key, probe, flow, 1e-4, 20 * n + 100)
                squares = reached["squares"] + centered(x, components, n_components, gauge) ** 2
                numbers = fit.state()[2]
                reached = {"squares": squares, "done": np.array(probe + 1), "numbers": numbers}
                save()
                monitor(probe + 1)
        return reached

    found = stage("the standard errors", run, state=lambda: reached, restore=restore)
    fit.restore(vectors, weight, found["numbers"])
    return np.sqrt(found["squares"] / PROBES), f"{PROBES} probes"


def binomial_errors(
    fit: _core.PairNewton, components: Int32Array, n_components: int, gauge: FloatArray
) -> FloatArray:
    """Standard errors of the centered solution if n(x, y) of n(x, y) + n(y, x) is binomial,
    independently for each pair."""
    graph = fit.graph
    n = graph.n_states
    forecast_memory(5 * 8 * n * n, "the standard errors of the rewards")
    H, rows = _hessian(fit)
    # d gradient / d n(x, y) at a fixed sum is slope(x, y) + slope(y, x) = -1 along e_x - e_y; the
    # variance is n m / (n + m) of the pair
    both = graph.forward + graph.backward
    spread = np.where(both > 0, graph.forward * graph.backward / np.where(both > 0, both, 1.0), 0.0)
    M = _laplacian(n, rows, graph.indices, 0.5 * spread)
    return _errors(H, M, components, n_components, gauge)


def _hessian(fit: _core.PairNewton) -> tuple[FloatArray, IntArray]:
    """(dense Hessian, row of every entry of the graph)."""
    graph = fit.graph
    rows = np.repeat(np.arange(graph.n_states), np.diff(graph.indptr))
    half = 0.5 * fit.weight  # each pair has two entries
    return _laplacian(graph.n_states, rows, graph.indices, half), rows


def _laplacian(n: int, x: IntArray, y: Int32Array, weight: FloatArray) -> FloatArray:
    """Dense sum over entries of weight (e_x - e_y)(e_x - e_y)^T."""
    diagonal = np.bincount(x, weight, minlength=n) + np.bincount(y, weight, minlength=n)
    out = (
        sp.diags_array(diagonal).tocsr()
        - sp.csr_array((weight, (x, y)), shape=(n, n))
        - sp.csr_array((weight, (y, x)), shape=(n, n))
    )
    dense: FloatArray = out.toarray()
    return dense


def _errors(
    H: FloatArray, M: FloatArray, components: Int32Array, n_components: int, gauge: FloatArray
) -> FloatArray:
    """sqrt of the diagonal of G H^+ M H^+ G^T, where G sets the weighted mean to zero."""
    n = len(H)
    basis = np.zeros((n, n_components))
    basis[np.arange(n), components] = 1.0
    sizes = basis.sum(axis=0)
    scale = max(float(np.diag(H).max()), 1e-300)
    # H^+, and 1 / scale on the constants, which G removes
    inverse = scipy.linalg.inv(H + scale * (basis / sizes) @ basis.T)
    mass = np.bincount(components, gauge, minlength=n_components)
    G = np.eye(n) - basis @ ((basis * gauge[:, None]) / np.where(mass > 0, mass, 1.0)).T
    image = G @ inverse
    variance: FloatArray = np.einsum("ij,jk,ik->i", image, M, image, optimize=True)
    return np.sqrt(np.maximum(variance, 0.0))
