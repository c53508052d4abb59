"""The random start that the probabilistic ends assume."""

import gallery
import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastebm as fe
from fastebm.chains.symmetrized import symmetrized
from fastebm.spectral import lanczos


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_the_symmetrised_operator_by_definition(beta):
    """D^(1/2) P D^(-1/2), symmetric to the last bits although pi spans many decades."""
    walk = fe.MarkovChain(gallery.random_reversible(12, 0.3, 1).P)
    for chain in (walk, fe.tilt(walk, np.linspace(-3, 3, 12), beta), walk.lazy(0.3)):
        root, P = np.exp(0.5 * chain.log_pi), chain.to_scipy().toarray()
        exact = root[:, None] * P / root
        assert_allclose(exact, exact.T, rtol=1e-11)
        assert_allclose(symmetrized(chain).to_scipy().toarray(), exact, rtol=1e-12)


class _StartError(Exception):
    pass


@pytest.mark.parametrize("tilted", [False, True])
def test_lanczos_starts_uniformly_on_the_sphere(monkeypatch, tilted):
    """In the symmetrised coordinates v = sqrt(pi) f, where w = col f is what the recurrence takes,
    the start consists of independent standard normals: those of the seed."""
    seen = []

    def started(operator, ratio, top_scale, w, threads):
        seen.append(np.array(w))
        raise _StartError

    walk = fe.MarkovChain(gallery.random_reversible(200, 0.1, 1).P)
    chain = fe.tilt(walk, np.linspace(-3, 3, 200), 1.0) if tilted else walk
    root = np.exp(0.5 * chain.log_pi)
    monkeypatch.setattr(lanczos._core, "Lanczos", started)
    with pytest.raises(_StartError):
        fe.spectral_gap(chain, method="lanczos", rng=7)
    seed = int(np.random.default_rng(7).integers(2**63))
    col = chain._scaled.col
    v = seen[0] * root / (1.0 if col is None else col)
    normal = np.random.default_rng(seed).standard_normal(200)
    assert_allclose(v / v[0], normal / normal[0], rtol=1e-9)
