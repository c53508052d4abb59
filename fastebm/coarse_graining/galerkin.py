"""The Galerkin projection of a chain on given functions, with a proven error.

``(chi^T D chi)^-1 chi^T D P chi = I - G^-1 L`` with G(i, j) = <chi_i, chi_j> and
L(i, j) = <chi_i, (I - P) chi_j>. It is a property of the functions as they are, whatever the
accuracy of the eigenvectors that they were made from.

G and L are those of Y = chi B, a nearly orthonormal basis of the same space, so that G is well
conditioned: the projection is then I - B (G^-1 L) B^-1. L comes from Dirichlet forms, by
polarisation of functions that are scaled to a form of one: exchange rates of 1e-20 keep their
digits. Without detailed balance L(i, j) is the product of pi chi_i and (I - P) chi_j, to the
rounding of its terms.
"""

from typing import NamedTuple

import numpy as np

from .. import _core
from .._runtime.types import FloatArray
from ..chains.chain import MarkovChain
from ..linalg import dirichlet
from ..linalg.rounding import UNIT, block_sum_terms

# Rounding of a term of G and L, and of the evaluation of the bound.
TERM_ROUNDING, BOUND_ROUNDING = 16 * UNIT, 1e-6


class GalerkinProjection(NamedTuple):
    """G^-1 L, and a bound on the absolute error of each entry, (k, k) each; the bound is inf if G
    or A is singular up to rounding."""

    rates: FloatArray
    error: FloatArray


def project(
    chain: MarkovChain, chi: FloatArray, A: FloatArray, law_error: float, threads: int
) -> GalerkinProjection:
    """The projection on chi (n_states, k).

    Parameters
    ----------
    A : ndarray (k, k)
        chi A^-1 is nearly orthonormal in pi.
    law_error : float
        The relative error of pi.
    """
    pi, k = chain._law.take(threads).pi, chi.shape[1]
    try:
        B = np.linalg.inv(A)
    except np.linalg.LinAlgError:
        return GalerkinProjection(np.full((k, k), np.nan), np.full((k, k), np.inf))
    Y = np.ascontiguousarray((chi @ B).T)
    # roots of the Dirichlet forms of the rounding of Y, at most the norm times sqrt(2)
    noise = np.array([(k + 2) * UNIT * _norm(pi, chi @ np.abs(b), threads) for b in B.T])
    relative = law_error + TERM_ROUNDING + UNIT * _summed(chain)
    G, G_error = np.empty((k, k)), np.empty((k, k))
    norms = np.array([_norm(pi, f, threads) for f in Y])
    for i in range(k):
        for j in range(i + 1):
            G[i, j] = G[j, i] = _core.vec_dot(pi * Y[i], Y[j], threads)
            size = _core.vec_dot(pi * np.abs(Y[i]), np.abs(Y[j]), threads)
            moved = noise[i] * norms[j] + noise[j] * norms[i]
            G_error[i, j] = G_error[j, i] = relative * size + moved + noise[i] * noise[j]
    if chain.is_reversible:
        L, L_error = _forms(chain, pi, Y, noise, relative, threads)
    else:
        L, L_error = _products(chain, pi, Y, noise, relative, threads)
    R, R_error = _solve(G, G_error, L, L_error)
    # B^-1 is A up to |A| E / (1 - |E|), E = |I - B A|
    E = np.abs(np.eye(k) - B @ A) + (k + 2) * UNIT * (np.abs(B) @ np.abs(A))
    spread = float(E.sum(axis=1).max())
    if not spread < 0.5:
        return GalerkinProjection(B @ R @ A, np.full((k, k), np.inf))
    inverse_error = np.abs(A) @ E
    inverse_error += np.abs(A).sum(axis=1)[:, None] * spread / (1.0 - spread) * E.max(axis=0)
    size = np.abs(B) @ (np.abs(R) + R_error)
    error = np.abs(B) @ R_error @ np.abs(A) + size @ (inverse_error + 4 * k * UNIT * np.abs(A))
    return GalerkinProjection(B @ R @ A, error * (1.0 + BOUND_ROUNDING))


