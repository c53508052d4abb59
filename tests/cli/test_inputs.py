"""The chains, states and vectors that the command line reads, and the errors about bad ones."""

import io

import gallery
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.io import mmwrite

import fastebm as fe


def test_every_kind_of_chain(call, tmp_path, npz):
    P = np.array([[0.25, 0.75], [0.5, 0.5]])
    npz(tmp_path, P)
    mmwrite(tmp_path / "chain.mtx", sp.coo_array(P))
    (tmp_path / "chain.tra").write_text("2 4\n0 0 0.25\n0 1 0.75\n1 0 0.5\n1 1 0.5\n")
    (tmp_path / "chain.csv").write_text("0,0,1\n0,1,3\n1,0,7\n1,1,7\n")
    fe.MarkovChain(P).save(tmp_path / "folder")
    for name in ("chain.npz", "chain.mtx", "chain.tra", "chain.csv", "folder"):
        code, document, _ = call("gap", tmp_path / name)
        assert code == 0 and document["gap"]["gap"] == pytest.approx(1.25, rel=1e-12), name
    code, document, _ = call("info", "dataset:english-phones")
    assert code == 0 and document["n_states"] == 1553 and document["info"]["reward"]


class FakeStdin:
    def __init__(self, content):
        self.buffer = io.BytesIO(content)


@pytest.mark.parametrize(
    "content",
    [
        "# a comment\n0,0,1\n0,1,3\n1,0,7\n1,1,7\n",
        "% asym\n0 0 1\n0 1 3\n1 0 7\n1 1 7\n",
        "0\t0\t1\n0\t1\t3\n1\t0\t7\n1\t1\t7\n",
        "%%MatrixMarket matrix coordinate real general\n2 2 4\n1 1 .25\n1 2 .75\n2 1 .5\n2 2 .5\n",
    ],
)
def test_a_chain_from_standard_input(call, monkeypatch, content):
    monkeypatch.setattr("sys.stdin", FakeStdin(content.encode()))
    code, document, _ = call("gap", "-")
    assert code == 0 and document["chain"] == "-"
    assert document["gap"]["gap"] == pytest.approx(1.25, rel=1e-12)


def test_a_graph_from_standard_input(call, monkeypatch):
    monkeypatch.setattr("sys.stdin", FakeStdin(b"a,b\nb,a\nb,c\n"))
    code, document, _ = call("pagerank", "-", "--symmetric")
    assert code == 0 and document["states"] == ["a", "b", "c"]
    want = fe.pagerank(np.array([[0, 2, 0], [2, 0, 1], [0, 1, 0]])).pi
    assert document["pagerank"]["pi"] == pytest.approx(want, abs=1e-9)
    monkeypatch.setattr("sys.stdin", FakeStdin(b"a,b\nb,c,x\n"))
    code, document, err = call("pagerank", "-")
    assert code == 2 and document is None
    assert err.startswith("fastebm pagerank: error: standard input: ")


@pytest.mark.parametrize("content", [b"", b"0,1\n1,0,x\n", b"\xff\xfe", b"\x1f\x8b"])
def test_errors_of_standard_input_name_it(call, monkeypatch, content):
    monkeypatch.setattr("sys.stdin", FakeStdin(content))
    code, document, err = call("gap", "-")
    assert code == 2 and document is None
    assert err.startswith("fastebm gap: error: standard input: ")


def test_rows_of_matrices_are_normalised_on_request_only(call, tmp_path, npz):
    path = npz(tmp_path, np.array([[1.0, 3.0], [2.0, 2.0]]))
    code, document, err = call("gap", path)
    assert code == 2 and document is None and "normalize" in err
    assert call("gap", path, "--normalize")[1]["gap"]["gap"] == pytest.approx(1.25, rel=1e-12)


