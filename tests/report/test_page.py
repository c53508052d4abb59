"""The HTML page of a report."""

import base64
import dataclasses
import os
import xml.etree.ElementTree
from html.parser import HTMLParser

import gallery
import numpy as np
import pytest
from strict_json import strict_json

import fastebm as fe
from fastebm._runtime import results
from fastebm.report.answers import PARTS, name_of

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """What a browser finds in the text of a page: elements in order, with attributes and text;
    refuses unbalanced ones."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append([tag, dict(attributes), ""])
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for element in self.open:
            element[2] += data

    def all(self, tag):
        return [" ".join(text.split()) for name, _, text in self.elements if name == tag]

    def rows(self):
        """Of the tables of numbers: the cells of each row, by its name."""
        found, row = {}, None
        for name, attributes, text in self.elements:
            if name == "td" and "data-name" in attributes:
                row.append(text)
            elif name == "td":
                row = found.setdefault(text, [])
        return {name: row for name, row in found.items() if row}

    def images(self):
        return [attributes["src"] for name, attributes, _ in self.elements if name == "img"]


def page_of(report, **options):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    return Page(report.to_html(**options))


def test_the_page_answers_every_question_in_the_words_of_the_summary():
    chain = fe.MarkovChain(gallery.two_state(0.3, 0.1).P, labels=["wet", "dry"])
    report = fe.analyze(chain, score=[0, 1], level=1, rng=0)
    page = page_of(report, title="the weather")
    assert page.all("h1") == page.all("title") == ["the weather"]
    questions = [part.question for part in PARTS]
    assert page.all("h2")[: len(PARTS)] == [*questions[:-1], "Which questions were not computed?"]
    assert f"{questions[-1]} Needs temperatures (betas) and a reward." in page.all("p")
    lines = [line.strip() for part in PARTS for line in part.say(report)]
    assert [line for line in lines if line not in page.all("p")] == []
    rows, sample = page.rows(), report.sample
    gap = report.gaps["spectral"]
    ends = [f"{x:,.10g}" for x in (gap.gap, gap.gap_lower, gap.gap_upper)]
    assert rows["gap (gaps: spectral)"] == [*ends, "rigorous"]
    assert rows["mean (sample)"] == [f"{x:,.10g}" for x in (sample.mean, *sample.ci)] + [
        "95 % interval"
    ]
    mean = rows["mean_from_pi (solve)"]
    assert (
        float(mean[1]) <= 0.25 / 0.3 + 1e-9
        and float(mean[2]) >= 0.25 / 0.3 - 1e-9
        and mean[3] == "rigorous: residual"
    )
    assert strict_json(page.all("pre")[0]) == report.to_dict()
    text = " ".join(page.all("td"))
    for name, number in report.versions.items():
        assert name in text and number in text
    assert "10,000" in text and "not available" not in " ".join(page.all("div"))


def test_the_page_loads_nothing_and_runs_nothing():
    evil = "<script>alert(1)</script>$x$&amp;\"'><img src=//x.example>"
    chain = fe.MarkovChain(gallery.two_state(0.3, 0.1).P, labels=[evil, evil])
    report = fe.analyze(chain, score=[0, 1], level=1, rng=0)
    page = page_of(report, title=evil)
    assert page.all("h1") == [evil] and any(evil in line for line in page.all("p"))
    assert not {"script", "iframe", "link", "object", "form", "a"} & {
        name for name, _, _ in page.elements
    }
    attributes = [attributes for _, attributes, _ in page.elements]
    assert not [
        key
        for some in attributes
        for key in some
        if key.startswith("on") or key in ("href", "srcset")
    ]
    (policy,) = [
        some["content"]
        for some in attributes
        if some.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert len(page.images()) == 7 and all(
        image.startswith("data:image/svg+xml;base64,") for image in page.images()
    )
    for image in page.images():
        assert xml.etree.ElementTree.fromstring(
            base64.b64decode(image.partition(",")[2])
        ).tag.endswith("svg")
    styles = "".join(page.all("style"))
    assert "url(" not in styles and "@import" not in styles


def test_the_page_gives_the_reason_of_a_missing_answer():
    P = np.array([[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 1.0, 0], [0.1, 0, 0.9, 0]])
    report = fe.analyze(fe.MarkovChain(P), score=[0, 0, 1, 0], level=1, rng=0)
    page = page_of(report)
    said = page.all("div")
    assert said[0].startswith(
        "6 parts are not available: stationary law, absolute gap, additive gap, mixing curve, "
        "simulated hitting times, leading eigenvalues. The reasons are given below."
    )
    assert all(
        any(error["text"] in text and name_of(error["part"]) in text for text in said[1:])
        for error in report.errors
    )
    assert (
        "solved from every state" in " ".join(page.all("p")) and page.images() == []
    )  # and no number that is undefined
    assert "mean_from_pi (solve)" not in page.rows()


def test_the_page_of_a_periodic_chain_of_a_censored_run_and_of_one_state():
    ring = gallery.biased_cycle(6, 1.0)
    page = page_of(fe.analyze(fe.MarkovChain(ring.P), rng=0))
    assert any(
        "period" in text and text.startswith("mixing curve: not available.")
        for text in page.all("div")
    )
    assert "infinite" in page.all("td") and "Needs a level and a score" in " ".join(page.all("p"))
    with pytest.warns(fe.ConvergenceWarning, match="max_steps"):
        report = fe.analyze(
            fe.MarkovChain(gallery.two_state(1e-3, 0.5).P),
            score=[0, 1],
            level=1,
            max_steps=10,
            rng=0,
        )
    page = page_of(report)
    assert page.all("div")[0].startswith("Not converged: sample.")
    assert page.rows()["mean (sample)"][2] == "infinite"
    assert (
        page_of(fe.analyze(fe.MarkovChain(np.ones((1, 1))), score=[1.0], level=1.0, rng=0)).images()
        == []
    )  # nothing to draw


def test_the_page_shows_the_spectrum_and_the_temperatures_with_their_ends():
    chain = fe.MarkovChain(gallery.path(5).P).lazy(0.5)
    report = fe.analyze(chain, score=np.array([1.0, 0.0, -1.0, 0.0, 1.0]), betas=[1.0, 0.25], rng=0)
    page, gap = page_of(report), report.sweep[0.25]
    alts = [attributes["alt"] for name, attributes, _ in page.elements if name == "img"]
    assert "rate 1 - λ (per step) against number k of the eigenvalue" in alts
    assert "spectral gap (per step) against 1/β (per unit of reward)" in alts
    assert page.rows()["gap (sweep: 0.25)"][:3] == [
        f"{x:,.10g}" for x in (gap.gap, gap.gap_lower, gap.gap_upper)
    ]
    _value, low, high, basis = page.rows()["1 - eigenvalue 2 (spectrum)"]
    exact = 1 - np.sort(np.linalg.eigvals(chain.to_scipy().toarray()).real)[-2]
    assert float(low) <= exact + 1e-10 and exact <= float(high) + 1e-10
    assert basis == "probabilistic"
    headings = [name for name, _, _ in page.elements if name in ("h1", "h2", "h3")]
    assert (
        headings[0] == "h1"
        and set(headings[1:]) == {"h2"}
        and [a["lang"] for name, a, _ in page.elements if name == "html"] == ["en"]
    )


def test_the_page_of_an_interrupted_run():
    def stop(info):
        if info["part"] == "mixing":
            raise KeyboardInterrupt

    with pytest.raises(fe.Interrupted) as info:
        fe.analyze(fe.MarkovChain(gallery.two_state(0.3, 0.1).P), rng=0, callback=stop)
    assert (
        page_of(info.value.partial).all("div")[0].startswith("Interrupted during the part mixing")
    )


def test_a_result_of_no_question_is_shown_with_its_bounds_and_meanings():
    """A report may gain fields: the page follows from their names and docstrings."""

    @results.result
    class Mixed(results.Result):
        """One more.

        Attributes
        ----------
        steps : int
            The ``mixing`` time
            in steps.
        lower, upper : int
        """

        steps: int
        lower: int
        upper: int

    @dataclasses.dataclass(frozen=True, eq=False, repr=False)
    class More(fe.Report):
        mixing_time: Mixed = None

    report = fe.analyze(fe.MarkovChain(gallery.two_state(0.3, 0.1).P), rng=0)
    reason = {"part": "conductance", "error": "SomeError", "text": "no cut was found"}
    page = page_of(
        More(**vars(report) | {"errors": [reason]}, mixing_time=Mixed(10**30, 7, 10**400))
    )
    assert "conductance: not available. no cut was found (SomeError)" in page.all("div")
    assert "What else was found?" in page.all("h2")
    assert page.rows()["steps (mixing_time)"] == ["1e+30", "7", "10^400 and more", "bounds"]
    assert "The mixing time in steps." in page.all("td")


def test_the_same_report_is_the_same_page_and_a_file(tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    report = fe.analyze(fe.MarkovChain(gallery.random_reversible(60, 0.1, 8).P), rng=0)
    path = tmp_path / "page.html"
    path.write_text("old")
    assert report.to_html(path) == path.read_text(
        encoding="utf-8"
    ) == report.to_html() and os.listdir(tmp_path) == ["page.html"]


def test_the_certificate_of_a_mean_of_1e64_is_that_of_its_bounds():
    """Elimination proves its digits by itself, where the residual in doubles is of the size of the
    mean."""
    case = gallery.birth_death([0.01] * 40 + [0.0], [0.0] + [0.4] * 40, gap=False)
    with pytest.warns(fe.ConvergenceWarning, match="max_steps"):
        report = fe.analyze(
            fe.MarkovChain(case.P),
            score=np.arange(41),
            level=40,
            rng=0,
            n_walkers=10,
            max_steps=10,
            n_steps=1,
        )
    low, high = (float(text) for text in page_of(report).rows()["mean_from_pi (solve)"][1:3])
    exact = case.pi @ case.hitting[1]
    assert (
        exact > 1e64
        and low <= exact * (1 + 1e-9)
        and high >= exact * (1 - 1e-9)
        and high / low < 1 + 1e-8
    )
