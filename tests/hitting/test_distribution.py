"""The distribution of a hitting time against closed forms and powers of the matrix."""

import gallery
import numpy as np
import pytest
import reference
from hitting_checks import ladder
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import nbinom

import fastebm as fe


def test_the_law_of_sums_of_geometric_times():
    n, p = 6, 0.2
    law = fe.hitting_distribution(fe.MarkovChain(ladder(n, p)), [n - 1], 60, start=np.arange(n))
    t = np.arange(61)
    for x in range(n - 1):
        k = n - 1 - x
        assert_allclose(law.probability[x], nbinom.pmf(t - k, k, p), rtol=1e-12, atol=1e-300)
        assert_allclose(law.survival[x], nbinom.sf(t - k, k, p), rtol=1e-11, atol=1e-300)
    assert_array_equal(law.probability[-1], t == 0)
    assert law.n_steps == 60


@pytest.mark.parametrize("seed", range(3))
def test_the_law_agrees_with_powers_of_the_matrix(seed):
    case = gallery.random_chain(30, 0.2, seed)
    P = reference.dense(case.P)
    pi = reference.gth(case.P)
    Q, killed = P.copy(), np.isin(np.arange(30), [3, 4])
    Q[:, killed] = 0
    mu = np.where(killed, 0, pi)
    survival = [mu.sum()]
    for _ in range(25):
        mu = mu @ Q
        survival.append(mu.sum())
    law = fe.hitting_distribution(fe.MarkovChain(case.P), [3, 4], 25)
    assert_allclose(law.survival[0], survival, rtol=1e-12)
    assert_allclose(np.cumsum(law.probability[0]) + law.survival[0], 1, rtol=1e-13)
    again = fe.hitting_distribution(
        fe.MarkovChain(case.P), [3, 4], 25, start=np.stack([pi, np.eye(30)[7]])
    )
    assert_allclose(again.survival[0], law.survival[0], rtol=1e-12)
    assert_array_equal(
        again.probability[1],
        fe.hitting_distribution(fe.MarkovChain(case.P), [3, 4], 25, start=7).probability[0],
    )


def test_the_law_has_the_moments():
    case = gallery.random_reversible(40, 0.2, 5)
    law = fe.hitting_distribution(fe.MarkovChain(case.P), [1], 3000, start=9)
    found = fe.hitting_moments(fe.MarkovChain(case.P), [1])
    assert law.survival[0, -1] < 1e-12
    assert_allclose(law.probability[0] @ law.steps, found.mean[9], rtol=1e-8)
    assert_allclose(law.survival[0].sum(), found.mean[9], rtol=1e-8)
    assert_allclose(law.probability[0] @ law.steps.astype(float) ** 2, found.second[9], rtol=1e-7)


def test_the_law_goes_on_where_it_was_interrupted(tmp_path):
    case = gallery.random_chain(50, 0.1, 1)
    chain, path = fe.MarkovChain(case.P), tmp_path / "law"
    whole = fe.hitting_distribution(chain, [0], 40, start=[3, 5])

    def callback(info):
        if info["done"] == 17:
            raise KeyboardInterrupt

    with pytest.raises(fe.Interrupted) as caught:
        fe.hitting_distribution(chain, [0], 40, start=[3, 5], callback=callback, checkpoint=path)
    partial = caught.value.partial
    assert_array_equal(partial.probability, whole.probability[:, : partial.n_steps + 1])
    done = []
    again = fe.hitting_distribution(
        chain,
        [0],
        40,
        start=[3, 5],
        callback=lambda info: done.append(info["done"]),
        checkpoint=path,
    )
    assert done[0] == partial.n_steps + 1 and not path.exists()
    assert_array_equal(again.probability, whole.probability)
    assert_array_equal(again.survival, whole.survival)


@pytest.mark.parametrize(
    "options, error",
    [
        ({"n_steps": -1}, fe.InvalidChainError),
        ({"n_steps": 2.0}, TypeError),
        ({"start": 9}, fe.InvalidChainError),
        ({"start": np.ones(7)}, fe.InvalidChainError),
        ({"start": np.full((1, 1, 7), 1 / 7)}, fe.InvalidChainError),
        ({"target": []}, fe.InvalidChainError),
    ],
    ids=str,
)
def test_bad_arguments_of_the_law(options, error):
    with pytest.raises(error):
        fe.hitting_distribution(
            fe.MarkovChain(gallery.cycle(7).P), **({"target": [0], "n_steps": 3} | options)
        )


@pytest.mark.parametrize("weight", [1e-300, 1e-200, 1e-116, 1e-30, 1.0, 1e116, 1e250])
def test_the_size_of_the_weights_does_not_matter(weight):
    """Staying has probability p, so survival is p^t: down to 1e-300, whatever a row sums to."""
    p = 1e-6
    for rows in ([weight, weight], [1.0, weight], [weight, 1.0]):
        W = np.array([[p, 1.0], [0.5, 0.5]]) * np.array(rows)[:, None]
        law = fe.hitting_distribution(fe.MarkovChain(W, normalize=True), [1], 49, start=0)
        assert_allclose(law.survival[0], (p / (1 + p)) ** np.arange(50), rtol=1e-13)


def test_a_tilt_does_not_underflow():
    """Scalings of e^-300 and e^300."""
    chain = fe.tilt(fe.MarkovChain([[0.5, 0.5], [0.5, 0.5]]), [0.0, 590.0], 1.0)
    law = fe.hitting_distribution(chain, [1], 1, start=0)
    assert_allclose(law.survival[0, 1], np.exp(-590.0), rtol=1e-12)
    back = fe.hitting_distribution(chain, [0], 3, start=1)
    assert_allclose(back.survival[0], 1.0)
    assert_allclose(back.probability[0, 1:], np.exp(-590.0), rtol=1e-12)
