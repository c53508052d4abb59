"""What the tests of gaps and eigenpairs share."""

import gallery
import numpy as np

import fastebm as fe


def names(cases):
    """Arguments of `parametrize`: cases of the gallery by their names."""
    return {"argvalues": cases, "ids": str}


def gap_of(P, **options):
    options.setdefault("rng", 1)
    return fe.spectral_gap(P if isinstance(P, fe.MarkovChain) else fe.MarkovChain(P), **options)


def pairs_of(P, k, **options):
    options.setdefault("rng", 1)
    return fe.eigenpairs(P if isinstance(P, fe.MarkovChain) else fe.MarkovChain(P), k, **options)


def encloses(found, exact):
    """One ulp of slack: the exact value is itself rounded."""
    return found.gap_lower <= exact * (1 + 4e-16) and exact * (1 - 4e-16) <= found.gap_upper


def metropolis_line(potential):
    """The lazy Metropolis walk on a line in a potential, with its gaps by bisection in
    multiprecision."""
    rise = np.diff(potential)
    up, down = np.exp(-np.maximum([rise, -rise], 0)) / 4
    return gallery.birth_death([*up, 0], [0, *down])
