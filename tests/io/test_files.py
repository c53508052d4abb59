"""Readers: they return what was written, and refuse malformed files with the place and a remedy."""

import builtins
import csv
import gzip
import re
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import mmwrite

from fastebm.errors import FastebmError, InvalidChainError
from fastebm.io import read

P = np.array([[0.0, 0.25, 0.75], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])


@pytest.fixture
def write(tmp_path):
    """Writes text or bytes to a file of that name, compressed if the name ends in .gz; returns the
    path."""

    def write(name, content):
        path = tmp_path / name
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


def refused(path, *fragments):
    """`read` refuses the file; the text names the file and holds every fragment."""
    with pytest.raises(InvalidChainError) as info:
        read(path)
    for fragment in (str(path), *fragments):
        assert fragment in str(info.value)


def assert_reads(path, expected, labels=None):
    matrix, found = read(path)
    assert isinstance(matrix, sp.csr_array) and matrix.dtype == np.float64
    np.testing.assert_array_equal(matrix.toarray(), expected)
    assert found == labels
    return matrix


# --- what is written comes back -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [sp.csr_array, sp.csc_matrix, sp.coo_array, sp.dia_array])
def test_npz_of_every_sparse_kind(tmp_path, kind):
    sp.save_npz(tmp_path / "chain.npz", kind(P))
    assert_reads(tmp_path / "chain.npz", P)


@pytest.mark.parametrize("suffix", [".mtx", ".mtx.gz", ".MTX.GZ"])
@pytest.mark.parametrize("dense", [False, True])
def test_matrix_market(tmp_path, suffix, dense):
    path = tmp_path / f"chain{suffix}"
    with (gzip.open if suffix.lower().endswith(".gz") else open)(path, "wb") as file:
        mmwrite(file, P if dense else sp.coo_array(P))
    assert_reads(path, P)


def test_matrix_market_keeps_both_triangles_of_a_symmetric_file(write):
    text = (
        "%%MatrixMarket matrix coordinate integer symmetric\n% a comment\n"
        "3 3 3\n1 1 4\n2 1 5\n3 2 6\n"
    )
    assert_reads(write("graph.mtx", text), [[4, 5, 0], [5, 0, 6], [0, 6, 0]])


