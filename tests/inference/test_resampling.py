"""Rows of counts resampled by the core, against binomial and multinomial distributions."""

import numpy as np
import pytest
from scipy import stats

from fastebm import _core


@pytest.mark.parametrize(
    "n, p",
    (
        (1, 0.3),
        (20, 0.4),
        (400, 0.02),
        (400, 0.125),
        (1000, 0.5),
        (10**6, 0.9),
        (50, 0.0),
        (50, 1.0),
        (10**12, 1e-11),
    ),
)
def test_binomial_draws(n, p):
    """Chi-square against SciPy's probabilities on 20,000 draws; false-alarm rate 1e-5."""
    rows = 20_000
    draws = _core.resample_rows(
        2 * np.arange(rows + 1),
        np.tile([p, 1.0 - p], rows),
        np.full(rows, float(n)),
        np.array([1, 2], np.uint64),
        0,
        1,
    ).reshape(rows, 2)
    assert (draws.sum(axis=1) == n).all() and (draws >= 0).all() and (draws == np.rint(draws)).all()
    if p in (0.0, 1.0):
        assert (draws[:, 0] == n * p).all()
        return
    edges = np.unique(stats.binom.ppf(np.linspace(0.02, 0.98, 25), n, p))
    seen = np.bincount(np.searchsorted(edges, draws[:, 0]), minlength=len(edges) + 1)
    expected = 20_000 * np.diff(np.r_[0.0, stats.binom.cdf(edges, n, p), 1.0])
    rare = expected < 5  # merged into one cell
    cells = [np.r_[x[~rare], x[rare].sum()] if rare.any() else x for x in (seen, expected)]
    assert (
        stats.chi2.sf(
            ((cells[0] - cells[1]) ** 2 / np.maximum(cells[1], 1e-9)).sum(), len(cells[0]) - 1
        )
        > 1e-5
    )


def test_multinomial_rows_have_the_right_covariance():
    weight = np.array([1.0, 2.0, 3.0, 4.0])
    draws = np.array(
        [
            _core.resample_rows(
                np.array([0, 4]), weight, np.array([30.0]), np.array([3, 4], np.uint64), r, 1
            )
            for r in range(20_000)
        ]
    )
    again = _core.resample_rows(
        np.array([0, 4]), weight, np.array([30.0]), np.array([3, 4], np.uint64), 7, 2
    )
    assert np.array_equal(draws[7], again)  # a replicate depends on its number alone
    p = weight / 10
    expected = 30 * (np.diag(p) - np.outer(p, p))
    np.testing.assert_allclose(draws.mean(axis=0), 30 * p, atol=5 * np.sqrt(30 * 0.25 / 20_000))
    np.testing.assert_allclose(np.cov(draws.T), expected, atol=0.25)  # 5 standard errors
