"""The tables of --output, and what happens where they cannot be written."""

import csv
import os

import gallery
import numpy as np
import pyarrow.parquet
import pytest

import fastebm as fe


@pytest.fixture
def path_of_labels(tmp_path):
    """A folder with a chain of 1,500 states with labels, more than JSON lists."""
    n = 1500
    case = gallery.random_reversible(n, 0.01, 4)
    labels = [f'state "{x}", \N{GREEK SMALL LETTER BETA}\n' for x in range(n)]
    fe.MarkovChain(case.P, labels=labels).save(tmp_path / "chain")
    return tmp_path / "chain", labels, fe.load(tmp_path / "chain")


def read_csv(path):
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_the_stationary_law_with_all_digits_of_all_states(path_of_labels, tmp_path, call):
    path, labels, chain = path_of_labels
    for name in ("pi.npy", "pi.csv", "pi.parquet"):
        code, document, _ = call("stationary", path, "--output", tmp_path / name)
        assert code == 0 and document["stationary"]["pi"]["n"] == 1500 and "states" not in document
    law = fe.stationary(chain)
    text = read_csv(tmp_path / "pi.csv")
    assert text["state"] == labels
    np.testing.assert_array_equal(np.array(text["pi"], float), law.pi)
    table = pyarrow.parquet.read_table(tmp_path / "pi.parquet")
    assert table["state"].to_pylist() == labels
    np.testing.assert_array_equal(table["log_pi"].to_numpy(), law.log_pi)
    array = np.load(tmp_path / "pi.npy")
    np.testing.assert_array_equal(array["pi"], law.pi)
    np.testing.assert_array_equal(array["log_pi"], law.log_pi)


def test_tables_of_the_other_commands(walk, tmp_path, call):
    options = ("--symmetric", "--output", tmp_path / "table.csv")

    def table(*args):
        code, document, _ = call(args[0], walk, *args[1:], *options)
        assert code == 0
        return document, read_csv(tmp_path / "table.csv")

    def numbers(column):
        return [float(x) for x in column]

    document, found = table("hit", "--target", "c")
    assert found.pop("state") == ["a", "b", "c"] == document["states"]
    assert {name: numbers(x) for name, x in found.items()} == {
        name: document["solve"][name] for name in ("mean", "lower", "upper")
    }
    document, found = table("balance")
    assert numbers(found["pi"]) == document["balance"]["pi"]
    assert numbers(found["potential"]) == document["balance"]["potential"]
    document, found = table("mix", "--start", "b", "c", "--steps", 3)
    assert found["start"] == ["b"] * 4 + ["c"] * 4 and found["step"] == ["0", "1", "2", "3"] * 2
    assert numbers(found["tv"]) == [x for curve in document["mixing"]["tv"] for x in curve]
    (tmp_path / "score.csv").write_text("c,1\n")
    document, found = table("analyze", "--score", tmp_path / "score.csv", "--level", 1)
    report = document["report"]
    assert report["states"] == found["state"] == ["a", "b", "c"]
    assert numbers(found["mean"]) == report["solve"]["mean"]
    assert numbers(found["pi"]) == report["stationary"]["pi"] and numbers(found["score"]) == [
        *(0, 0, 1)
    ]


def test_a_table_of_groups_of_counts(tmp_path, call):
    counts = tmp_path / "counts.csv"
    counts.write_text("".join(f"{x},{y},{9 + x}\n" for x in range(3) for y in range(3)))
    path = tmp_path / "groups.csv"
    code, document, _ = call("balance", "--counts", counts, "--bootstrap", 9, "--output", path)
    (group,) = document["groups"]
    found = read_csv(path)
    assert code == 0 and found["state"] == [str(x["label"]) for x in group["states"]]
    assert set(found["group"]) == {group["name"]}
    assert [float(x) for x in found["potential"]] == [x["potential"] for x in group["states"]]


def test_infinite_and_undefined_numbers_stay_what_they_are(tmp_path, call, npz):
    path = npz(tmp_path, np.array([[1.0, 0, 0], [0.5, 0, 0.5], [0, 0, 1.0]]))
    call("hit", path, "--target", 0, "--output", tmp_path / "h.csv")
    assert read_csv(tmp_path / "h.csv")["mean"] == ["0.0", "inf", "inf"]
    call("hit", path, "--target", 0, "--output", tmp_path / "h.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "h.npy")["mean"], [0, np.inf, np.inf])


def test_an_output_that_cannot_be_written_is_refused_before_the_work(walk, tmp_path, call):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "score.csv").write_text("c,1\n")
    for output, fragment in (
        (tmp_path / "pi.txt", ".npy, .csv, .parquet"),
        (tmp_path / "none" / "pi.csv", "no such folder"),
        (tmp_path / "folder.csv", "is a folder"),
        (walk, "is an input"),
        (tmp_path / "page.csv", "is the file of another option"),
        (tmp_path / "score.csv", "is an input"),
    ):
        code, document, err = call(
            *("analyze", walk, "--symmetric", "--html", tmp_path / "page.csv"),
            *("--score", tmp_path / "score.csv", "--level", 1, "--output", output),
        )
        assert code == 2 and document is None and fragment in err and err.count("\n") == 1
    assert walk.read_text().startswith("a,b,1") and not (tmp_path / "page.csv").exists()
    code, _, err = call(
        *("hit", walk, "--symmetric", "--target", "c", "--method", "simulate"),
        *("--output", tmp_path / "h.csv"),
    )
    assert code == 2 and "--method solve or both" in err


def test_a_parquet_file_without_pyarrow_is_refused_before_the_work(walk, call, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    code, document, err = call("stationary", walk, "--output", walk.parent / "pi.parquet")
    assert code == 2 and document is None and "pip install" in err


def test_a_full_disk_costs_neither_the_json_nor_the_old_file(walk, tmp_path, call, monkeypatch):
    path = tmp_path / "pi.npy"
    np.save(path, [1.0])

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, document, err = call("stationary", walk, "--symmetric", "--output", path)
    assert code == 1 and document["status"] == "failed" and len(document["stationary"]["pi"]) == 3
    assert "was not written" in document["error"]["text"] and str(path) in err
    assert np.load(path).tolist() == [1.0] and sorted(os.listdir(tmp_path)) == [
        "pi.npy",
        "walk.csv",
    ]