def test_matrix_market_pattern_counts_one_an_edge(write):
    text = "%%MatrixMarket matrix coordinate pattern general\n2 2 2\n1 2\n2 1\n"
    assert_reads(write("graph.mtx", text), [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    "text",
    [
        "3 5\n0 1 0.25\n0 2 0.75\n1 0 0.5\n1 1 0.5\n2 0 1\n",
        "3 5\n0 1 0.25 go\n0 2 0.75 go\n1 0 0.5\n1 1 5e-1\n2 0 1 stop\n",
        "dtmc\n0 1 0.25\n0 2 0.75\n1 0 0.5\n1 1 0.5\n2 0 1\n",
        "# a model\r\ndTmC\r\n\r\n0 2 0.75\r\n0 1 0.25 # rare\r\n"
        "1 0 0.5\r\n1 1 0.5\r\n2 2 0\r\n2 0 1\r\n",
    ],
    ids=["prism", "prism-actions", "storm", "storm-comments-crlf-zeros"],
)
@pytest.mark.parametrize("suffix", [".tra", ".tra.gz"])
def test_tra(write, text, suffix):
    matrix = assert_reads(write(f"chain{suffix}", text), P)
    assert matrix.nnz == 5


def test_tra_header_counts_states_without_transitions(write):
    assert read(write("chain.tra", "4 1\n0 1 1\n"))[0].shape == (4, 4)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize(
    "header", ["source,target,weight", "src,tgt,wt", "From,To,Prob", " i , j , p", "i,j,count"]
)
def test_csv_headers(write, header, suffix):
    body = "0,1,0.25\n0,2,0.75\n1,0,0.5\n1,1,0.5\n2,0,1\n"
    assert_reads(write(f"chain{suffix}", f"{header}\n{body}"), P)


def test_csv_takes_columns_by_name_and_ignores_others_beside_a_weight(write):
    assert_reads(write("a.csv", "when,n,to,from\nmon,2,1,0\ntue,3,0,1\n"), [[0, 2], [3, 0]])


@pytest.mark.parametrize(
    "text",
    [
        "0,1\n1,0\n",
        "0,1,1\n1,0,1\n",
        "from,to\n0,1\n1,0\n",
        "# two states\n#source target\n\n0,1\n\n1,0\n",
        "\ufeff0,1\r\n1,0\r\n",
        " 0 , 1 , 1 \n1,\t0,1e0\n",
        "0,1\n1,0",
    ],
    ids=["edges", "weighted", "header", "comments", "bom-crlf", "spaces", "no-last-newline"],
)
def test_csv_spellings_of_one_list(write, text):
    assert_reads(write("a.csv", text), [[0, 1], [1, 0]])


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_networks_as_snap_and_konect_publish_them(write, suffix):
    snap = "# Nodes: 3 Edges: 3\r\n# FromNodeId\tToNodeId\r\n30\t10\r\n10\t20\r\n20\t30\r\n"
    matrix, labels = read(write(f"snap{suffix}", snap))
    assert labels == ("10", "20", "30")
    assert matrix.toarray().tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    konect = "% asym weighted\n% 3 2 2\n0 1  2.5\n1 0 1\n"
    assert read(write(f"konect{suffix}", konect))[0].toarray().tolist() == [[0, 2.5], [1, 0]]


def test_what_numpy_writes_as_text(tmp_path):
    P = np.random.default_rng(0).dirichlet(np.ones(5), 5)
    np.savetxt(tmp_path / "P.txt", P)
    assert np.array_equal(read(tmp_path / "P.txt")[0].toarray(), P)


def test_names_with_spaces_in_a_file_with_tabs(write):
    cities = "from\tto\tcount\nNew York\tSan Jose\t3\nSan Jose\t7,5\t1\n"
    matrix, labels = read(write("cities.tsv", cities))
    assert labels == ("7,5", "New York", "San Jose")
    assert matrix.nnz == 2 and matrix[1, 2] == 3


@pytest.mark.parametrize(("suffix", "mark"), [(".txt", "spaces"), (".tsv.gz", "tabs")])
def test_a_remedy_in_the_terms_of_the_format(write, suffix, mark):
    with pytest.raises(InvalidChainError, match=f"separate source, .* by {mark}"):
        read(write(f"x{suffix}", "a;b;1;2\nb;a;1;2\n"))


def test_csv_duplicates_add_up_and_zeros_leave_a_state_behind(write):
    matrix = assert_reads(
        write("a.csv", "i,j,n\n0,1,2\n0,1,3\n1,0,1\n2,1,0\n"), [[0, 5, 0], [1, 0, 0], [0, 0, 0]]
    )
    assert matrix.nnz == 2


def test_csv_words_become_sorted_labels(write):
    text = (
        'src,tgt,wt\nzebra,"New York, NY",2\n"New York, NY","say ""hi""",1\n"say ""hi""",zebra,4\n'
    )
    labels = ("New York, NY", 'say "hi"', "zebra")
    assert_reads(write("a.csv", text), [[0, 1, 0], [0, 0, 4], [2, 0, 0]], labels)


def test_csv_quotes_after_a_space(write):
    assert read(write("a.csv", 'x, "y, z"\n"y, z", x\n'))[1] == ("x", "y, z")


def test_csv_null_nan_and_hash_are_words(write):
    text = "source,target\nnull,nan\nnan,NA\nNA,#1\n#1,None\nNone,null\n"
    matrix, labels = read(write("a.csv", text))
    assert labels == ("#1", "NA", "None", "nan", "null")
    assert [labels[j] for j in matrix.indices] == ["None", "#1", "null", "NA", "nan"]


def test_integers_with_gaps_are_labelled_in_increasing_order(write):
    assert_reads(
        write("a.csv", "i,j,n\n10,9,1\n9,200,2\n200,10,3\n"),
        [[0, 0, 2], [1, 0, 0], [0, 3, 0]],
        ("9", "10", "200"),
    )


def test_two_spellings_of_a_number_stay_two_states(write):
    assert read(write("a.csv", "7,007\n007,7\n"))[1] == ("007", "7")


def test_words_beside_numbers_are_words(write):
    assert read(write("a.csv", "root,1\nroot,2\n1,root\n2,10\n10,1\n"))[1] == (
        "1",
        "10",
        "2",
        "root",
    )


def test_two_words_that_numbers_lead_to_are_no_header(write):
    assert read(write("a.csv", "root,leaf\n1,root\nleaf,1\n"))[1] == ("1", "leaf", "root")


printable = st.characters(codec="utf-8", exclude_categories=["Cc"])
names = st.text(printable, min_size=1).filter(lambda name: name == name.strip())


@given(edges=st.lists(st.tuples(names, names, st.integers(1, 9)), min_size=1, max_size=20))
def test_csv_round_trip_of_any_names(tmp_path_factory, edges):
    path = tmp_path_factory.mktemp("csv") / "edges.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("source", "target", "weight"), *edges])
    expected = {}
    for source, target, weight in edges:
        expected[source, target] = expected.get((source, target), 0) + weight
    matrix, labels = read(path)
    labels = labels or [str(state) for state in range(matrix.shape[0])]
    coo = matrix.tocoo()
    found = {
        (labels[i], labels[j]): weight for i, j, weight in zip(*coo.coords, coo.data, strict=True)
    }
    assert found == expected


def test_str_path_and_upper_case_suffix(write):
    assert_reads(str(write("A.CSV", "0,1\n1,0\n")), [[0, 1], [1, 0]])


# --- parquet --------------------------------------------------------------------------------------


def write_parquet(path, **columns):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_words_and_numbers(tmp_path):
    path = write_parquet(
        tmp_path / "a.parquet", w=[2.5, 1.0], tgt=["nan", "null"], src=["null", "nan"]
    )
    assert_reads(path, [[0, 1], [2.5, 0]], ("nan", "null"))
    path = write_parquet(tmp_path / "b.parquet", source=[0, 1, 0], target=[1, 0, 1])
    assert_reads(path, [[0, 2], [1, 0]])


def test_parquet_refusals(tmp_path, write):
    refused(
        write_parquet(tmp_path / "a.parquet", a=[0], b=[1]),
        "columns are a, b",
        "name the columns source",
    )
    refused(
        write_parquet(tmp_path / "b.parquet", src=["x", None], tgt=["y", "x"]),
        "row 2",
        "without a name",
    )
    refused(
        write_parquet(tmp_path / "c.parquet", src=[0, 1], tgt=[1, 0], wt=[1.0, None]),
        "row 2",
        "a number is missing",
    )
    refused(write("d.parquet", b"PAR1 and nothing else"), "write the file again")


def test_parquet_without_pyarrow_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r'pip install "fastebm\[data\]"'):
        read(tmp_path / "a.parquet")


