"""Values as arrays and back."""

import math

import numpy as np
import pytest

import fastebm as fe
from fastebm._runtime.packing import pack, unpack


def test_values_come_back_with_their_types_and_bits():
    value = {
        "numbers": [0.1, -0.0, math.inf, 2**70, True, None, 3 + 0.1j],
        2.5: ("text", (), {}, np.float64(0.1), np.int64(7), np.True_),
        None: np.array([[1.5, np.nan]]),
        "wide": np.complex128(1 + 2j),
    }
    found = unpack(pack(value))
    assert repr(found) == repr(value)
    assert [type(item) for item in found[2.5]] == [type(item) for item in value[2.5]]
    assert math.copysign(1.0, found["numbers"][1]) == -1.0


def test_results_come_back_whole():
    chain = fe.MarkovChain(np.array([[0.9, 0.1], [0.4, 0.6]]))
    sample = fe.simulate_hitting_times(chain, [1], start=0, n_walkers=50, rng=1)
    found = unpack(pack({"sample": sample, "gap": fe.spectral_gap(chain)}))
    assert type(found["sample"]) is type(sample) and type(found["gap"]) is fe.GapResult
    assert found["sample"].to_dict() == sample.to_dict()
    assert found["sample"].survival.times.dtype == sample.survival.times.dtype


@pytest.mark.parametrize("value", [object(), np.array([object()]), {1, 2}, b"bytes"])
def test_what_a_file_cannot_hold_without_code_is_refused(value):
    with pytest.raises(TypeError, match="cannot be kept in a checkpoint"):
        pack([value])


def test_a_name_in_a_file_imports_nothing():
    arrays = pack(None) | {"structure": np.array('{"result": "os.system", "fields": {}}')}
    with pytest.raises(KeyError, match=r"os\.system"):
        unpack(arrays)