def _norm(pi: FloatArray, f: FloatArray, threads: int) -> float:
    return float(np.sqrt(2.0 * _core.vec_dot(pi * f, f, threads)))


def _summed(chain: MarkovChain) -> float:
    """Terms of a sum over a row, and of one over the states."""
    pattern = chain._scaled.pattern
    degree = pattern.max_degree
    return 2.0 * degree + block_sum_terms(chain.n_states)


def _forms(
    chain: MarkovChain,
    pi: FloatArray,
    Y: FloatArray,
    noise: FloatArray,
    relative: float,
    threads: int,
) -> tuple[FloatArray, FloatArray]:
    """(L, a bound on its error) for the rows of Y, whose rounding has Dirichlet forms of at most
    noise^2."""
    k = len(Y)
    own = np.array([dirichlet.energy(chain._scaled, pi, f, threads) for f in Y])
    # a function that is constant up to its rounding is scaled by that
    scale = np.maximum(np.sqrt(own), np.maximum(noise, 1e-150))
    L, error = np.diag(own), np.empty((k, k))
    rest = noise / scale
    for i in range(k):
        for j in range(i + 1):
            f, g = Y[i] / scale[i], Y[j] / scale[j]
            if i != j:
                plus = dirichlet.energy(chain._scaled, pi, f + g, threads)
                minus = dirichlet.energy(chain._scaled, pi, f - g, threads)
                L[i, j] = L[j, i] = 0.25 * (plus - minus) * scale[i] * scale[j]
            # energies of at most four; f, g and f + g are rounded by less than `noise`
            moved = 3.0 * (rest[i] + rest[j]) * (2.0 + rest[i] + rest[j])
            error[i, j] = error[j, i] = (2.0 * relative + moved) * scale[i] * scale[j]
    return L, error


def _products(
    chain: MarkovChain,
    pi: FloatArray,
    Y: FloatArray,
    noise: FloatArray,
    relative: float,
    threads: int,
) -> tuple[FloatArray, FloatArray]:
    """(L, a bound on its error) without detailed balance; P is a contraction in the norm of pi."""
    k = len(Y)
    L, error = np.empty((k, k)), np.empty((k, k))
    norms = np.array([_norm(pi, f, threads) for f in Y])
    for j, g in enumerate(Y):
        change = g - chain._scaled.apply(g, num_threads=threads)
        size = np.abs(g) + chain._scaled.apply(np.abs(g), num_threads=threads)
        for i, f in enumerate(Y):
            L[i, j] = _core.vec_dot(pi * f, change, threads)
            moved = noise[i] * norms[j] + noise[j] * norms[i] + noise[i] * noise[j]
            terms = _core.vec_dot(pi * np.abs(f), size, threads)
            error[i, j] = relative * terms + 2.0 * moved
    return L, error


def _solve(
    G: FloatArray, G_error: FloatArray, L: FloatArray, L_error: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(R = G^-1 L, a bound on its error).

    With C near G^-1, exact - R = (C G)^-1 C (L - G R). The entries of E = |I - C G| are known up
    to rounding, and ``|(C G)^-1 v| <= |v| + E |v| + ...``, of which the terms after the first
    are at most |E| / (1 - |E|) max |v| in the norm of row sums."""
    k = len(G)
    try:
        C = np.linalg.inv(G)
    except np.linalg.LinAlgError:
        return np.full_like(L, np.nan), np.full_like(L, np.inf)
    R = C @ L
    R += C @ (L - G @ R)
    size = np.abs(C)
    E = np.abs(np.eye(k) - C @ G) + size @ (G_error + 2 * k * UNIT * np.abs(G)) + UNIT
    spread = float(E.sum(axis=1).max())
    if not spread < 0.5:
        return R, np.full_like(L, np.inf)
    products = np.abs(G) @ np.abs(R)
    left = np.abs(L - G @ R) + L_error + G_error @ np.abs(R)
    moved = size @ (left + 2 * k * UNIT * (products + np.abs(L)))
    moved += spread / (1.0 - spread) * moved.max(axis=0)
    return R, moved * (1.0 + BOUND_ROUNDING)
