"""Figures of results: each function draws on one Matplotlib Axes and returns it; Matplotlib is
imported only when one is called.

    plot_spectrum    eigenvalues with residuals and the gap's enclosure
    plot_times       distances from the stationary law, survival, mean hitting times
    plot_states      stationary mass against a value, the plane of two eigenvectors
    plot_tilt        the gap against the temperature, entropy against accuracy
    plot_axes        what they share: a palette for every kind of colour vision and for grey, bars, what an axis cannot show

This module gathers their public names: ``from fastebm import plot``.
"""

from ._spectrum import spectrum  # noqa: F401
from ._states import (
    embedding,  # noqa: F401
    landscape,  # noqa: F401
)
from ._tilt import (
    arrhenius,  # noqa: F401
    entropy_accuracy,  # noqa: F401
)
from ._times import (
    hitting,  # noqa: F401
    mixing,  # noqa: F401
    survival,  # noqa: F401
)
