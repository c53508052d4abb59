"""Arguments of `tilt` that are refused: the error names the entry and the remedy."""

import numpy as np
import pytest
import scipy.sparse as sp
from small_chains import dense
from tilt_references import CHAINS, VALUED, assert_same_kernel

from fastebm import InvalidChainError, tilt


@pytest.mark.parametrize(
    "beta, kind",
    (
        (0, ValueError),
        (-1.0, ValueError),
        (-np.inf, ValueError),
        (np.nan, ValueError),
        (True, TypeError),
        ("1", TypeError),
        (1j, TypeError),
        (None, TypeError),
    ),
)
def test_bad_beta(beta, kind):
    q = CHAINS["reversible"]
    for call in (
        lambda: tilt(q, np.zeros(40), beta),
        lambda: tilt(q, np.zeros(40), 1.0).with_beta(beta),
    ):
        with pytest.raises(kind, match="beta"):
            call()


def at(place, value):
    R = np.zeros(40)
    R[place] = value
    return R


def entry(x, y, value):
    return sp.csr_array(([value], ([x], [y])), shape=(40, 40))


EDGE = tuple(int(i[0]) for i in np.nonzero(VALUED.toarray()))
HOLE = tuple(int(i[0]) for i in np.nonzero(VALUED.toarray() == 0))


@pytest.mark.parametrize(
    "reward, kind, word",
    [
        (at(5, np.nan), ValueError, "reward[5] is nan"),
        (at(6, np.inf), ValueError, "reward[6] is inf"),
        (np.zeros(39), ValueError, "(40,)"),
        (np.zeros((40, 40)), ValueError, "(40,)"),
        (np.zeros((40, 1)), ValueError, "(40,)"),
        (1.0, ValueError, "(40,)"),
        (np.zeros(40, complex), TypeError, "complex"),
        (["a"] * 40, TypeError, "reward"),
        (entry(*EDGE, np.nan), ValueError, f"reward[{EDGE[0]}, {EDGE[1]}] is nan"),
        (entry(*EDGE, np.inf), ValueError, f"reward[{EDGE[0]}, {EDGE[1]}] is inf"),
        (entry(*HOLE, 1.0), ValueError, f"no transition {HOLE[0]} -> {HOLE[1]}; remove it"),
        (sp.csr_array((39, 39)), ValueError, "(40, 40)"),
        (sp.csr_array((40, 40), dtype=complex), TypeError, "complex"),
        (np.full(40, -np.inf), ValueError, "row 0: the reward forbids every transition"),
        (np.where(VALUED.toarray()[7] > 0, -np.inf, 0), ValueError, "forbids every transition"),
    ],
)
def test_bad_rewards(reward, kind, word):
    with pytest.raises(kind) as error:
        tilt(CHAINS["reversible"], reward, 1.0)
    assert word in str(error.value)


@pytest.mark.parametrize("sign", (1, -1))
@pytest.mark.parametrize(
    "form", (lambda v: at(0, v), lambda v: entry(*EDGE, v)), ids=("vector", "sparse")
)
def test_a_quotient_that_overflows_is_refused(form, sign):
    with pytest.raises(InvalidChainError, match=r"overflows.*raise beta"):
        tilt(CHAINS["reversible"], form(sign * 1e300), 1e-10)


def test_an_empty_sparse_reward_is_zero():
    q = CHAINS["reversible"]
    assert_same_kernel(tilt(q, sp.csr_array((40, 40)), 0.1), dense(q))


def test_only_chains_are_tilted():
    with pytest.raises(TypeError, match="MarkovChain"):
        tilt(VALUED, np.zeros(40), 1.0)
