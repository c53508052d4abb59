"""Loading a saved chain runs nothing, reads nothing outside its folder, and takes no type for
another one."""

import json
import os
import sys

import example_rules
import numpy as np
import pytest
import scipy.sparse as sp
from saved_folders import (
    contents_of,
    copy_folder,
    data_of,
    forge,
    forge_array,
    forge_file,
    write_pointer,
)
from small_chains import P

import fastebm as fe
from fastebm import InvalidChainError, MarkovChain, MemoryForecastError
from fastebm.cli import main


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A saved chain that uses every part of the format but a recipe, and one of a rule."""
    folder = tmp_path_factory.mktemp("saved")
    chain = MarkovChain(P, labels=list("abc"), reward=[1.0, 2.0, 3.0])
    fe.stationary(chain)
    fe.tilt(chain.lazy(0.25), [0.0, 1.0, -1.0], 0.5).save(folder / "tilted")
    ruled = fe.row_kernel(example_rules.birth_death, 5, 2, data=(0.5, 0.25, 5))
    ruled.save(folder / "ruled")
    return folder


@pytest.fixture
def path(saved, tmp_path):
    return copy_folder(saved / "tilted", tmp_path / "chain")


@pytest.fixture
def ruled(saved, tmp_path):
    return copy_folder(saved / "ruled", tmp_path / "chain")


EVIL = "open('ran', 'w')\ndef f(state, data, out_states, out_weights):\n    return 0\n"


def test_a_rule_is_not_imported_unless_it_is_trusted(ruled, monkeypatch, capsys):
    (ruled.parent / "evil.py").write_text(EVIL)
    monkeypatch.chdir(ruled.parent)
    monkeypatch.syspath_prepend(str(ruled.parent))
    forge(ruled, lambda contents: contents["facts"]["recipe"].update(rule="evil:f"))
    for trust in (None, "example_rules", ["example_rules"], [], example_rules.birth_death, "evi"):
        with pytest.raises(InvalidChainError, match=r"runs the module evil; pass trust='evil' if"):
            fe.load(ruled, trust=trust)
    assert main(["info", str(ruled)]) == 2
    assert "pass --trust evil if you trust its code" in capsys.readouterr().err
    assert not os.path.exists("ran") and "evil" not in sys.modules
    with pytest.raises(InvalidChainError, match="row"):
        fe.load(ruled, trust="evil")  # it is the caller's decision
    assert os.path.exists("ran")
    del sys.modules["evil"]


def test_trusted_rules(ruled, capsys):
    rule = example_rules.birth_death
    for trust in ("example_rules", rule, ["math", "example_rules"], (rule,), {rule, "os"}):
        assert fe.load(ruled, trust=trust).n_states == 5
    with pytest.raises(InvalidChainError, match="trust='example_rules'"):
        fe.load(ruled)  # although it is imported already
    with pytest.raises(InvalidChainError, match="trust='example_rules'"):
        fe.load(ruled, trust=example_rules.hypercube)
    assert main(["info", str(ruled), "--trust", "math", "--trust", "example_rules"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("trust", [True, False, 3, [True], [3], [["example_rules"]]])
def test_trust_is_a_module_or_a_function(trust, ruled):
    with pytest.raises(TypeError, match="trust must be"):
        fe.load(ruled, trust=trust)


@pytest.mark.parametrize(
    "name",
    [
        "example_rules:np.load",
        "example_rules:sys.modules",
        "example_rules:birth_death.__globals__",
        "example_rules:__builtins__",
        "example_rules:",
        "example_rules",
        ":f",
        "example_rules:.f",
        "../example_rules:f",
        "",
        7,
        ["example_rules:birth_death"],
    ],
)
def test_a_trusted_module_does_not_lend_its_imports(name, ruled, monkeypatch):
    monkeypatch.setattr(example_rules, "np", np, raising=False)
    forge(ruled, lambda contents: contents["facts"]["recipe"].update(rule=name))
    with pytest.raises(InvalidChainError):
        fe.load(ruled, trust="example_rules")


@pytest.mark.parametrize(
    "name",
    ["../outside", "a/../../outside", "/tmp/x", "..", "", "A", "a.b", "a\x00", "a" * 65, "ä"],
)
def test_names_of_arrays_cannot_leave_the_folder(name, path):
    def rename(contents):
        contents["arrays"][name] = contents["arrays"]["shift"]

    np.save(path.parent / "outside.npy", np.ones(3))
    forge(path, rename)
    with pytest.raises(InvalidChainError, match="an array has the name"):
        fe.load(path)


@pytest.mark.parametrize("name", ["..", ".", "data-", "../chain", "/", "data-000000000000000g", 7])
def test_the_data_folder_cannot_leave_the_folder(name, path):
    forge(path, lambda contents: contents.update(data=name))
    with pytest.raises(InvalidChainError, match="names the folder"):
        fe.load(path)


@pytest.mark.parametrize("what", ["data", "values.npy", "labels.txt", "chain.json"])
@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_only_regular_files_are_read(what, kind, path):
    place = {"data": data_of(path), "chain.json": path / what}.get(what, data_of(path) / what)
    if (what, kind) == ("data", "folder"):
        pytest.skip("it is one")
    outside = path.parent / "outside"
    place.rename(outside)
    if kind == "link":
        place.symlink_to(outside)
    elif kind == "folder":
        place.mkdir()
    else:
        os.mkfifo(place)
    with pytest.raises(InvalidChainError):
        fe.load(path)


def test_a_link_to_the_folder_is_the_users(path):
    link = path.parent / "link"
    link.symlink_to(path)
    assert fe.load(link).n_states == 3
    MarkovChain(P).save(link)
    assert link.is_symlink() and len(os.listdir(path)) == 2


def test_saving_follows_no_link_of_the_folder(tmp_path):
    folder, outside = tmp_path / "chain", tmp_path / "outside"
    outside.write_text("mine")
    folder.mkdir()
    (folder / "chain.json").symlink_to(outside)
    with pytest.raises(InvalidChainError, match="not a saved chain"):
        MarkovChain(P).save(folder)
    assert outside.read_text() == "mine"


def test_saving_does_not_replace_another_programs_chain_json(tmp_path):
    (tmp_path / "chain.json").write_text('{"blocks": []}')
    with pytest.raises(InvalidChainError, match="not a saved chain"):
        MarkovChain(P).save(tmp_path)
    assert (tmp_path / "chain.json").read_text() == '{"blocks": []}'


WRONG = [None, True, False, "1", "x", -1, 0, 1.5, float("nan"), float("inf"), [], [1], {}, 10**400]
FACTS = ("n_states", "lag", "rate", "symmetric", "tilts", "law", "recipe")
RIGHT = {"rate": (None, 1.5), "symmetric": (True, False), "recipe": (None,), "lag": ()}


@pytest.mark.parametrize("name", FACTS)
def test_wrong_types_in_the_facts(name, path):
    good = contents_of(path)["facts"]
    for wrong in WRONG:
        if any(wrong is right for right in RIGHT.get(name, ())):
            continue
        if (name, wrong) in (("tilts", []), ("law", {}), ("lag", 10**400)):
            continue  # possible, if not what was saved
        forge(path, lambda contents, wrong=wrong: contents["facts"].update({name: wrong}))
        with pytest.raises(InvalidChainError) as caught:
            fe.load(path)
        assert "\n" not in str(caught.value), wrong
        forge(path, lambda contents: contents.update(facts=good))
    if name not in ("law", "recipe"):
        forge(path, lambda contents: contents["facts"].pop(name))
        with pytest.raises(InvalidChainError, match=f"has no entry '{name}'"):
            fe.load(path)


@pytest.mark.parametrize("name", ["dtype", "shape", "size", "crc32"])
def test_wrong_types_in_a_record(name, path):
    good = contents_of(path)["arrays"]
    for wrong in [*WRONG, "O", "|O8", "<U9", "V16", "<f8,<f8", ">f8", [3, 3], [2**62, 2**62], [-3]]:
        forge(path, lambda contents, w=wrong: contents["arrays"]["values"].update({name: w}))
        with pytest.raises(InvalidChainError) as caught:
            fe.load(path)
        assert "\n" not in str(caught.value), wrong
        forge(path, lambda contents: contents.update(arrays=good))
    forge(path, lambda contents: contents["arrays"]["values"].pop(name))
    with pytest.raises(InvalidChainError, match=f"has no entry '{name}'"):
        fe.load(path)


@pytest.mark.parametrize("name", ["facts", "arrays", "labels", "format", "data"])
def test_wrong_types_at_the_top(name, path):
    good = contents_of(path)[name]
    for wrong in [None, True, "x", -1, 1.5, [], [1], {}]:
        forge(path, lambda contents, wrong=wrong: contents.update({name: wrong}))
        with pytest.raises(InvalidChainError):
            fe.load(path)
        forge(path, lambda contents: contents.update({name: good}))


@pytest.mark.parametrize(
    "text",
    [
        "{" + ',"a":[' * 100_000,
        "{" + ',"a":' + "[" * 100_000 + "]" * 100_000 + "}",
        "{" + ', "format": ' + "9" * 6000 + "}",
        "{" + ', "format": 2}',
        "{" + ', "format": 2, "data": "data-0123456789abcdef"}',
        "{",
    ],
    ids=["deep", "deep and closed", "digits", "no data", "no facts", "cut"],
)
def test_json_that_is_none(text, path, capsys):
    write_pointer(path, text)
    with pytest.raises(InvalidChainError):
        fe.load(path)
    (path / "chain.json").write_text(text)  # without a checksum
    assert main(["info", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("n_states", [2**31, 10**13, 2**62, 2**63, 10**30])
def test_sizes_beyond_the_memory(n_states, path):
    forge(path, lambda contents: contents["facts"].update(n_states=n_states))
    with pytest.raises((MemoryForecastError, InvalidChainError)):
        fe.load(path)


@pytest.mark.parametrize(
    "data", [b"", b"a\nb\n", b"a\nb\nc", b"a\nb\nc\n\n", b"\xff\nb\nc\n", b"a\nb\n\xc3\n"]
)
def test_labels_that_do_not_fit(data, path):
    forge_file(path, "labels.txt", data)
    with pytest.raises(InvalidChainError):
        fe.load(path)


@pytest.mark.parametrize("name, value", [("indices", 3), ("indices", -1), ("indptr", 99)])
def test_a_sparse_reward_out_of_range(name, value, tmp_path):
    """SciPy reads beyond its arrays otherwise."""
    fe.tilt(MarkovChain(P), sp.csr_array(P), 0.5).save(tmp_path / "chain")
    array = np.load(data_of(tmp_path / "chain") / f"tilt0_{name}.npy")
    array[1] = value
    forge_array(tmp_path / "chain", f"tilt0_{name}", array)
    with pytest.raises(InvalidChainError, match=f"tilt0_{name}"):
        fe.load(tmp_path / "chain", verify=False)


def test_a_law_may_have_three_numbers(path):
    forge(path, lambda contents: contents["facts"].update(law={"log_pi": 1.0}))
    with pytest.raises(InvalidChainError, match="law must be one of"):
        fe.load(path)
    forge(path, lambda contents: contents["facts"].update(law={"tol": "0"}))
    with pytest.raises(InvalidChainError, match="tol must be"):
        fe.load(path)


def test_chain_json_is_json(path):
    assert json.loads((path / "chain.json").read_text())["facts"]["n_states"] == 3
