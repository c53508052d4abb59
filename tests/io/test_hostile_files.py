"""Files that would crash a native parser, ask for all memory, or be misread: each is refused in one
line that names the file, before anything is allocated."""

import gzip
import io
import os
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp

from fastebm import FastebmError, InputTooLargeError, InvalidChainError, count_transitions
from fastebm._runtime import memory
from fastebm._runtime.npy import read_array
from fastebm.io import opening, read
from fastebm.report.observations import observed

P = np.array([[0.0, 0.25, 0.75], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
BANNER = "%%MatrixMarket matrix coordinate real general\n"


@pytest.fixture
def write(tmp_path):
    """write(name, content) -> the path; compressed if the name ends in .gz."""

    def write(name, content):
        path = tmp_path / name
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


def refused(path, *fragments, kind=InvalidChainError):
    with pytest.raises(kind) as info:
        read(path)
    text = str(info.value)
    assert str(path) in text and "\n" not in text and "allow_pickle" not in text
    for fragment in fragments:
        assert fragment in text


# --- .npz -----------------------------------------------------------------------------------------


def stored(form, **changes):
    """The bytes of an .npz with some arrays changed."""
    file = io.BytesIO()
    sp.save_npz(file, getattr(sp, f"{form}_array")(P))
    file.seek(0)
    arrays = dict(np.load(file)) | {name: np.asarray(array) for name, array in changes.items()}
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    ("form", "changes", "fragments"),
    [
        ("csc", {"indices": [0, 1, 2, 10**6, 1]}, ["indices[3] is 1000000", "0..2"]),
        ("csr", {"indices": [0, 1, 2, 3, 1]}, ["indices[3] is 3"]),
        ("csc", {"indices": [0, 1, 2, -1, 1]}, ["indices[3] is -1"]),
        ("csr", {"indptr": [0, 10**9, 4, 5]}, ["indptr[2] is 4"]),
        ("csc", {"indptr": [0, -5, 3, 5]}, ["indptr[1] is -5"]),
        ("csc", {"indptr": [1, 2, 3, 5]}, ["indptr[0] is 1"]),
        ("csr", {"indptr": [0, 2, 4, 10**9]}, ["indptr[3] is 1000000000", "5 entries"]),
        ("csr", {"indptr": [0, 5]}, ["length 2, not 4"]),
        ("csr", {"indptr": [0.0, 2.0, 4.0, 5.0]}, ["float64, not integers"]),
        ("csr", {"indptr": [[0, 2, 4, 5]]}, ["shape (1, 4)"]),
        ("csr", {"data": np.ones(2)}, ["2 entries are stored"]),
        ("csr", {"data": np.array([{}] * 5, object)}, ["holds object"]),
        ("csr", {"data": np.array(["1"] * 5)}, ["<U1"]),
        ("csr", {"data": np.ones(5, complex)}, ["complex"]),
        ("csr", {"shape": [2**40, 2**40]}, ["length 4"]),
        ("csr", {"shape": [-3, -3]}, ["shape"]),
        ("csr", {"shape": [3, 3, 3]}, ["shape"]),
        ("csr", {"format": "exec"}, ["'exec'"]),
        ("bsr", {"indices": [900]}, ["indptr"]),
        ("bsr", {"data": np.ones((1, 2, 2))}, ["do not tile"]),
        ("coo", {"row": [0, 1, 2, 900, 1]}, ["row[3] is 900"]),
        ("coo", {"col": [0, 1]}, ["length 2"]),
        ("dia", {"offsets": [0, 0, 1, 2, 3]}, ["distinct"]),
        ("dia", {"offsets": [0, 1]}, ["2 offsets"]),
        ("dia", {"data": np.ones(9)}, ["dimensions"]),
    ],
)
def test_arrays_that_would_lead_out_of_the_matrix(write, form, changes, fragments):
    refused(write("a.npz", stored(form, **changes)), *fragments)


def test_diagonals_outside_the_matrix_hold_no_entry(write):
    offsets = [-(2**31), 2**31 - 1, 0]
    path = write("a.npz", stored("dia", data=np.ones((3, 3)), offsets=offsets))
    assert (read(path)[0] != sp.eye_array(3)).nnz == 0


def test_an_empty_matrix_of_many_rows_is_refused_against_the_forecast(write):
    shape = [2**46, 2**46]
    refused(write("a.npz", stored("coo", shape=shape)), "bytes", kind=InputTooLargeError)


def test_a_small_archive_of_a_large_array_is_refused_before_it_is_decompressed(write, monkeypatch):
    content = stored("coo", data=np.ones(2_000_000))
    monkeypatch.setattr(memory, "free_memory", lambda: 1_000_000)
    refused(write("a.npz", content), "data", "16,000,000", kind=InputTooLargeError)


def test_headers_that_ask_for_more_than_follows(write):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000000,), }"
        array = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + bytes(16)
        for name in ("data", "format", "shape"):
            archive.writestr(f"{name}.npy", array)
    refused(write("a.npz", content.getvalue()), "800,000,000,000,000", "16 follow")