def test_no_other_format_imports_pyarrow_or_pandas(write, monkeypatch):
    def guarded(name, *args, _import=builtins.__import__, **kwargs):
        assert name.split(".")[0] not in ("pyarrow", "pandas")
        return _import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", guarded)
    assert_reads(write("a.csv", "0,1\n1,0\n"), [[0, 1], [1, 0]])
    assert_reads(write("a.tra", "2 2\n0 1 1\n1 0 1\n"), [[0, 1], [1, 0]])


# --- what is malformed ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("", ["no transitions"]),
        ("source,target,weight\n", ["no transitions"]),
        ("# only a comment\n", ["no transitions"]),
        ("0,1,1\n1,0,x\n", ["line 2", "'x'", "correct or remove it"]),
        ("0,1,1\n\n1,0\n", ["line 3", "2 fields, not 3", "quote names"]),
        ("0,1\n1,0,5\n", ["line 2", "3 fields, not 2"]),
        ("0 1\n1 0\n", ["line 1", "1 fields and no header", "by commas"]),
        ("a,b,1,2\n", ["line 1", "4 fields and no header", "name the columns"]),
        ("source,target,weight\n0,1,-1\n", ["line 2", "weight -1", "not negative"]),
        ("0,1,nan\n", ["line 1", "weight nan", "finite"]),
        ("0,1,inf\n", ["line 1", "weight inf", "finite"]),
        ("0,1,\n", ["line 1", "'' is not a number"]),
        ("0,1\n,0\n", ["line 2", "a state without a name"]),
        (
            "source,target,cost\n0,1,2\n",
            ["no weight among source, target, cost", "weight (weight | wt"],
        ),
        (
            "node1,node2\n0,1\n1,0\n",
            ["node1 and node2 come first", "name the columns source (source | src"],
        ),
        ("node1,node2,value\n0,1,3\n", ["line 1", "'value'"]),
        ('a,b\n"c,d\n', ["line 2", "check the quotes"]),
    ],
)
def test_malformed_csv(write, text, fragments):
    refused(write("a.csv", text), *fragments)


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("", ["line 1", "n_states n_transitions"]),
        ("mdp\n0 0 1 1\n", ["line 1", "'mdp'", "decision processes"]),
        ("2 2 2\n0 0 1 1\n1 0 0 1\n", ["line 1", "decision processes"]),
        ("2 2\n0 1 1\n", ["line 1 announces 2 transitions and 1 follow"]),
        ("2 1\n0 1\n", ["line 2", "2 fields", "from to probability"]),
        ("2 2\n0 1 1\n2 0 1\n", ["line 3", "state 2 is not in [0, 2)"]),
        ("dtmc\n0 -1 1\n", ["line 2", "state -1 is not in"]),
        ("2 1\n0 1 1 go on\n", ["line 2", "5 fields", "from to probability"]),
        ("2 1\n0.5 1 1\n", ["line 2", "'0.5'"]),
        ("12 1\n1_0 1 1\n", ["line 2", "'1_0'"]),
        ("2 1\n0 1 1_0\n", ["line 2", "'1_0'"]),
        ("2 1\n0 1 half\n", ["line 2", "'half'"]),
        ("2 1\n0 1 -0.5\n", ["line 2", "weight -0.5"]),
        ("0 0\n", ["no transitions"]),
        ("dtmc\n0 99999999999999999999 1\n", ["line 2", "correct or remove it"]),
    ],
)
def test_malformed_tra(write, text, fragments):
    refused(write("a.tra", text), *fragments)


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("", ["mmwrite"]),
        ("1 2 3\n", ["mmwrite"]),
        (
            "%%MatrixMarket matrix coordinate real general\n2 2 2\n1 2 1.0\n2 x 1.0\n",
            ["line 4", "'2 x 1.0' is no entry"],
        ),
        ("%%MatrixMarket matrix coordinate real general\n2 2 2\n1 2 1.0\n3 1 1.0\n", ["Line 4"]),
        (
            "%%MatrixMarket matrix coordinate real general\n2 2 2\n1 2 1.0\n",
            ["announces 2 entries and 1 follow"],
        ),
        ("%%MatrixMarket matrix coordinate real general\n2 3 1\n1 2 1.0\n", ["shape (2, 3)"]),
        ("%%MatrixMarket matrix coordinate complex general\n2 2 1\n1 2 1.0 2.0\n", ["complex"]),
    ],
)
def test_malformed_matrix_market(write, text, fragments):
    refused(write("a.mtx", text), *fragments)


