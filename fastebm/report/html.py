"""The page of a Report: one HTML file that holds everything (template: page.html.jinja)."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .._runtime.results import Result, printable
from .answers import PARTS, Part, name_of
from .facts import parts_of
from .files import plain, write_json
from .findings import Findings
from .tables import Table, rows, tables

try:
    import jinja2
    import matplotlib

    from .figures import Drawing, figures
except ImportError as error:
    raise ImportError(
        f'the page of a report needs the package {error.name}: pip install "fastebm[plot]"'
    ) from error

#: What the template shows under one heading.
Section: TypeAlias = dict[str, Any]


def page(report: Findings, title: str | None = None) -> str:
    """The HTML text of a report."""
    drawn = list(figures(report))
    sections = [_section(report, part, drawn) for part in PARTS]
    has_content = [
        bool(found["lines"] or found["reasons"] or found["tables"]) for found in sections
    ]
    shown = [found for found, is_shown in zip(sections, has_content, strict=True) if is_shown]
    other = _other(report)
    if other["reasons"] or other["tables"]:
        shown.append(other)
    missing = [
        f"{part.question}{f' Needs {part.needs}.' if part.needs else ''}"
        for part, is_shown in zip(PARTS, has_content, strict=True)
        if not is_shown
    ]
    if missing:
        shown.append(section("Which questions were not computed?", missing))
    seed = "" if report.seed is None else f", seed {report.seed}"
    return render(
        title=title or f"A Markov chain of {report.chain['n_states']:,} states",
        sections=shown,
        by=f"Analysed by fastebm {report.version} in {report.wall_s:.3g} s{seed}.",
        notices=_notices(report),
        parameters=report.parameters,
        versions=report.versions,
        timings=report.timings,
        json=write_json(plain(vars(report))),
    )


def _other(report: Findings) -> Section:
    """Fields and errors that belong to no question."""
    claimed = {name for part in PARTS for name in part.fields}
    other = [
        name
        for name, value in vars(report).items()
        if isinstance(value, Result) and name not in claimed
    ]
    return section(
        "What else was found?",
        reasons=[error for error in report.errors if error["part"] not in claimed],
        tables=[table for name in other for table in tables(name, getattr(report, name))],
    )


def _notices(report: Findings) -> dict[str, str]:
    """What a reader must know first: mark -> text, empty if it does not apply."""
    unconverged = [
        name
        for name, value in parts_of(vars(report))
        if not np.all(getattr(value, "converged", True))
    ]
    parts = list(dict.fromkeys(name_of(error["part"]) for error in report.errors))
    n_missing = f"{len(parts)} part{'s are' if len(parts) > 1 else ' is'} not available:"
    return {
        "Interrupted": f"during the part {report.interrupted}: all later parts are missing."
        if report.interrupted
        else "",
        "Not converged:": f"{', '.join(unconverged)}. These results miss the requested accuracy."
        if unconverged
        else "",
        n_missing: f"{', '.join(parts)}. The reasons are given below." if parts else "",
    }


def render(
    *,
    title: str,
    by: str,
    notices: dict[str, str],
    sections: Sequence[Section],
    parameters: dict[str, Any],
    versions: dict[str, str],
    timings: dict[str, float],
    json: str,
) -> str:
    """The HTML text of a page of sections; a notice without text is left out."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(
        Path(__file__).with_name("page.html.jinja").read_text(encoding="utf-8")
    )
    page = template.render(
        title=title,
        by=by,
        notices={mark: text for mark, text in notices.items() if text},
        sections=sections,
        json=json,
        parameters=rows(parameters),
        versions=rows(versions | {"matplotlib": matplotlib.__version__}),
        timings=rows({name: f"{seconds:.3g} s" for name, seconds in timings.items()}),
    )
    return printable(page)


def section(
    question: str,
    lines: Iterable[str] = (),
    *,
    reasons: Iterable[dict[str, str]] = (),
    tables: Sequence[Table] = (),
    drawn: Iterable[Drawing] = (),
    facts: Iterable[dict[str, Any]] = (),
) -> Section:
    """A question, its answer in lines or the reasons why there is none, numbers with bounds,
    figures, facts, and evidence to unfold."""
    return {
        "question": question,
        "lines": list(lines),
        "reasons": [reason | {"name": name_of(reason["part"])} for reason in reasons],
        "figures": list(drawn),
        "facts": list(facts),
        "numbers": [row for table in tables for row in table["numbers"]],
        "tables": [table for table in tables if table["rows"]],
    }


def _section(report: Findings, part: Part, drawn: Iterable[Drawing]) -> Section:
    """One question of a report."""
    held = [
        (name, value) for name in part.fields if (value := getattr(report, name, None)) is not None
    ]
    return section(
        part.question,
        part.say(report),
        reasons=[error for error in report.errors if error["part"] in part.fields],
        tables=[table for name, value in held for table in tables(name, value)],
        drawn=[item for item in drawn if item["field"] in part.fields],
    )
