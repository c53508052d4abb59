"""What rounding does to a number, a vector and a projection."""

import numpy as np

EPS = np.finfo(float).eps
# What is left of a unit vector's image after its projections, in rounding: a direction this short is none.
RITZ_ROUNDING = 64 * EPS


UNIT = 2.0**-53
