"""A chain of the gallery, what is known about it, and what builds it."""

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse


@dataclass(frozen=True, eq=False)
class Case:
    """A chain and what is known about it; None if nothing is.

    `hitting` is (target states, E_x tau for every x), tau >= 0. `eigenvalues` are all of them, real
    part descending. The gaps are 1 - max Re lambda and 1 - max |lambda| over the others, accurate
    relative to themselves; they belong to the off-diagonal entries of P: with a gap of 1e-18 the
    stored diagonal says nothing. `extra` may hold tv_from0(t), log_pi, log_P, log_Z, slem,
    entropy_production."""

    name: str
    P: scipy.sparse.csr_array
    pi: np.ndarray | None
    eigenvalues: np.ndarray | None = None
    hitting: tuple | None = None
    gap: float | None = None
    absolute_gap: float | None = None
    period: int = 1
    extra: dict = field(default_factory=dict)
    reversible: bool = True

    def __repr__(self):
        return self.name


def csr(n, source, target, weight):
    """CSR array with columns ascending, repeated entries added up and zeros dropped."""
    source, target, weight = (
        np.ravel(a) for a in np.broadcast_arrays(source, target, np.float64(weight))
    )
    P = scipy.sparse.coo_array((weight, (source, target)), shape=(n, n)).tocsr()
    P.eliminate_zeros()
    return P


def walk_on_graph(name, n, edges, **known):
    """Simple random walk on an undirected graph without self-loops: pi is proportional to the
    degree (LP ch. 1)."""
    x, y = np.transpose(edges)
    degree = np.bincount([*x, *y], minlength=n)
    return Case(name, csr(n, [x, y], [y, x], 1 / degree[[x, y]]), degree / degree.sum(), **known)


def descending(*values_and_multiplicities):
    return np.sort(np.repeat(*zip(*values_and_multiplicities, strict=True)))[::-1]
