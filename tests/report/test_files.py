"""The report as JSON, in words, and as a file."""

import os
import threading
from pathlib import Path

import gallery
import pytest
from strict_json import strict_json

import fastebm as fe
from fastebm.report.files import MAX_LISTED


def test_json_summarises_long_arrays_and_lists_short_ones():
    n = MAX_LISTED + 1
    document = strict_json(
        fe.analyze(fe.MarkovChain(gallery.cycle(n, 0.5).P), rng=0, n_steps=5).to_json()
    )
    pi = document["stationary"]["pi"]
    assert pi["n"] == n and pi["min"] == pytest.approx(1 / n) == pi["max"]
    assert len(document["mixing"]["tv"][0]) == 6
    assert document["gaps"]["spectral"]["gap"] == pytest.approx(gallery.cycle(n, 0.5).gap, rel=1e-6)
    assert (
        document["version"] == fe.__version__ and document["seed"] == 0 and document["wall_s"] > 0
    )


def test_json_marks_numbers_that_are_not_finite():
    document = strict_json(
        fe.analyze(fe.MarkovChain(gallery.biased_cycle(6, 1.0).P), rng=0).to_json()
    )
    assert document["balance"]["entropy_production"] is None
    assert document["balance"]["entropy_production_status"] == "inf"


def test_to_json_writes_the_text_that_it_returns_and_replaces_a_file(tmp_path):
    report = fe.analyze(fe.MarkovChain(gallery.two_state(0.3, 0.1).P), rng=0)
    path = tmp_path / "report.json"
    path.write_text("old")
    assert report.to_json(path) == path.read_text() == report.to_json()
    assert strict_json(path.read_text()) == report.to_dict() and os.listdir(tmp_path) == [
        "report.json"
    ]


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch):
    report = fe.analyze(fe.MarkovChain(gallery.two_state(0.3, 0.1).P), rng=0)
    path = tmp_path / "report.json"
    path.write_text("old")

    def full(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        report.to_json(path)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["report.json"]


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path):
    report = fe.analyze(fe.MarkovChain(gallery.two_state(0.3, 0.1).P), rng=0)
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "folder" / "real.json")
    text = report.to_json(link)
    assert link.is_symlink() and (tmp_path / "folder" / "real.json").read_text() == text
    pipe, received = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()), daemon=True)
    reader.start()
    report.to_json(pipe)
    reader.join(5)
    assert received == [text] and pipe.is_fifo()


def test_the_summary_has_every_part_with_its_number():
    chain = fe.MarkovChain(gallery.two_state(0.3, 0.1).P, labels=["wet", "dry"])
    report = fe.analyze(chain, score=[0, 1], level=1, rng=0)
    text = report.summary()
    for fragment in (
        "2 states",
        "irreducible",
        "aperiodic",
        "detailed balance: holds",
        "spectral gap 1 - lambda_2: 0.4",
        "steps",
        "modulus 0.6",
        "state 1 (dry)",
        "nats",
        "never rises",
        "solved 0.83333333",
        "bound from the gap 0.8333",
        f"Monte Carlo {report.sample.mean:,.8g}",
        "standard errors",
        "seed 0",
    ):
        assert fragment in text
    assert "NOT CONVERGED" not in text and "not available" not in text
