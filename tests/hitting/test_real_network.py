"""Mean hitting times on the word association network of an LLM, tilted by valence."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from word_network import word_network

import fastebm as fe


@pytest.fixture(scope="module")
def associations():
    """(chain, valence): the word network, and the VADER valence of its words."""
    words, chain = word_network()
    sentiment = pytest.importorskip("vaderSentiment.vaderSentiment")
    lexicon = sentiment.SentimentIntensityAnalyzer().lexicon
    return chain, np.array([lexicon.get(word, 0.0) for word in words])


@pytest.mark.parametrize("beta, slowest", [(0.2, 1.3080237805907e3), (0.1, 6.79424697642e7)])
def test_a_real_network_is_certified_however_cold(associations, beta, slowest):
    """The expected slowest means come from an elimination, which takes a minute and is not repeated
    here. The residual is evaluated in long doubles, so that only the rounding of the means
    themselves shows."""
    chain, valence = associations
    chain = fe.tilt(chain, valence, beta)
    target = valence >= 2.5
    found = fe.hitting_times(chain, target)
    assert found.converged and found.residual <= 1e-8
    assert_allclose(found.mean.max(), slowest, rtol=1e-8)
    P, h = chain.to_scipy(), found.mean.astype(np.longdouble)
    x = np.repeat(np.arange(chain.n_states), np.diff(P.indptr))
    change = np.zeros(chain.n_states, np.longdouble)
    np.add.at(change, x, P.data.astype(np.longdouble) * (h[x] - h[P.indices]))
    assert np.abs(1 - change[~target]).max() < 1e-8 + 4 * 2.0**-53 * slowest