def test_malformed_npz(tmp_path, write):
    refused(write("a.npz", b"not a zip file"), "scipy.sparse.save_npz")
    np.savez(tmp_path / "b.npz", P=P)
    refused(tmp_path / "b.npz", "scipy.sparse.save_npz")
    np.savez(tmp_path / "c.npz", format="csr", shape=(3, 3))
    refused(tmp_path / "c.npz", "scipy.sparse.save_npz")
    sp.save_npz(tmp_path / "d.npz", sp.csr_array(np.ones((2, 3))))
    refused(tmp_path / "d.npz", "shape (2, 3)")
    refused(write("e.npz", (tmp_path / "d.npz").read_bytes()[:-30]), "scipy.sparse.save_npz")


@pytest.mark.parametrize("name", ["a.csv.gz", "a.tra.gz", "a.mtx.gz"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"no gzip file",
        lambda data: data[:-20],
        lambda data: data[:40] + b"\xff" * 40 + data[80:],
    ],
    ids=["plain", "cut", "overwritten"],
)
def test_damaged_gz(tmp_path, name, damage):
    noise = np.random.default_rng(2).integers(1, 10, (300, 3))
    matrix_market = "%%MatrixMarket matrix coordinate real general\n9 9 300"
    head = {"a.csv.gz": "i,j,w", "a.tra.gz": "dtmc", "a.mtx.gz": matrix_market}
    separator = "," if "csv" in name else " "
    text = "\n".join([head[name], *(separator.join(map(str, row)) for row in noise), ""])
    (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    assert read(tmp_path / name)[0].nnz == len({(i, j) for i, j, _ in noise.tolist()})
    (tmp_path / name).write_bytes(damage(gzip.compress(text.encode())))
    refused(tmp_path / name)


def test_text_that_is_not_utf8(write):
    refused(write("a.csv", "caf\u00e9,th\u00e9\n".encode("latin-1")), "UTF-8")


def test_unknown_suffix_lists_the_known_ones(tmp_path):
    matrices = ".npz, .mtx, .mtx.gz, .tra, .tra.gz, .graphml, .graphml.gz"
    lists = ".csv, .csv.gz, .tsv, .tsv.gz, .txt, .txt.gz, .parquet"
    refused(tmp_path / "chain.xlsx", f"{matrices}, {lists}")


@pytest.mark.parametrize("suffix", [".npz", ".mtx", ".mtx.gz", ".tra", ".csv", ".csv.gz"])
def test_missing_file_stays_file_not_found(tmp_path, suffix):
    with pytest.raises(FileNotFoundError, match=re.escape(f"nowhere{suffix}")):
        read(tmp_path / f"nowhere{suffix}")


def test_a_header_that_announces_more_states_than_memory_is_refused_before_allocation(write):
    with pytest.raises(MemoryError) as info:
        read(write("a.tra", "1000000000000000 1\n0 1 1\n"))
    assert isinstance(info.value, FastebmError) and "bytes" in str(info.value)