def test_damage_of_every_byte_is_refused_or_read_as_it_is(write):
    content = stored("csr")
    for at in range(0, len(content), 7):
        damaged = content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :]
        path = write("a.npz", damaged)
        try:
            matrix, _ = read(path)
        except InvalidChainError as error:
            assert str(path) in str(error) and "\n" not in str(error)
        else:
            np.testing.assert_array_equal(matrix.toarray(), P)


@pytest.mark.parametrize("dtype", [">f8", "<f4", "<i8", "|b1", "<f2", "<U3", "|S4"])
def test_arrays_of_numpy_are_read_as_numpy_reads_them(dtype):
    for array in (np.zeros((2, 3), dtype), np.ones(3, dtype), np.array(1).astype(dtype)):
        file = io.BytesIO()
        np.save(file, array)
        file.seek(0)
        found = read_array(file, len(file.getvalue()), "a")
        assert found.dtype == array.dtype.newbyteorder("=") and found.shape == array.shape
        np.testing.assert_array_equal(found, array)


def test_text_and_truth_values_that_are_none_are_refused():
    for array in (np.array([9], np.uint8), np.array([2**31], np.uint32)):
        kind = "|b1" if array.itemsize == 1 else "<U1"
        file = io.BytesIO()
        np.save(file, array.view(np.uint8).view(kind) if kind == "|b1" else array)
        content = file.getvalue().replace(b"'<u4'", b"'<U1'")
        with pytest.raises(InvalidChainError, match="damaged"):
            read_array(io.BytesIO(content), len(content), "a")


