"""Work cut into pieces of any size, with Ctrl-C after any of them; random chains to cut."""

import numpy as np
import scipy.sparse as sp

import fastebm as fe


class Cut:
    """Replaces `Pacer`: calls of `size`, and Ctrl-C after the `stop`-th."""

    def __init__(self, size, stop=None):
        self.size, self.stop, self.calls = size, stop, 0

    def __call__(self, size=None):
        return self

    def __enter__(self):
        pass

    def __exit__(self, *_):
        self.calls += 1
        if self.calls == self.stop:
            raise KeyboardInterrupt


def edges(n, seed, symmetric):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(n, size=(2, 3 * n))
    A = (
        sp.csr_array((rng.lognormal(size=3 * n), (x, y)), shape=(n, n))
        + sp.eye_array(n, format="csr") * 0.1
    )
    return (A + A.T).tocsr() if symmetric else A.tocsr()


def chain_of(n, seed, symmetric=False):
    return fe.MarkovChain(edges(n, seed, symmetric), normalize=True)
