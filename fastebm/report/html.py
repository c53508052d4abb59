"""The page of a Report: one HTML file with everything in it, driven by what the report holds
(template: page.html.jinja)."""

from pathlib import Path

import numpy as np

from .._runtime.results import Result
from .answers import PARTS
from .facts import parts_of
from .tables import rows, tables

try:
    import jinja2
    import matplotlib

    from .figures import figures
except ImportError as error:
    raise ImportError(
        f'the page of a report needs the package {error.name}: pip install "fastebm[plot]"'
    ) from error


def page(report, title=None):
    """The HTML text of a report."""
    drawn = list(figures(report))
    claimed = {name for part in PARTS for name in part.fields}
    other = [
        name
        for name, value in vars(report).items()
        if isinstance(value, Result) and name not in claimed
    ]
    sections = [_section(report, part, drawn) for part in PARTS]
    unclaimed = section(
        "What else was found?",
        reasons=[error for error in report.errors if error["part"] not in claimed],
        tables=[table for name in other for table in tables(name, getattr(report, name))],
    )
    answered = [
        found for found in sections if found["lines"] or found["reasons"] or found["tables"]
    ]
    silent = [
        f"{part.question}{f' Give {part.ask}.' if part.ask else ''}"
        for part, found in zip(PARTS, sections)
        if found not in answered
    ]
    if unclaimed["reasons"] or unclaimed["tables"]:
        answered.append(unclaimed)
    if silent:
        answered.append(
            section("What was not asked, or rests on a part without an answer?", silent)
        )
    unconverged = [
        name
        for name, value in parts_of(vars(report))
        if not np.all(getattr(value, "converged", True))
    ]
    missing = list(dict.fromkeys(error["part"] for error in report.errors))
    notices = {
        "Interrupted": report.interrupted
        and f"in the part {report.interrupted}: what follows it is missing.",
        "Not converged:": unconverged
        and f"{', '.join(unconverged)}. What they found is not as accurate as was asked for.",
        f"{len(missing)} {'parts have' if len(missing) > 1 else 'part has'} no answer:": missing
        and f"{', '.join(missing)}. The reason stands with the question.",
    }
    seed = "" if report.seed is None else f", seed {report.seed}"
    return render(
        title=title or f"A Markov chain of {report.chain['n_states']:,} states",
        sections=answered,
        by=f"Analysed by fastebm {report.version} in {report.wall_s:.3g} s{seed}.",
        notices=notices,
        parameters=report.parameters,
        versions=report.versions,
        timings=report.timings,
        json=report.to_json(),
    )


def render(*, title, by, notices, sections, parameters, versions, timings, json):
    """The HTML text of a page of sections; a notice without text is left out."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(
        Path(__file__).with_name("page.html.jinja").read_text(encoding="utf-8")
    )
    return template.render(
        title=title,
        by=by,
        notices={mark: text for mark, text in notices.items() if text},
        sections=sections,
        json=json,
        parameters=rows(parameters),
        versions=rows(versions | {"matplotlib": matplotlib.__version__}),
        timings=rows({name: f"{seconds:.3g} s" for name, seconds in timings.items()}),
    )


def section(question, lines=(), *, reasons=(), tables=(), drawn=(), facts=()):
    """A question, its answer in lines or the reasons why there is none, numbers with bounds,
    figures, facts, and evidence to unfold."""
    return {
        "question": question,
        "lines": list(lines),
        "reasons": list(reasons),
        "figures": list(drawn),
        "facts": list(facts),
        "numbers": [row for table in tables for row in table["numbers"]],
        "tables": [table for table in tables if table["rows"]],
    }


def _section(report, part, drawn):
    """A question of a report."""
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
