"""Reference chains of tilts, one of each kind of storage, and a comparison of kernels."""

import gallery
import numpy as np
import scipy.sparse as sp
from small_chains import dense

from fastebm import MarkovChain, tilt

RNG = np.random.default_rng(20240301)
VALUED = gallery.random_reversible(40, 0.1, 1).P
CHAINS = {
    "reversible": MarkovChain(VALUED),
    "general": MarkovChain(gallery.random_chain(40, 0.1, 2).P),
    "value-free": MarkovChain(gallery.torus((5, 8)).P),
    "float32": MarkovChain(VALUED.astype(np.float32)),
    "lazy": MarkovChain(VALUED).lazy(0.3),
    "lazy value-free": MarkovChain(gallery.torus((5, 8)).P).lazy(0.9),
    "tilted": tilt(MarkovChain(VALUED), RNG.normal(size=40), 0.7),
    "lazy tilted": tilt(MarkovChain(VALUED), RNG.normal(size=40), 0.7).lazy(0.2),
    "stored tilt": tilt(MarkovChain(VALUED), sp.csr_array(VALUED), 0.3),
    "repeated edges": MarkovChain.from_edges(
        *np.r_[np.transpose(np.nonzero(VALUED.toarray())), [(1, 2)] * 3 + [(5, 5)] * 2].T,
        symmetric=True,
    ),
}


def assert_same_kernel(chain, P, scale=1.0):
    """Entries agree with the twin's. Exponents of size `scale` are rounded to 1e-16 of it; 1e-300
    is the limit of doubles."""
    np.testing.assert_allclose(dense(chain), P, rtol=2e-15 * (10 + scale), atol=1e-300)
    np.testing.assert_allclose(
        chain @ np.ones(chain.n_states), 1.0, rtol=1e-14 if scale < 300 else 1e-12
    )