@pytest.mark.parametrize(
    "name, content, fragment",
    [
        ("missing.npz", None, "No such file"),
        ("chain.xlsx", "x", "unknown suffix"),
        ("chain.npz", "x", "save_npz"),
        ("chain.csv", "a,b,-1\n", "line 1"),
        ("chain.csv", "a,b,1\n", "row 1"),
        ("dataset:nothing", None, "english-trigram"),
    ],
)
def test_a_chain_that_cannot_be_read(name, content, fragment, call, tmp_path):
    path = name if name.startswith("dataset:") else tmp_path / name
    if content is not None:
        path.write_text(content)
    code, document, err = call("gap", path)
    assert (
        code == 2
        and document is None
        and err.startswith("fastebm gap: error: ")
        and err.count("\n") == 1
    )
    assert fragment in err


def test_folders_that_are_not_chains_and_options_that_do_not_apply(call, tmp_path):
    assert "not a saved chain" in call("gap", tmp_path)[2]
    assert "--symmetric is for edge lists" in call("gap", tmp_path / "chain.npz", "--symmetric")[2]
    assert "--normalize is for files" in call("gap", "dataset:english-phones", "--normalize")[2]


@pytest.fixture
def labelled(tmp_path):
    """The path of a chain with the labels 1, 2, 3: from 1 to 2 or 3, from 2 to 3, from 3 to 1."""
    path = tmp_path / "labelled.csv"
    path.write_text("1,2,1\n2,3,1\n3,1,1\n1,3,1\n")
    return path


def test_states_of_a_chain_with_labels_are_given_by_label(call, labelled):
    document = call("hit", labelled, "--target", "3", "--start", "1", "2")[1]
    assert [item["state"] for item in document["start"]] == [0, 1]
    assert [item["mean"] for item in document["start"]] == pytest.approx([1.5, 1.0])
    document = call("hit", labelled, "--numbered", "--target", "2", "--start", "0", "1")[1]
    assert [item["mean"] for item in document["start"]] == pytest.approx([1.5, 1.0])
    assert [item["label"] for item in document["start"]] == ["1", "2"]


@pytest.mark.parametrize(
    "args",
    [
        ["hit", "{path}", "--target", "0"],
        ["hit", "{path}", "--target", "1", "--start", "0"],
        ["mix", "{path}", "--start", "0"],
        ["convert", "{path}", "{path}.npz", "--class", "0"],
        ["tilt", "{path}", "--reward", "{score}", "--beta", "1", "--output", "{path}-tilted"],
        ["hit", "{path}", "--level", "1", "--score", "{score}"],
        ["analyze", "{path}", "--level", "1", "--score", "{score}"],
    ],
)
def test_a_number_that_is_no_label_is_an_error_in_every_option(args, call, labelled, tmp_path):
    (tmp_path / "score.csv").write_text("0,1\n")
    args = [arg.format(path=labelled, score=tmp_path / "score.csv") for arg in args]
    code, document, err = call(*args)
    assert code == 2 and document is None
    assert "no state '0': it is not a label; labels are '1', '2', '3'" in err
    assert "for the state of number 0 (labelled '1') give --numbered" in err
    assert call(*args, "--numbered")[0] == 0


def test_a_name_that_is_no_label_lists_those_that_are_near(call, tmp_path):
    path = tmp_path / "words.csv"
    path.write_text("morning,evening,1\nevening,night,2\nnight,morning,1\nnight,evening,3\n")
    err = call("hit", path, "--target", "mornings")[2]
    assert "no state 'mornings': it is not a label; labels are 'morning', " in err
    assert "--numbered" not in err
    assert (
        "no state '3': states are numbered 0 to 2"
        in (call("hit", path, "--target", "3", "--numbered")[2])
    )


def test_a_label_of_two_states_is_ambiguous(call, tmp_path):
    P = np.array([[0.5, 0.5, 0.0], [0.25, 0.5, 0.25], [0.0, 0.5, 0.5]])
    fe.MarkovChain(P, labels=["a", "b", "a"]).save(tmp_path / "chain")
    (tmp_path / "score.csv").write_text("a,1\n")
    for args in (["--target", "a"], ["--score", tmp_path / "score.csv", "--level", 1]):
        code, _, err = call("hit", tmp_path / "chain", *args)
        assert code == 2 and "'a' is the label of the states 0 and 2; give --numbered" in err
    found = call("hit", tmp_path / "chain", "--target", "2", "--numbered")[1]
    np.testing.assert_allclose(found["solve"]["mean"], [8.0, 6.0, 0.0], rtol=1e-9)


