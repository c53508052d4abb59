"""The pages of docs/: their examples run, and the API reference has every public name.

The CI builds the pages with Sphinx, every warning an error; the tests here do not need Sphinx.
"""

import doctest
import inspect
import re
import runpy
from pathlib import Path

import pytest

import fastebm

DOCS = Path(__file__).resolve().parents[1] / "docs"
GUIDE = sorted([*(DOCS / "guide").glob("*.md"), *(DOCS / "coming-from").glob("*.md")])
PAGES = [DOCS / "index.md", DOCS / "theory.md", DOCS / "tutorial.md", DOCS / "faq.md", *GUIDE]
PEERS = sorted(page for page in (DOCS / "coming-from").glob("*.md") if page.stem != "slepc")


@pytest.fixture(scope="module")
def conf():
    return runpy.run_path(str(DOCS / "conf.py"))


def examples(text, *languages):
    """The lines inside blocks of these languages, by default ```python; others are blank, so that
    line numbers stay the same."""
    opened = {f"```{language}" for language in languages or ("python",)}
    inside, lines = False, []
    for line in text.split("\n"):
        fence = line.startswith("```")
        lines.append(line if inside and not fence else "")
        if fence:
            inside = not inside and line.strip() in opened
    return "\n".join(lines)


def run_examples(page, text):
    test = doctest.DocTestParser().get_doctest(text, {}, page.stem, str(page), 0)
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0
    return len(test.examples)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_examples(page, examples(page.read_text())) or page not in GUIDE, "has an example"


@pytest.mark.parametrize("page", PEERS, ids=lambda page: page.stem)
def test_comparisons_with_other_packages_run_where_these_are_installed(page, tmp_path, monkeypatch):
    """Blocks of the language pycon go on from those in python, and import what they compare."""
    text = page.read_text()
    imports = re.findall(r"^>>> (?:from|import) (.*)", examples(text, "pycon"), re.MULTILINE)
    for packages in imports:
        for package in packages.split(" import ")[0].split(","):
            pytest.importorskip(package.split(" as ")[0].strip())
    monkeypatch.chdir(tmp_path)
    assert imports and run_examples(page, examples(text, "python", "pycon"))


def test_an_example_that_is_wrong_fails():
    page = "text\n```python\n>>> 1 + 1\n3\n```\n>>> not python\n"
    test = doctest.DocTestParser().get_doctest(examples(page), {}, "page", "page", 0)
    assert len(test.examples) == 1 and test.examples[0].lineno == 2
    assert doctest.DocTestRunner(verbose=False).run(test, out=lambda text: None).failed == 1


def directives(text):
    return re.findall(r"^\.\. auto\w+:: (?:fastebm\.)?(\w+)$", text, re.MULTILINE)


MODULES = [name for name in fastebm.__all__ if inspect.ismodule(getattr(fastebm, name))]


def test_the_reference_has_every_public_name_once(conf):
    texts = conf["api_pages"]()
    top = [
        name
        for page, text in texts.items()
        if page.removesuffix(".rst") not in MODULES
        for name in directives(text)
    ]
    assert sorted([*top, *MODULES]) == sorted(fastebm.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_public_modules_show_their_functions(conf, name):
    shown = directives(conf["api_pages"]()[f"{name}.rst"])
    module = getattr(fastebm, name)
    assert shown[0] == name and len(set(shown)) == len(shown)
    for function, thing in vars(module).items():
        if (
            inspect.isfunction(thing)
            and thing.__module__ == module.__name__
            and not function.startswith("_")
        ):
            assert function in shown
    assert not {"np", "MarkovChain", "InvalidChainError"} & set(shown)


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_links_to_the_reference_name_a_page(conf, page):
    linked = set(re.findall(r"\bapi/(\w+\.rst)", page.read_text()))
    assert linked <= set(conf["api_pages"]())


def test_every_page_of_the_reference_is_in_its_contents(conf):
    texts = conf["api_pages"]()
    listed = texts["index.rst"].split(":hidden:")[1].split()
    assert sorted(f"{page}.rst" for page in listed) == sorted(set(texts) - {"index.rst"})


def test_a_new_public_name_appears_by_itself(conf, monkeypatch):
    def fresh():
        """A function that no page names."""

    fresh.__module__ = "fastebm.fresh"
    monkeypatch.setattr(fastebm, "fresh", fresh, raising=False)
    monkeypatch.setattr(fastebm, "__all__", [*fastebm.__all__, "fresh"])
    texts = conf["api_pages"]()
    assert (
        ".. autofunction:: fresh\n" in texts["fresh.rst"]
        and "`fresh <fastebm.fresh>`" in texts["index.rst"]
    )


def test_docstrings_get_links_and_their_formulas_are_no_markup(conf):
    lines = [
        "of P P*, *P, |lambda_2|, pi_",
        "but `pi_`, ``|x| *y`` of a GapResult",
        "",
        "    >>> abs(-1) | 2",
        "    3",
        "",
        "|x|",
    ]
    conf["adapt_docstring"](None, "function", "f", None, None, lines)
    assert lines[:2] == [
        r"of P P\*, \*P, \|lambda_2\|, pi\_",
        "but `pi_`, ``|x| *y`` of a `GapResult`",
    ]
    assert lines[2:] == ["", "    >>> abs(-1) | 2", "    3", "", r"\|x|"]


def test_signatures_of_results_are_left_out_and_others_stay(conf):
    hide = conf["hide_result_signatures"]
    assert hide(None, "class", "", fastebm.GapResult, None, "(x)", None) == ("", None)
    assert hide(None, "class", "", fastebm.MarkovChain, None, "(P)", None) is None
    assert (
        hide(None, "function", "", fastebm.tilt, None, str(inspect.signature(fastebm.tilt)), None)
        is None
    )