# --- Matrix Market --------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mtx", ".mtx.gz"])
@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        (BANNER + "1 1 1\n1 1 1.0x", ["line 3: '1 1 1.0x'"]),
        (BANNER + "1 1 1\n1 1 2.!\n", ["line 3: '1 1 2.!'"]),
        (BANNER + "1 1 1\n1 1 1.0junk\n", ["'1 1 1.0junk'"]),
        (BANNER + "1 1 1\n1 1 1_0\n", ["'1 1 1_0'"]),
        (BANNER + "1 1 1\n1 1 0x10\n", ["'1 1 0x10'"]),
        (BANNER + "1 1 1\n1 1 nan\n", ["'1 1 nan'"]),
        (BANNER + "1 1 1\n1 1 1 1\n", ["'1 1 1 1'"]),
        (BANNER + "1 1 1\n1 1 .\n", ["'1 1 .'"]),
        (BANNER + "1 1 1\n1 1 1e\n", ["'1 1 1e'"]),
        (BANNER + "1 1 1\n1 1 1e999\n", ["too large"]),
        (BANNER + "1 1 1\n1 1\n", ["'1 1'"]),
        (BANNER + "1 1 1\n% late\n1 1 1\n", ["'% late'"]),
        (BANNER + "1 1 1\n-1 1 1\n", ["'-1 1 1'"]),
        (BANNER + "1 1 1\n0 1 1\n", ["out of bounds"]),
        (BANNER + "1 1 1\n1 1 1\n1 1 1\n", ["announces 1 entries and more follow"]),
        (BANNER + "1 1 2\n1 1 1\n", ["announces 2 entries and 1 follow"]),
        (BANNER + f"1 1 {10**17}\n1 1 1.0\n", ["more than the file holds"]),
        (BANNER + f"{10**30} 1 1\n1 1 1.0\n", ["at most 18 digits"]),
        (BANNER + "1 1\n1 1 1\n", ["line 2: not 3 sizes"]),
        (BANNER + "-1 -1 0\n", ["sizes"]),
        (BANNER.strip(), ["line 1: the header has no end"]),
        (BANNER + "% only comments\n", ["line 3: the header has no end"]),
        (BANNER.replace("coordinate", "array") + "100000 100000\n1\n", ["10,000,000,000 entries"]),
        (BANNER.replace("real", "complex") + "1 1 1\n1 1 1 0\n", ["complex"]),
        (BANNER.replace("real", "integer") + "1 1 1\n1 1 1.5\n", ["'1 1 1.5'"]),
        (BANNER.replace("real", "pattern") + "1 1 1\n1 1 1\n", ["'1 1 1'"]),
        (BANNER.replace("general", "hermitian") + "1 1 1\n1 1 1\n", ["complex"]),
        (BANNER.replace("general", "skew-symmetric") + "2 2 1\n2 1 1\n", ["skew-symmetric"]),
        (
            BANNER.replace("general", "symmetric") + "2 3 1\n2 1 1\n",
            ["line 2: a matrix of shape (2, 3)"],
        ),
        (BANNER.replace("coordinate", "array") + "0 4\n0\n", ["shape (0, 4)"]),
        (BANNER.replace("coordinate", "array") + "0 0\n", ["shape (0, 0)"]),
        (BANNER + "0 0 0\n", ["shape (0, 0)"]),
        (BANNER.replace("general", "symmetric") + "2 2 2\n2 1 1\n1 2 1\n", ["both triangles"]),
        (BANNER.replace("matrix", "vector") + "1 1 1\n1 1 1\n", ["is not read"]),
        (BANNER.replace("%%", "% ") + "1 1 1\n1 1 1\n", ["banner"]),
    ],
)
def test_matrix_market_that_scipy_would_misread(write, text, fragments, suffix):
    refused(write(f"a{suffix}", text), *fragments)


def test_a_matrix_market_header_is_held_against_the_memory(write):
    text = BANNER + f"{2**45} {2**45} 1\n1 1 1\n"
    refused(write("a.mtx", text), "bytes", kind=InputTooLargeError)


def test_matrix_market_lines_across_blocks(write):
    n = 120_000  # entries of several blocks, the last line without an end
    lines = [f"{k + 1}\t {n - k}  {k}.5e-3 \r" for k in range(n)]
    text = BANNER + f"% a comment\n\n{n} {n} {n}\n" + "\n".join(lines)
    matrix, _ = read(write("a.mtx", text))
    expected = sp.coo_array(((np.arange(n) + 0.5) * 1e-3, (np.arange(n), n - 1 - np.arange(n))))
    assert abs(matrix - expected).max() <= 1e-13
    lines[-2] = lines[-2].replace("e-3", "e-3z")
    refused(write("a.mtx", BANNER + f"{n} {n} {n}\n" + "\n".join(lines)), f"line {n + 1}:")


