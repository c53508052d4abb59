"""Standard errors of potentials: the sandwich estimator on a graph's Laplacian."""

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from .._runtime.memory import forecast_memory
from .._runtime.progress import interruptible
from .._runtime.random import philox_key

# Up to this many states the sandwich is formed exactly (an n^3 inverse, 2 s); beyond, from random probes.
EXACT_STATES = 2000
# Solves of the sandwich's estimate: a standard error is then right to about 1 / sqrt(2 * 200) = 5 %.
PROBES = 200


def _gauged(V, components, n_components, weights):
    """V with weighted mean zero in each component."""
    mass = np.bincount(components, weights, minlength=n_components)
    mean = np.bincount(components, weights * V, minlength=n_components) / np.where(
        mass > 0, mass, 1.0
    )
    return V - mean[components]


def _sandwich(fit, components, n_components, gauge, total, scale, rng, progress, callback):
    """(standard errors of the gauged solution, kind). Row x of the weights is `scale[x]` times a multinomial of total[x] / scale[x]
    draws; total None: independent binomials, a pair a time (preferences)."""
    graph = fit.graph
    n = graph.n_states
    slope = fit.slopes()
    if (
        total is None
    ):  # n(x, y) of n(x, y) + n(y, x) is binomial: an own row for the pair, in which only the difference counts
        return _binomial_errors(fit, components, n_components, gauge, slope)
    if n <= EXACT_STATES:
        H, rows = _laplacian(fit)
        flow = graph.forward * slope
        M = _lap(n, rows, graph.indices, scale[rows] * graph.forward * slope**2).toarray()
        m = sp.csr_array(
            (
                np.concatenate([np.bincount(rows, flow, minlength=n), -flow]),
                (
                    np.concatenate([np.arange(n), rows]),
                    np.concatenate([np.arange(n), graph.indices]),
                ),
            ),
            shape=(n, n),
        )
        safe = np.where(total > 0, total, 1.0)
        M -= (m.T @ sp.diags_array(scale / safe) @ m).toarray()
        return _errors_of(H, M, components, n_components, gauge), "exact"
    key, flow = philox_key(rng), np.empty(graph.nnz)
    squares = np.zeros(n)
    safe = np.where(total > 0, total, 1.0)
    with interruptible(
        "the standard errors", lambda: None, total=PROBES, progress=progress, callback=callback
    ) as monitor:
        for probe in range(PROBES):
            x = fit.probe(slope, safe, scale, key, probe, flow, 1e-4, 20 * n + 100)
            squares += _gauged(x, components, n_components, gauge) ** 2
            monitor(probe + 1)
    return np.sqrt(squares / PROBES), f"{PROBES} probes"


def _binomial_errors(fit, components, n_components, gauge, slope):
    graph = fit.graph
    n = graph.n_states
    forecast_memory(5 * 8 * n * n, "the standard errors of the rewards")
    H, rows = _laplacian(fit)
    # d gradient / d n(x, y) at a fixed sum is slope(x, y) + slope(y, x) = -1 along e_x - e_y; the variance is the pair's n m / (n + m)
    both = graph.forward + graph.backward
    spread = np.where(both > 0, graph.forward * graph.backward / np.where(both > 0, both, 1.0), 0.0)
    M = _lap(n, rows, graph.indices, 0.5 * spread).toarray()
    return _errors_of(H, M, components, n_components, gauge), "exact"


def _laplacian(fit):
    """(H dense, row of every entry)."""
    graph = fit.graph
    rows = np.repeat(np.arange(graph.n_states), np.diff(graph.indptr))
    return _lap(
        graph.n_states, rows, graph.indices, 0.5 * fit.weight
    ).toarray(), rows  # each pair stands twice


def _lap(n, x, y, weight):
    """sum over entries of weight (e_x - e_y)(e_x - e_y)^T."""
    diagonal = np.bincount(x, weight, minlength=n) + np.bincount(y, weight, minlength=n)
    return (
        sp.diags_array(diagonal).tocsr()
        - sp.csr_array((weight, (x, y)), shape=(n, n))
        - sp.csr_array((weight, (y, x)), shape=(n, n))
    )


def _errors_of(H, M, components, n_components, gauge):
    """sqrt of the diagonal of G H^+ M H^+ G^T, G the map to weighted mean zero."""
    n = len(H)
    basis = np.zeros((n, n_components))
    basis[np.arange(n), components] = 1.0
    sizes = basis.sum(axis=0)
    scale = max(float(np.diag(H).max()), 1e-300)
    inverse = scipy.linalg.inv(
        H + scale * (basis / sizes) @ basis.T
    )  # H^+ and 1 / scale on the constants, which G removes
    mass = np.bincount(components, gauge, minlength=n_components)
    G = np.eye(n) - basis @ ((basis * gauge[:, None]) / np.where(mass > 0, mass, 1.0)).T
    image = G @ inverse
    return np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", image, M, image, optimize=True), 0.0))
