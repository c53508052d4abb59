"""The page of a Report: one HTML file with everything in it, driven by what the report holds (template: report.html.jinja)."""

import base64
import dataclasses
import inspect
import io
import math
from pathlib import Path

import numpy as np

from . import plot
from .hitting import HittingResult, certificate
from .report import PARTS, RARE
from .results import Result

try:
    import jinja2
    import matplotlib
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(f'the page of a report needs the package {error.name}: pip install "fastebm[plot]"') from error

FIGURE_INCHES = (5.4, 3.5)
# Letters are outlines, the same on every machine; with a fixed salt the same report is the same bytes.
SVG = {"svg.hashsalt": "fastebm", "svg.fonttype": "path", "savefig.dpi": 150, "text.usetex": False}
MAX_ITEMS = 8
# Rare states are left out of a figure, which counts them, up to this share: they would press all others into a
# line (of english-trigram 1.6 % have 1e-99 and less).
FEW = 0.1


def page(report, title=None):
    """The HTML text of a report."""
    title = title or f"A Markov chain of {report.chain['n_states']:,} states"
    drawn = list(_figures(report))
    claimed = {name for part in PARTS for name in part.fields}
    other = [name for name, value in vars(report).items() if isinstance(value, Result) and name not in claimed]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(Path(__file__).with_name("report.html.jinja").read_text(encoding="utf-8"))
    return template.render(
        title=title, report=report, sections=[_section(report, part, drawn) for part in PARTS],
        other=[table for name in other for table in _tables(name, getattr(report, name))],
        unexplained=[error for error in report.errors if error["part"] not in claimed],
        unconverged=[name for name, value in _results(report) if not np.all(getattr(value, "converged", True))],
        parameters=_rows(report.parameters), versions=_rows(report.versions | {"matplotlib": matplotlib.__version__}),
        timings=_rows({name: f"{seconds:.3g} s" for name, seconds in report.timings.items()}), json=report.to_json(),
    )


def _section(report, part, drawn):
    """A question with its answer, or with the reason why there is none."""
    held = [(name, value) for name in part.fields if (value := getattr(report, name, None)) is not None]
    tables = [table for name, value in held for table in _tables(name, value)]
    return {
        "question": part.question, "lines": list(part.say(report)),
        "reasons": [error for error in report.errors if error["part"] in part.fields],
        "numbers": [row for table in tables for row in table["numbers"]],
        "figures": [figure for figure in drawn if figure["field"] in part.fields],
        "tables": [table for table in tables if table["rows"]],
    }


def _results(report):
    """(name, result) of every part that ran."""
    for name, value in vars(report).items():
        for key, item in value.items() if isinstance(value, dict) else [(name, value)]:
            if isinstance(item, Result):
                yield key, item


def _tables(name, value):
    """The tables of one field of a report: its numbers that have bounds, and the rest as evidence."""
    if isinstance(value, dict) and value and all(isinstance(item, Result) for item in value.values()):
        return [table for key, item in value.items() for table in _tables(f"{name}: {key}", item)]
    if not isinstance(value, Result):
        return [{"name": name, "numbers": [], "rows": _rows(value if isinstance(value, dict) else {name: value})}]
    facts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    bounded = {key: interval for key in facts if (interval := _interval(value, facts, key)) is not None}
    numbers = [{"of": name, "name": key, "value": _text(facts[key]), "lower": _text(low), "upper": _text(high), "basis": basis}
               for key, (low, high, basis) in bounded.items()]
    return [{"name": name, "numbers": numbers, "rows": _rows(facts, _meanings(type(value)))}]


def _interval(value, facts, key):
    """(lower, upper, what they rest on) of a number that its result bounds, by the names of the fields; else None."""
    if not isinstance(facts[key], (int, float)) or isinstance(facts[key], bool):
        return None
    if f"{key}_lower" in facts and f"{key}_upper" in facts:
        low, high = facts.get("lower_kind", "bounds"), facts.get("upper_kind", "bounds")
        basis = low if low == high else f"lower {low}, upper {high}"
        return facts[f"{key}_lower"], facts[f"{key}_upper"], basis
    if key == "mean" and "ci" in facts:
        return *facts["ci"], "95 % interval"
    if key == next(iter(facts)) and np.ndim(facts.get("lower", ())) == np.ndim(facts.get("upper", ())) == 0:
        return facts["lower"], facts["upper"], "bounds"
    if isinstance(value, HittingResult) and key == "mean_from_pi":
        error = certificate(value)
        return facts[key] * max(1.0 - error, 0.0), facts[key] * (1.0 + error), "certificate"
    return None


