"""Tables of weights in .csv and .parquet files, and what tells them from edge lists."""

import numpy as np
import pytest
import scipy.sparse as sp

from fastebm.errors import InvalidChainError
from fastebm.io import read

ABC = ("a", "b", "c")
THREE = np.array([[5.0, 1, 2], [3, 4, 5], [6, 7, 8]])
FOUR = np.arange(16.0).reshape(4, 4)
BOTH = "may be an edge list (source, target, weight) or a table"


@pytest.fixture
def write(tmp_path):
    def write(text, name="a.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def assert_reads(path, expected, labels=None, **options):
    matrix, found = read(path, **options)
    assert isinstance(matrix, sp.csr_array) and matrix.dtype == np.float64
    np.testing.assert_array_equal(matrix.toarray(), expected)
    assert found == labels


def refused(path, *fragments, **options):
    with pytest.raises(InvalidChainError) as info:
        read(path, **options)
    for fragment in (str(path), *fragments):
        assert fragment in str(info.value)


def lines(*rows):
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


# --- no edge list has this form -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (lines(*FOUR), None),
        (lines("abcd", *FOUR), tuple("abcd")),
        (lines(range(4), *FOUR), None),
        (lines((1, 2, 3, 4), *FOUR), ("1", "2", "3", "4")),
        (
            lines(("", *"abcd"), *([x, *row] for x, row in zip("abcd", FOUR, strict=True))),
            tuple("abcd"),
        ),
        (lines("abcd", *([x, *row] for x, row in zip("abcd", FOUR, strict=True))), tuple("abcd")),
        (lines(*([x, *row] for x, row in zip("abcd", FOUR, strict=True))), tuple("abcd")),
        (lines(("state", *range(4)), *([x, *row] for x, row in enumerate(FOUR))), None),
        ("# a comment, with a comma\n\n" + lines("zbca", *FOUR), tuple("zbca")),
    ],
    ids=[
        *("numbers", "header", "numbered header", "named by numbers", "both", "as R writes it"),
        *("row names", "numbered rows and columns", "order of the file"),
    ],
)
def test_tables_of_four_columns(write, text, labels):
    assert_reads(write(text), FOUR, labels)


@pytest.mark.parametrize(
    "text",
    [
        ",a,b,c\na,5,1,2\nb,3,4,5\nc,6,7,8\n",
        ",c,a,b\na,2,5,1\nb,5,3,4\nc,8,6,7\n",
        "a,b,c\na,5,1,2\nb,3,4,5\nc,6,7,8\n",
    ],
)
def test_columns_are_matched_to_rows_by_name(write, text):
    assert_reads(write(text), THREE, ABC)


def test_a_table_of_two_states_with_all_names(write):
    assert_reads(write(",a,b\na,5,1\nb,2,8\n"), [[5, 1], [2, 8]], ("a", "b"))
    assert_reads(write("from/to,b,a\na,1,5\nb,8,2\n"), [[5, 1], [2, 8]], ("a", "b"))
    assert_reads(write(",0,1\n0,5,1\n1,2,8\n"), [[5, 1], [2, 8]])
    assert_reads(write("a,b\na,5,1\nb,2,8\n"), [[5, 1], [2, 8]], ("a", "b"))
    assert_reads(write(",00,01\n00,5,1\n01,2,8\n"), [[5, 1], [2, 8]], ("00", "01"))


# --- both readings are possible -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "table", "labels"),
    [
        (lines(*THREE.astype(int)), THREE, None),
        ("0.5,0.25,0.25\n0,1,0\n0.5,0,0.5\n", [[0.5, 0.25, 0.25], [0, 1, 0], [0.5, 0, 0.5]], None),
        (lines(range(3), *THREE.astype(int)), THREE, None),
        ("5,1\n2,8\n", [[5, 1], [2, 8]], None),
        ("0,1\n5,1\n2,8\n", [[5, 1], [2, 8]], None),
        ("x,0,1\n0,5,1\n1,2,8\n", [[5, 1], [2, 8]], None),
        ("a,5,1\nb,2,8\n", [[5, 1], [2, 8]], ("a", "b")),
    ],
)
def test_what_may_be_either_is_refused_until_it_is_said(write, text, table, labels):
    refused(write(text), BOTH, 'format="edges" or format="table"')
    assert_reads(write(text), table, labels, format="table")
    matrix, _ = read(write(text), format="edges")
    assert matrix.shape != np.shape(table) or (matrix.toarray() != table).any()


@pytest.mark.parametrize("text", ["a,b\n5,1\n2,8\n", "a,b,c\n5,1,2\n3,4,5\n6,7,8\n"])
def test_a_header_of_other_words_may_head_a_list_too(write, text):
    refused(write(text), 'format="edges" or format="table"')
    n = text.index("\n") // 2 + 1
    assert_reads(write(text), THREE if n == 3 else [[5, 1], [2, 8]], ABC[:n], format="table")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("source,target,weight\n5,1,2\n3,4,5\n6,7,8\n", 3),
        ("0,1,1\n1,0,1\n", 2),
        ("0,1\n1,0\n", 2),  # the same matrix either way
        ("7,007\n007,7\n", 2),
        ("0,1,1\n1,2,1\n2,3,1\n3,0,1\n3,1,1\n", 5),
        ("a,b,1\nb,c,1\nc,a,2\n", 3),
    ],
)
def test_lists_that_are_no_tables(write, text, expected):
    assert read(write(text))[0].nnz == expected
    assert read(write(text), format="edges")[0].nnz == expected