# --- text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "fragments"),
    [
        ("a.tra", "9" * 6000 + " 1\n0 0 1\n", ["line 1", "at most 18 digits"]),
        ("a.tra", "\u0661 1\n0 0 1\n", ["line 1"]),
        ("a.tra", "1 1\n0 0 \u0661\n", ["line 2", "is not a number"]),
        ("a.tra", "1 1\n0 0 1\0\n", ["line 2 holds a NUL byte"]),
        ("a.csv", "0,1,1\n1,0,1\0\n", ["line 2 holds a NUL byte"]),
        ("a.csv", "0,1,0x10\n", ["line 1", "'0x10' is not a number"]),
        ("a.csv", "from,to\na,b\nfrom,to\nb,a\n", ["line 3 is the header once more"]),
        ("a.csv", "a,b," + "9" * 300 + "x\n", ["is not a number"]),
    ],
)
def test_text_that_is_no_number(write, name, text, fragments):
    refused(write(name, text), *fragments)


@pytest.mark.parametrize("head", ["dtmc\n0 70000000000000 1\n", "70000000000000 1\n0 0 1\n"])
def test_a_tra_of_more_states_than_memory(write, head):
    refused(write("a.tra", head), "bytes", kind=InputTooLargeError)


def test_a_line_without_an_end_is_not_decompressed_to_the_end(write, monkeypatch):
    monkeypatch.setattr(opening, "LONGEST_LINE", 1 << 16)
    refused(write("a.csv.gz", b"1" * 3_000_000), "line 1 is longer than 65,536 bytes")
    refused(write("b.tra.gz", b"dtmc\n" + b" " * 3_000_000), "line 2 is longer")


@pytest.mark.parametrize(
    ("name", "head", "line"),
    [
        ("a.csv.gz", b"0,1,1\n1,0,1\n", b"\n"),
        ("a.tra.gz", b"dtmc\n0 0 1\n", b"#\n"),
        ("a.mtx.gz", BANNER.encode(), b"%\n"),
        ("b.mtx.gz", BANNER.encode() + b"1 1 1\n1 1 1\n", b"\n"),
    ],
)
def test_an_archive_that_expands_without_end(write, monkeypatch, name, head, line):
    monkeypatch.setattr(opening, "FREELY_INFLATED", 1 << 16)
    refused(write(name, head + line * 3_000_000), "expands more than 200 times", "gunzip")


def test_lines_of_a_small_archive_are_held_against_the_memory(write, monkeypatch):
    path = write("a.csv.gz", b"0,1,1\n1,0,1\n" * 200_000)
    monkeypatch.setattr(memory, "free_memory", lambda: 5_000_000)
    refused(path, "lines up to 262,144", kind=InputTooLargeError)


def test_a_parquet_file_of_many_rows_is_refused_before_it_is_read(tmp_path, monkeypatch):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    n = 2_000_000
    pq.write_table(pa.table({"source": np.zeros(n, int), "target": np.zeros(n, int)}),
                   tmp_path / "a.parquet")  # fmt: skip
    assert (tmp_path / "a.parquet").stat().st_size < 20_000
    monkeypatch.setattr(memory, "free_memory", lambda: 100_000_000)
    refused(tmp_path / "a.parquet", "2,000,000 rows", kind=InputTooLargeError)


def parquet(path, column, **options):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"source": column, "target": column}), path, **options)
    return path


def test_a_text_that_a_parquet_file_repeats_is_held_against_the_memory(tmp_path, monkeypatch):
    pa = pytest.importorskip("pyarrow")
    once = pa.DictionaryArray.from_arrays(np.zeros(20_000, np.int32), pa.array(["x" * 1_000_000]))
    path = parquet(tmp_path / "a.parquet", once, compression="zstd")
    assert path.stat().st_size < 5_000
    monkeypatch.setattr(memory, "free_memory", lambda: 1_000_000_000)
    refused(path, "20,000 rows", kind=InputTooLargeError)  # of 20 GB


