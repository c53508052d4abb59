"""analyze --html and the sweep."""

import sys

import numpy as np
import pytest

import fastebm as fe


def test_analyze_writes_a_page_and_its_json(walk, call, tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    code, document, err = call(
        "analyze", walk, "--symmetric", "--seed", 1, "--steps", 5, "--html", tmp_path / "page.html"
    )
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert (
        (code, err) == (0, "") and page.startswith("<!DOCTYPE html>") and f"<h1>{walk}</h1>" in page
    )
    assert f"{document['report']['gaps']['spectral']['gap']:.10g}" in page


def test_a_page_that_cannot_be_written_is_refused_before_any_work(
    walk, call, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "fastebm.report.analyze", lambda *args, **options: pytest.fail("work was done")
    )
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    code, document, err = call("analyze", walk, "--html", tmp_path / "nowhere" / "page.html")
    assert code == 2 and document is None and "no such folder for the page" in err
    code, document, err = call("analyze", walk, "--html", tmp_path)
    assert code == 2 and document is None and "is a folder" in err
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "fastebm.report.html", raising=False)
    monkeypatch.delattr(fe.report, "html", raising=False)
    code, document, err = call("analyze", walk, "--html", tmp_path / "page.html")
    assert (
        code == 2
        and document is None
        and 'pip install "fastebm[plot]"' in err
        and err.count("\n") == 1
    )


def test_a_page_that_fails_in_the_end_leaves_the_json(walk, call, tmp_path, monkeypatch):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")

    def full(self, path, **options):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(fe.Report, "to_html", full)
    code, document, err = call(
        "analyze",
        walk,
        "--symmetric",
        "--spectrum",
        0,
        "--steps",
        2,
        "--html",
        tmp_path / "page.html",
    )
    assert (
        code == 1
        and document["report"]["converged"]
        and "the page was not written" in document["error"]["text"]
    )
    assert (
        err.startswith("fastebm analyze: error: the page was not written") and err.count("\n") == 1
    )


def test_analyze_sweeps_temperatures(walk, dense_walk, call, tmp_path):
    (tmp_path / "score.csv").write_text("a,1\nb,0\n")
    code, document, _ = call(
        "analyze",
        walk,
        "--symmetric",
        "--score",
        tmp_path / "score.csv",
        "--betas",
        "inf",
        0.5,
        "--spectrum",
        2,
    )
    P = dense_walk[0] * np.exp(np.array([1.0, 0.0, 0.0]) / 0.5)
    values = np.sort(np.linalg.eigvals(P / P.sum(axis=1, keepdims=True)).real)
    assert code == 0 and document["report"]["sweep"]["0.5"]["gap"] == pytest.approx(
        1 - values[-2], rel=1e-8
    )
    assert len(document["report"]["spectrum"]["eigenvalues"]) == 2 and list(
        document["report"]["sweep"]
    ) == ["inf", "0.5"]


def test_the_page_and_the_summary_name_options(call, npz, tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    path, page = npz(tmp_path, np.eye(3)), tmp_path / "page.html"
    code, _, err = call("analyze", path, "--summary", "--html", page)
    assert code == 1 and "convert CHAIN OUTPUT --class STATE" in err
    text = page.read_text(encoding="utf-8")
    assert "--class STATE" in text and "chain.restrict" not in text
