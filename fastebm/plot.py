"""Figures of results: each function draws on one Matplotlib Axes and returns it; Matplotlib is imported only when one is called.

    plot_spectrum    eigenvalues with residuals and the gap's enclosure
    plot_times       distances from the stationary law, survival, mean hitting times
    plot_states      stationary mass against a value, the plane of two eigenvectors
    plot_tilt        the gap against the temperature, entropy against accuracy
    plot_axes        what they share: a palette for every kind of colour vision and for grey, bars, what an axis cannot show

This module gathers their public names: ``from fastebm import plot``.
"""

from .plot_spectrum import spectrum  # noqa: F401
from .plot_times import hitting, mixing, survival  # noqa: F401
from .plot_states import embedding, landscape  # noqa: F401
from .plot_tilt import arrhenius, entropy_accuracy  # noqa: F401