# --- neither --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        (lines(*FOUR[:3]), ["line 1: 4 fields and no header of an edge list", "name the columns"]),
        (lines(*FOUR, *FOUR), ["more than 5 lines of 4 fields are no square table"]),
        (",a,b,c\na,5,1,2\nb,3,4,5\nx,6,7,8\n", ["only in", "'x'", "'c'"]),
        (",a,b,b\na,5,1,2\nb,3,4,5\nb,6,7,8\n", ["'b' occurs twice"]),
        ("a,b,,d\n" + lines(*FOUR), ["lacks the name of a state"]),
        ("0,1,2,3\n1,2,3,x\n0,0,0,1\n1,0,0,0\n", ["line 2: 'x' is not a number"]),
        ("0,1,2,3\n1,2,3,-4\n0,0,0,1\n1,0,0,0\n", ["line 2: weight -4", "not negative"]),
        ("0,1,2,3\n1,2,3,nan\n0,0,0,1\n1,0,0,0\n", ["line 2: weight nan"]),
        ("0,1,2,3\n1,2,3,1_000\n0,0,0,1\n1,0,0,0\n", ["'1_000'"]),
        ("0,1,2,3\n1,2,3\n", ["line 2: 3 fields, not 4"]),
        ('0,1,1,1\n"1,234",1,1,1\n0,1,0,0\n1,0,0,0\n', ["'1,234'"]),
        (lines((9, 2, 7, 5), *FOUR), ["5 lines of 4 fields are no square table"]),
    ],
)
def test_files_that_are_neither(write, text, fragments):
    refused(write(text), *fragments)


def test_a_format_is_for_lists_and_tables(write, tmp_path):
    sp.save_npz(tmp_path / "a.npz", sp.eye_array(2, format="csr"))
    refused(tmp_path / "a.npz", "leave format= out", format="table")
    with pytest.raises(InvalidChainError, match="format must be one of"):
        read(write("0,1\n1,0\n"), format="list")
    refused(write(lines(*FOUR)), "4 fields and no header", format="edges")


# --- lists that would be misread ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("a;b;0,5\nb;a;0,25\n", "separated by semicolons, and decimal commas"),
        ("a\tb\t0,5\nb\ta\t0,25\n", "separated by tabs, and decimal commas"),
        ("a b 0,5\nb a 0,25\n", "separated by spaces, and decimal commas"),
        ("0,5;0,5\n0,25;0,75\n", "separated by semicolons, and decimal commas"),
        ("#a,b,1\nb,#a,1\n", "skipped as a comment"),
        ("first,second\na,b\nb,a\n", "first and second come first and do not occur again"),
        ("0,1,1\n1,1.0,1\n1.0,0,2\n2,0,1\n0,2,1\n", "the states 1 and 1.0 are the same number"),
        ("a,b,1_0\nb,a,1\n", "'1_0'"),
        ('a,b,"1,5"\nb,a,1\n', "'1,5'"),
    ],
)
def test_lists_that_would_be_misread(write, text, fragment):
    refused(write(text), fragment)


def test_what_looks_like_these_faults_and_is_none(write):
    assert read(write("0;1,0;2,0.5\n0;2,0;1,1\n"))[1] == ("0;1", "0;2")
    assert read(write("0;1,0;2\n0;2,0;1\n"))[1] == ("0;1", "0;2")
    assert read(write("area 51,52\n52,area 51\n"))[1] == ("52", "area 51")
    assert read(write("source,target\n#a,b\nb,#a\n"))[1] == ("#a", "b")
    assert read(write("source,target\na,b\nc,d\nd,c\n"))[1] == ("a", "b", "c", "d")
    assert read(write("0,00,1\n00,0,1\n000,0,1\n0,000,1\n"))[1] == ("0", "00", "000")


def test_repeated_entries_of_a_small_type_are_added_in_float64(tmp_path):
    ones = np.ones(300, np.uint8), (np.zeros(300, int), np.zeros(300, int))
    sp.save_npz(tmp_path / "a.npz", sp.coo_array(ones, shape=(1, 1)))
    assert_reads(tmp_path / "a.npz", [[300]])


# --- parquet --------------------------------------------------------------------------------------


def test_tables_in_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    columns = {name: FOUR[:, i] for i, name in enumerate("abcd")}
    pq.write_table(pa.table(columns), path)
    assert_reads(path, FOUR, tuple("abcd"))
    pq.write_table(pa.table({**columns, "__index_level_0__": list("abcd")}), path)
    assert_reads(path, FOUR, tuple("abcd"))
    pq.write_table(pa.table({"a": [5, 2], "b": [1, 8]}), path)
    refused(path, 'format="edges" or format="table"')
    assert_reads(path, [[5, 1], [2, 8]], ("a", "b"), format="table")
    refused(path, "name the columns", format="edges")