def test_a_batch_of_a_table_of_counts_is_held_against_the_memory(tmp_path, monkeypatch):
    pa = pytest.importorskip("pyarrow")
    once = pa.DictionaryArray.from_arrays(np.zeros(20_000, np.int32), pa.array(["x" * 1_000_000]))
    path = parquet(tmp_path / "a.parquet", once, compression="zstd")
    monkeypatch.setattr(memory, "free_memory", lambda: 1_000_000_000)
    with pytest.raises(InputTooLargeError, match="20,000 rows"):
        count_transitions(path)


def test_rows_of_trajectories_are_held_against_the_memory(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    path = parquet(tmp_path / "a.parquet", np.zeros(2_000_000, np.int8))
    monkeypatch.setattr(memory, "free_memory", lambda: 100_000_000)
    rows = observed(str(path), [], ["source"], None, None, "target", 20, 0.0)
    with pytest.raises(InputTooLargeError, match="2,000,000 rows"):
        next(rows)


def test_pages_of_a_parquet_file_are_held_against_the_memory(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    path = parquet(tmp_path / "a.parquet", ["x" * 10_000_000], compression="zstd")
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(memory, "free_memory", lambda: 5_000_000)
    refused(path, "1 rows", kind=InputTooLargeError)


def test_names_in_a_parquet_file_are_text_or_numbers(tmp_path):
    pa = pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    _, labels = read(parquet(path, [b"b", "é".encode()]))  # text of writers without a type for it
    assert labels == ("b", "é")
    refused(parquet(path, [b"b", b"\xff"]), "UTF8")
    refused(parquet(path, [["b"], ["c"]]), "column source", "list")
    refused(parquet(path, [{"x": 1}, {"x": 2}]), "column source", "struct")
    refused(parquet(path, pa.array([b"aa", b"bb"], pa.binary(2))), "column source", "fixed_size")


# --- what is no file ------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npz", ".mtx", ".mtx.gz", ".tra", ".csv", ".csv.gz"])
def test_folders_pipes_and_empty_files(tmp_path, suffix):
    (tmp_path / f"folder{suffix}").mkdir()
    refused(tmp_path / f"folder{suffix}", "is a folder")
    os.mkfifo(tmp_path / f"pipe{suffix}")
    refused(tmp_path / f"pipe{suffix}", "not a regular file")
    (tmp_path / f"empty{suffix}").write_bytes(b"")
    refused(tmp_path / f"empty{suffix}")
    with pytest.raises(FastebmError, match=r"NUL|null"):
        read(f"a\0b{suffix}")


@pytest.mark.skipif(os.getuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "a.csv").write_text("0,1\n1,0\n")
    (tmp_path / "a.csv").chmod(0)
    with pytest.raises(PermissionError, match=r"a\.csv"):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("a.csv", "a,b,1\nb,a,1e-400\nb,b,1\n", "line 2"),
        ("a.csv", "a,b,1\nb,a,0." + "0" * 400 + "1\nb,b,1\n", "line 2"),
        ("a.tra", "2 3\n0 1 1\n1 0 2E-999\n1 1 1\n", "line 3"),
        ("a.mtx", BANNER + "2 2 3\n1 2 1\n2 1 1e-400\n2 2 1\n", "line 4"),
        ("a.mtx", BANNER + "2 2 3\n1 2 1\n2 1 0." + "0" * 400 + "1\n2 2 1\n", "line 4"),
    ],
)
def test_numbers_below_the_smallest_double_are_refused(tmp_path, name, text, place):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InvalidChainError, match=f"{place}: .* is below the smallest double"):
        read(path)


@pytest.mark.parametrize("zero", ["0", "0.0", "-0.0", "0e-999", "0.000E+5"])
def test_zeros_are_zeros(tmp_path, zero):
    (tmp_path / "a.csv").write_text(f"a,b,1\nb,a,{zero}\nb,b,1\n")
    (tmp_path / "a.mtx").write_text(f"{BANNER}2 2 3\n1 2 1\n2 1 {zero}\n2 2 1\n")
    for name in ("a.csv", "a.mtx"):
        assert read(tmp_path / name)[0].toarray().tolist() == [[0, 1], [0, 1]]
