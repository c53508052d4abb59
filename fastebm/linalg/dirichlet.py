"""The Dirichlet form of a reversible chain: what a gap is the minimum of, and an upper bound of it for every function."""

import numpy as np

from .. import _core

# The form sums non-negative terms whose weights carry the rounding of log pi.
SLACK = 1e-12
# A function of size one carries the rounding of some ulp at every state, whose own energy this bounds: what an iteration can reach.
# Observed up to 1.2e-28 (double wells of 1,200 states and a gap of 1e-20).
NOISE = (64 * np.finfo(float).eps) ** 2


def quotient(chain, f, num_threads):
    """E(f, f) / Var_pi(f) of a reversible chain: an upper bound of its gap for any non-constant f (LP lemma 13.7)."""
    pi = chain.pi
    centred = np.ascontiguousarray(f - _core.vec_dot(pi, f, num_threads))
    square = np.empty(chain.n_states)
    _core.scaled_difference(chain._scaled.operator, centred, square, 2, num_threads)
    energy = 0.5 * _core.vec_dot(pi, square, num_threads)
    mean = _core.vec_dot(pi, centred, num_threads)
    return energy / (_core.vec_dot(pi * centred, centred, num_threads) - mean * mean)


def trimmed(f, weight):
    """f cut, where it is rounding (weight * f is small), to the range it has elsewhere and zero, as f changes sign: that lowers its
    energy, and any f gives an upper bound."""
    with np.errstate(all="ignore"):
        size = np.abs(weight * f)
        known = f[size > 1e-8 * np.nanmax(size)]
        if not known.size:  # pi beyond a double's range: no bound
            return np.full_like(f, np.nan)
        return np.clip(f, min(known.min(), 0.0), max(known.max(), 0.0))
