"""Damaged vectors, observations and arguments on the command line: one line that names the file,
status 2, no document."""

import io
import json
import os

import numpy as np
import pytest

BALANCE = ("balance", "--bootstrap", 3, "--seed", 1, "--counts")


@pytest.fixture
def refused(call):
    """refused(*args, path) asserts that the command refuses the file in one line; -> the line."""

    def refused(*args):
        code, document, err = call(*args)
        assert code == 2 and document is None and err.count("\n") == 1
        assert str(args[-1]) in err and "allow_pickle" not in err
        return err

    return refused


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


WHOLE = npy(np.array([0.0, 1.0, 2.0]))


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"", "not an array"),
        (b"PK\3\4 an archive", "not an array"),
        (WHOLE[:60], "not an array"),
        (WHOLE.replace(b"NUMPY\1\0", b"NUMPY\1\7"), "not an array"),
        (WHOLE.replace(b"NUMPY\1\0", b"NUMPY\2\0"), "not an array"),
        (WHOLE[:-3], "21 follow"),
        (WHOLE + b"\0", "25 follow"),
        (WHOLE.replace(b"(3,)", b"(3, "), "not an array"),
        (WHOLE.replace(b"(3,), }   ", b"(10**12,)}"), "not an array"),
        (WHOLE.replace(b"(3,), }       ", b"(99999999,), }"), "header asks for 799,999,992 bytes"),
        (WHOLE.replace(b"'<f8'", b"'<q8'"), "not an array"),
        (WHOLE.replace(b"'<f8'", b"'<f7'"), "f7"),
        (WHOLE.replace(b"{'descr'", b"[[[[[[[["), "not an array"),
        (npy(np.array([{}], object)), "holds object"),
        (npy(np.array([1j, 1, 2])), "save real numbers"),
        (npy(np.array(["a", "b", "c"])), "save real numbers"),
        (npy(np.ones((3, 1))), "shape (3, 1)"),
        (npy(np.ones(4)), "shape (4,)"),
        (npy(np.array([1, np.nan, 2])), "1 times nan"),
    ],
)
def test_a_damaged_npy(walk, refused, tmp_path, content, fragment):
    path = tmp_path / "score.npy"
    path.write_bytes(content)
    assert fragment in refused("hit", walk, "--level", 1, "--score", path)


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"", "0 lines"),
        (b"1\n2\n", "2 lines of 1 fields for 3 states"),
        (b"1\n2\n3\n4\n", "more lines than the 3 states"),
        (b"1\n2\n1_0\n", "line 3: '1_0' is not a number"),
        (b"1\n2\n0x1\n", "line 3: '0x1' is not a number"),
        (b"1\n2\nnan\n", "1 times nan"),
        (b"1\n\0\n3\n", "line 2 holds a NUL byte"),
        (b"1\n\xff\n3\n", "UTF-8"),
        (b"a,1\na,2\n", "line 2: the state 'a' has a value already"),
        (b"a,1\nx,2\n", "line 2: no state 'x'"),
        (b'a,1\n"b,2\n', "line 2: 1 fields instead of 2"),
    ],
)
def test_a_damaged_text_vector(walk, refused, tmp_path, content, fragment):
    path = tmp_path / "score.csv"
    path.write_bytes(content)
    assert fragment in refused("hit", walk, "--level", 1, "--score", path)


@pytest.mark.parametrize("name", ["score.npy", "score.csv", "counts.json"])
def test_folders_and_pipes(walk, refused, tmp_path, name):
    command = BALANCE if name.endswith("json") else ("hit", walk, "--level", 1, "--score")
    (tmp_path / name).mkdir()
    assert "is a folder" in refused(*command, tmp_path / name)
    os.mkfifo(tmp_path / f"pipe-{name}")
    assert "not a regular file" in refused(*command, tmp_path / f"pipe-{name}")


ENTRY = ["a", "b", 3]


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "holds no counts"),
        ("[" * 100_000, "holds no counts"),
        ('{"models": ' + "[" * 100_000 + "]" * 100_000 + "}", "holds no counts"),
        ('{"models": {"m": {"counts": []}, "m": {"counts": []}}}', "'m' occurs twice"),
        *(
            (json.dumps({"models": {"m": {"counts": [ENTRY, entry]}}}), "model 'm', entry 2")
            for entry in (
                *(["a", "b"], ["a", "b", 1, 2], ["a", "b", "1"], ["a", "b", -1]),
                *(["a", "b", None], ["a", "b", True], ["a", 1, 1], ["a", "b", 10**400], "ab1"),
                ["a", "b", float("nan")],
            )
        ),
        (json.dumps({"models": {"m": {"counts": [["a", "b", 1e300]]}}}), "at most 2**53"),
        (json.dumps({"models": {"m": {"counts": [ENTRY], "N0": "x"}}}), "N0"),
        (json.dumps({"models": {"m": {"counts": [ENTRY], "N0": {"a": 1}}}}), "N0"),
    ],
)
def test_damaged_counts(refused, tmp_path, text, fragment):
    path = tmp_path / "counts.json"
    path.write_text(text)
    assert fragment in refused(*BALANCE, path)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("run,t,x\n1,0,a\n1,0x1,b\n", "line 3: '0x1' is not a number"),
        ("run,t,x\n1,0,a\n1,nan,b\n", "line 3: nan is not finite"),
        ("run,t,t\n1,0,a\n1,1,b\n", "give each another name"),
        ("run,t,x\n1,0,a\n1,1,\n", "line 3: a state without a name"),
        ("run,t,x\n1,0,a\n1,1\n", "line 3 has not 3 fields"),
        ("run,t,x\n1,0,a\n1,1,b\0\n", "line 3 holds a NUL byte"),
    ],
)
def test_damaged_trajectories(refused, tmp_path, text, fragment):
    path = tmp_path / "runs.csv"
    path.write_text(text)
    options = ("--trajectory", "run", "--order", "t", "--state", "x")
    assert fragment in refused("balance", *options, "--counts", path)


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        (["--steps", "1_0"], "--steps: '1_0' is not an integer"),
        (["--steps", "\u0661"], "is not an integer"),
        (["--steps", "9" * 6000], "is not an integer"),
        (["--steps", "a\nb"], "is not an integer"),
        (["--lazy", "1_0"], "--lazy: '1_0' is not a number"),
        (["--lazy", "nan"], "not in [0, 1)"),
        (["un\nknown"], "unrecognized"),
        (["--start", "\u0661"], "no state"),
    ],
)
def test_arguments_that_are_no_numbers(walk, call, capsys, options, fragment):
    code, document, err = call("mix", walk, *options)
    assert code == 2 and document is None and err.count("\n") == 1 and fragment in err


@pytest.mark.skipif(os.name != "posix", reason="file names are text")
def test_a_file_name_that_is_no_text(call, tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    path = os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.csv")
    try:
        with open(path, "w") as file:
            file.write("a,b,1\nb,c,1\nc,a,2\n")
    except OSError:
        pytest.skip("the file system takes only UTF-8")
    page = tmp_path / "page.html"
    code, document, err = call("analyze", path, "--steps", 2, "--lazy", 0.5, "--html", page)
    assert (code, err) == (0, "") and document["chain"] == str(tmp_path) + r"/bad\xff.csv"
    assert r"bad\xff.csv</h1>" in page.read_text(encoding="utf-8")
