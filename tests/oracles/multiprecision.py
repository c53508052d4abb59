"""Comparison of doubles with numbers in multiprecision."""

import mpmath as mp


def close(value, exact, rel, floor=1e-320):
    """Whether the relative error is at most `rel`, or the absolute one at most `floor`."""
    return abs(mp.mpf(float(value)) - exact) <= mp.mpf(rel) * abs(exact) + mp.mpf(floor)