def test_words_of_a_dataset_are_no_numbers(call):
    code, _, err = call("mix", "dataset:english-phones", "--start", "4")
    assert code == 2 and "no state '4': it is not a label" in err


# 3 states; from sun to (sun, rain, fog) 8, 2, 0 and so on.
TABLE = np.array([[8.0, 2, 0], [3, 9, 1], [0, 5, 5]])


@pytest.mark.parametrize(
    ("text", "options", "target"),
    [
        (",sun,rain,fog\nsun,8,2,0\nrain,3,9,1\nfog,0,5,5\n", [], "fog"),
        (",fog,rain,sun\nsun,0,2,8\nrain,1,9,3\nfog,5,5,0\n", [], "fog"),
        ("8,2,0\n3,9,1\n0,5,5\n", ["--format", "table"], "2"),
    ],
)
def test_a_table_of_counts(text, options, target, call, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(text)
    document = call("hit", path, "--target", target, *options)[1]
    P = TABLE / TABLE.sum(axis=1, keepdims=True)
    mean = np.linalg.solve(np.eye(2) - P[:2, :2], np.ones(2))
    np.testing.assert_allclose(document["solve"]["mean"], [*mean, 0.0], rtol=1e-9)
    found = call("balance", "--counts", path, "--bootstrap", 9, "--seed", 1, *options)[1]
    expected = fe.balance_test(TABLE, n_bootstrap=9, rng=1).statistic
    assert found["groups"][0]["balance"]["statistic"] == pytest.approx(expected, rel=1e-9)


def test_a_file_that_may_be_a_table_or_a_list_is_refused(call, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("8,2,0\n3,9,1\n0,5,5\n")
    for command in (["gap", path], ["balance", "--counts", path]):
        code, document, err = call(*command)
        assert code == 2 and document is None
        assert "may be an edge list (source, target, weight) or a table" in err
        assert "--format edges or --format table" in err
    # as edges 8 -> 2, 3 -> 9, 0 -> 5: the state 2 leads nowhere
    assert "row 1 (2): a row has no positive entry" in call("info", path, "--format", "edges")[2]
    assert (
        "--symmetric is for edge lists" in call("gap", path, "--format", "table", "--symmetric")[2]
    )
    assert "leave --format out" in call("gap", tmp_path / "chain.npz", "--format", "table")[2]


def test_a_state_has_one_score(call, labelled, tmp_path):
    (tmp_path / "score.csv").write_text("1,2\n2,1\n1,3\n")
    err = call("hit", labelled, "--score", tmp_path / "score.csv", "--level", 1)[2]
    assert "line 3: the state '1' has a value already" in err


def test_scores_come_from_npy_or_text(call, tmp_path, npz):
    path = npz(tmp_path, np.array([[0.5, 0.5, 0.0], [0.25, 0.5, 0.25], [0.0, 0.5, 0.5]]))
    np.save(tmp_path / "score.npy", np.array([0.0, 0.0, 2.0]))
    (tmp_path / "one.csv").write_text("0\n0\n2\n")
    (tmp_path / "two.csv").write_text("2,2\n")
    for name in ("score.npy", "one.csv", "two.csv"):
        document = call("hit", path, "--score", tmp_path / name, "--level", 1)[1]
        assert document["solve"]["mean"] == pytest.approx([8.0, 6.0, 0.0]), name


@pytest.mark.parametrize(
    "name, content, fragment",
    [
        ("score.csv", "0\n1\n", "2 lines of 1 fields for 3 states"),
        ("score.csv", "a\nb\nc\n", "line 1: 'a' is not a number"),
        ("score.csv", "9,1\n", "no state '9'"),
        ("score.csv", "0,1\n1\n", "line 2: 1 fields instead of 2"),
        ("score.csv", "", "0 lines"),
        ("score.npy", "", "score.npy"),
        ("gone.csv", None, "No such file"),
        ("score.csv", "0\n0\n0\n", "the largest is 0"),
    ],
)
def test_bad_scores(name, content, fragment, call, tmp_path, npz):
    path = npz(tmp_path, gallery.cycle(3).P)
    if content is not None:
        (tmp_path / name).write_text(content)
    code, document, err = call("hit", path, "--score", tmp_path / name, "--level", 1)
    assert code == 2 and document is None and fragment in err and err.count("\n") == 1


def test_lazy_makes_a_periodic_chain_aperiodic(call, npz, tmp_path):
    path = npz(tmp_path, np.eye(2)[::-1])
    code, document, err = call("mix", path)
    assert code == 1 and document["error"]["text"].endswith("use --lazy 0.5")
    assert err == f"fastebm mix: error: {document['error']['text']}\n"
    code, document, _ = call("mix", path, "--lazy", 0.25, "--start", 0, "--steps", 3)
    assert code == 0 and document["lazy"] == 0.25
    # The eigenvalue besides 1 is 2 h - 1: the distance is |2 h - 1|^t / 2.
    assert document["mixing"]["tv"][0] == pytest.approx([0.5, 0.25, 0.125, 0.0625])
    for wrong in ("1", "-0.5", "nan", "much"):
        assert call("mix", path, "--lazy", wrong)[0] == 2


def test_convert_writes_the_class_of_a_state(call, tmp_path):
    path = tmp_path / "two.csv"
    path.write_text("a,b,1\nb,a,1\nc,d,3\nc,c,1\nd,c,1\n")
    code, document, _ = call("gap", path)
    advice = "'fastebm convert CHAIN OUTPUT --class STATE'"
    assert code == 1 and advice in document["error"]["text"]
    code, document, _ = call("convert", path, tmp_path / "part", "--class", "d")
    assert code == 0 and document["n_states"] == 2
    part = fe.load(tmp_path / "part")
    assert list(part.labels) == ["c", "d"]
    np.testing.assert_allclose(part.to_scipy().toarray(), [[0.25, 0.75], [1.0, 0.0]])
    assert call("gap", tmp_path / "part")[0] == 0
    assert "no state 'e'" in call("convert", path, tmp_path / "x", "--class", "e")[2]


@pytest.mark.parametrize(
    "args, fragment",
    [
        (["gap"], "--normalize"),
        (["gap", "--normalize", "--tol", 2], "--tol must be strictly between"),
        (["mix", "--normalize", "--steps", -1], "--steps must be at least"),
        (["analyze", "--normalize", "--level", 1], "give --score"),
        (["analyze", "--normalize", "--betas", 1], "give --score"),
        (["analyze", "--normalize", "--betas", 0], "--betas must be above 0, got 0"),
        (
            ["analyze", "--reward", "x.csv"],
            "fastebm analyze: error: unrecognized arguments: --reward",
        ),
        (["info", "--tol", 1], "see 'fastebm info --help'"),
        (["hit", "--normalize", "--level", 1], "give --score"),
        (["tilt", "--normalize", "--beta", 1, "--output", "x"], "give --reward"),
    ],
)
def test_errors_name_options(args, fragment, call, npz, tmp_path):
    path = npz(tmp_path, np.array([[1.0, 3.0], [2.0, 2.0]]))
    code, document, err = call(args[0], path, *args[1:])
    assert code == 2 and document is None and fragment in err


def test_a_score_without_a_level(call, npz, tmp_path):
    path = npz(tmp_path, gallery.cycle(3, 0.5).P)
    (tmp_path / "score.csv").write_text("0\n1\n2\n")
    code, document, err = call("analyze", path, "--score", tmp_path / "score.csv")
    assert code == 2 and document is None and "give --level" in err


def test_files_of_python_objects_are_refused_without_advice_to_load_them(call, npz, tmp_path):
    np.save(tmp_path / "score.npy", np.array([{}], dtype=object))
    path = npz(tmp_path, gallery.cycle(3, 0.5).P)
    err = call("hit", path, "--score", tmp_path / "score.npy", "--level", 1)[2]
    assert "score.npy holds object; save numbers" in err