def _rows(facts, meanings=None):
    return [{"name": str(key), "value": _text(value), "meaning": (meanings or {}).get(key, "")} for key, value in facts.items()]


def _meanings(kind):
    """What the docstring of a result says of each of its fields."""
    found, names = {}, ()
    for line in inspect.getdoc(kind).partition("Attributes\n----------\n")[2].splitlines():
        if line[:1].strip():
            names = line.partition(" : ")[0].split(", ")
        else:
            found |= {name: f"{found.get(name, '')} {line.strip()}".strip() for name in names}
    return {name: text.replace("``", "").replace("`", "") for name, text in found.items()}


def _text(value):
    """A value of a report as a reader wants it: nothing is rounded below ten digits, nothing long is listed in full."""
    if value is None:
        return "none"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        if abs(value) < 10**21:
            return f"{value:,}"
        return f"{value:.10g}" if abs(value) < 10**308 else f"10^{int(math.log10(abs(value)))} and more"
    if isinstance(value, (float, np.floating)):
        if math.isfinite(value):
            return f"{value:,.10g}"
        return "undefined (nan)" if math.isnan(value) else "infinite" if value > 0 else "-infinite"
    if isinstance(value, np.ndarray):
        return _array_text(value)
    if isinstance(value, Result):
        return _text({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, dict):
        return _listed([f"{key} {_text(item)}" for key, item in value.items()], ", ")
    if isinstance(value, (list, tuple)):
        return _listed([_text(item) for item in value], "; ")
    return str(value)


def _listed(items, between):
    rest = len(items) - MAX_ITEMS
    return (between.join(items[:MAX_ITEMS]) + (f"{between}… {rest:,} more" if rest > 0 else "")) or "none"


def _array_text(value):
    if value.ndim == 1 and value.size <= MAX_ITEMS:
        return _listed([_text(item) for item in value.tolist()], "; ")
    shape = " × ".join(f"{n:,}" for n in value.shape)
    if value.dtype == bool:
        return f"{shape} entries, {np.count_nonzero(value):,} of them yes"
    if value.size == 0 or value.dtype.kind not in "iuf":
        return f"{shape} entries"
    left_out = int(np.count_nonzero(np.isnan(value)))
    if left_out == value.size:
        return f"{shape} numbers, all undefined (nan)"
    ends = f"{shape} numbers from {_text(np.nanmin(value))} to {_text(np.nanmax(value))}"
    return ends + (f", {left_out:,} undefined (nan)" if left_out else "")


def _figures(report):
    """The figures of what the report holds: field, caption, data URI."""
    law, curve, solve, sample, level = report.stationary, report.mixing, report.solve, report.sample, report.parameters["level"]
    floor = RARE if report.rare is not None and report.rare["n_states"] <= FEW * len(law.pi) else 0.0
    if law is not None and len(law.pi) > 1:
        yield _figure("stationary", "The states by stationary mass, the most probable first.", plot.landscape, law, floor=floor)
        if report.score is not None:
            yield _figure("stationary", "Each state: its score, and its mass in the long run.", plot.landscape, law, report.score,
                          level=level, floor=floor, value_label="score")
    for distance, caption in (("tv", "Total variation"), ("kl", "KL divergence")):
        if curve is not None and (values := getattr(curve, distance)) is not None and np.count_nonzero(values > 0.0) > 1:
            bound = ", and its upper bound from the gap" if distance in curve.bounds else ""
            yield _figure("mixing", f"{caption} to the stationary law, step by step{bound}.", plot.mixing, curve, distance=distance)
    if sample is not None and len(sample.survival.times) > 1:
        bound = ", and the upper bound from λ_B" if report.bounds is not None and report.bounds.exit_rate_bound is not None else ""
        yield _figure("sample", f"The chance not to have arrived after t steps{bound}.", plot.survival, sample,
                      bounds=report.bounds)
    if solve is not None and law is not None and len(law.pi) > 1:
        yield _figure("solve", "Each state: the mean time from there, and its mass in the long run.", plot.landscape, law,
                      solve.mean, floor=floor, value_label="mean hitting time (steps)")


def _figure(field, caption, draw, *args, **options):
    figure, text = Figure(figsize=FIGURE_INCHES, layout="constrained"), io.StringIO()
    draw(*args, ax=figure.add_subplot(), **options)
    with matplotlib.rc_context(SVG):
        figure.savefig(text, format="svg", metadata={"Date": None})
    source = "data:image/svg+xml;base64," + base64.b64encode(text.getvalue().encode()).decode()
    return {"field": field, "caption": caption, "source": source}
