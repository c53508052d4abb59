"""Chains of users' rules are pickled and saved by the name of the rule."""

import pickle
import subprocess
import sys

import example_rules
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from rule_chains import N, arrays, general, random_matrix, reversible, symmetric
from saved_folders import data_of, forge_array

import fastebm as fe


@pytest.mark.parametrize("build", [general, symmetric, reversible])
def test_pickled_and_saved_by_name(build, no_copy, tmp_path):
    chain, _ = build()
    for c in (chain, chain.lazy(0.25), fe.tilt(chain, np.cos(np.arange(N)), 0.5)):
        c.save(tmp_path / "chain")
        x = np.random.default_rng(0).random(N)
        for copy in (
            pickle.loads(pickle.dumps(c)),
            fe.load(tmp_path / "chain", trust="example_rules"),
        ):
            assert_array_equal(copy @ x, c @ x)
            assert copy.fingerprint() == c.fingerprint() and copy.storage == c.storage
            assert_array_equal(x @ copy, x @ c)


def test_another_process_finds_the_rule(tmp_path):
    chain, _ = symmetric()
    chain.save(tmp_path / "chain")
    code = (
        f"import sys; sys.path.insert(0, {str(sys.path[0])!r}); sys.path += {sys.path!r}; "
        f"import fastebm as fe; chain = fe.load({str(tmp_path / 'chain')!r}, trust='example_rules')"
        "\nprint(chain.fingerprint())"
    )
    out = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == chain.fingerprint()


def test_a_rule_without_a_name_is_not_saved(tmp_path):
    def local(state, data, out_states, out_weights):
        out_states[0], out_weights[0] = state, 1.0
        return 1

    chain = fe.row_kernel(local, 3, 1)
    for keep in (lambda: pickle.dumps(chain), lambda: chain.save(tmp_path / "chain")):
        with pytest.raises(fe.InvalidChainError, match="top level of a module"):
            keep()
    assert not list(tmp_path.iterdir())


def test_a_rule_that_is_missing_or_replaced_is_refused(tmp_path, monkeypatch):
    chain, _ = general(incoming=False)
    chain.save(tmp_path / "chain")
    monkeypatch.setattr(example_rules, "listed", example_rules.slightly)
    with pytest.raises(fe.InvalidChainError):
        fe.load(tmp_path / "chain", trust="example_rules")
    monkeypatch.delattr(example_rules, "listed")
    with pytest.raises(fe.InvalidChainError, match="cannot be imported"):
        fe.load(tmp_path / "chain", trust="example_rules")


def test_a_rule_of_other_weights_is_refused(tmp_path):
    chain, _ = general(incoming=False)
    chain.save(tmp_path / "chain")
    weights = np.load(data_of(tmp_path / "chain") / "data2.npy")
    weights[5] *= 2.0
    forge_array(tmp_path / "chain", "data2", weights)
    with pytest.raises(fe.InvalidChainError, match="does not make the chain that was saved: row"):
        fe.load(tmp_path / "chain", trust="example_rules")


def test_fingerprints_depend_on_the_weights():
    A = random_matrix()
    B = A.copy()
    B.data[7] = np.nextafter(B.data[7], 2.0)
    texts = {
        fe.row_kernel(example_rules.listed, N, 20, data=arrays(M)).fingerprint() for M in (A, B)
    }
    assert len(texts) == 2


MAIN = """
import sys, warnings
import numpy as np
import fastebm as fe

def rule(state, data, out_states, out_weights):
    out_states[0], out_weights[0] = (state + 1) % 5, 1.0
    return 1

chain = fe.row_kernel(rule, 5, 1, symmetric=False)
with warnings.catch_warnings(record=True) as found:
    warnings.simplefilter("always")
    chain.save(sys.argv[1])
    chain.lazy(0.5).save(sys.argv[1])
print(*(f"{w.category.__name__} at {w.filename}: {w.message}" for w in found), sep="\\n")
"""


def test_a_rule_of_the_script_is_saved_with_a_warning(tmp_path):
    script, folder = tmp_path / "script.py", tmp_path / "chain"
    script.write_text(MAIN)
    done = subprocess.run(
        [sys.executable, "-P", str(script), str(folder)], capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    for line in lines:
        assert line.startswith(f"UserWarning at {script}: {folder}: the rule of the chain is in")
