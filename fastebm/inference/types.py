"""Types that the signatures of this folder share."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from ..counts.matrix import TransitionCounts

#: What is accepted as counts: dense or sparse, (n_states, n_states), or counted transitions.
CountsLike: TypeAlias = npt.ArrayLike | sp.sparray | sp.spmatrix | TransitionCounts

Int32Array: TypeAlias = npt.NDArray[np.int32]
