"""A verifiable policy at some starts is the one of all states there."""

import numpy as np
import pytest

import fastebm as fe
from fastebm.errors import InvalidChainError

WALK = fe.MarkovChain.from_edges(range(30), range(1, 31), symmetric=True)
ARRAYS = [
    f"{name}{end}"
    for name in ("success", "success_reference", "path_kl", "value")
    for end in ("", "_lower", "_upper")
]


@pytest.mark.parametrize("states", [[7], [20, 3, 3], np.arange(31) % 7 == 2, 5])
@pytest.mark.parametrize("beta", [np.inf, 1.0, 0.02])
def test_the_same_bits_at_some_states(states, beta):
    whole = fe.policy.verifiable(WALK, [30], beta, wrong=[0])
    some = whole.at(states)
    for other, policy in ((whole, some), (whole.with_beta(0.3), some.with_beta(0.3))):
        for name in (*ARRAYS, "log_z"):
            expected = np.atleast_1d(getattr(other, name)[states])
            assert np.array_equal(getattr(policy, name), expected), name
        assert policy.converged == other.converged and policy.beta == other.beta


def test_some_states_have_no_chain():
    some = fe.policy.verifiable(WALK, [30], 1.0, wrong=[0]).at([4])
    for call in (lambda: some.chain, lambda: some.flow(1.0)):
        with pytest.raises(InvalidChainError, match="at some states has no chain"):
            call()
    with pytest.raises(InvalidChainError, match="states"):
        fe.policy.verifiable(WALK, [30], 1.0, wrong=[0]).at([31])
    assert some.to_dict()["success"] == some.success.tolist()
