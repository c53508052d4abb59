"""The page of a training log."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .._version import __version__
from ..rlvr.kl import kl_spent
from ..rlvr.log_fields import UNSTATED
from .figures import Drawing, figure
from .files import plain, write_json
from .html import render, section
from .rlvr_log import LogReport
from .tables import tables

_LOGGED: dict[str, Any] = {"ls": "none", "marker": ".", "ms": 3, "color": "0.6"}
_FITTED = "#0072B2"
_BOUND = "#D55E00"


def page(report: LogReport, versions: dict[str, str], wall_s: float) -> str:
    """The HTML text of a report."""
    log, fit = report.log, report.fit
    drawn = list(_figures(report))
    parts = [
        ("Did the accuracy follow a law?", "fit", fit),
        ("What did the KL buy?", "kl", report.kl),
        ("Where did the entropy go?", "entropy", report.entropy),
    ]
    sections = [section("What does the log say?", report.verdicts, reasons=report.errors)]
    for question, name, value in parts:
        figures = [item for item in drawn if item["field"] == name]
        if value is not None or figures:
            sections.append(
                section(
                    question, tables=[] if value is None else tables(name, value), drawn=figures
                )
            )
    if report.prompts or report.pass_at_k:
        found = [*tables("prompts", report.prompts)] if report.prompts else []
        found += [
            table
            for name, each in report.pass_at_k.items()
            for item in each
            for table in tables(f"pass@{item.k}, {name}", item)
        ]
        sections.append(section("How difficult are the prompts?", tables=found))
    sections.append(section("What was read, and how?", log.notes))
    return render(
        title=f"Training log of {log.step.size:,} steps ({log.format})",
        by=f"Analysed by fastebm {__version__} in {wall_s:.3g} s.",
        notices={"Not converged:": "" if report.converged else "see below for the parts."},
        sections=sections,
        parameters={"files": ", ".join(log.paths), "format": log.format}
        | {f"column of {field}": name for field, name in log.columns.items()}
        | {f"unit of {field}": unit for field, unit in log.units.items()},
        versions=versions,
        timings={},
        json=write_json(plain(report)),
    )


def _figures(report: LogReport) -> Iterator[Drawing]:
    log, fit = report.log, report.fit
    if fit is None:
        return
    known = ~np.isnan(log.accuracy)
    step, p = log.step[known], log.accuracy[known]

    def accuracy(ax: Axes) -> Axes:
        ax.plot(step, p, label="logged", **_LOGGED)
        ax.plot(step, fit.accuracy, color=_FITTED, label=f"law ({fit.law})")
        return _finished(ax, "step", "accuracy")

    yield figure("fit", "The accuracy and its fitted law.", accuracy)
    if log.kl is not None and fit.kl is not None:
        kl = log.kl[known]

        def spent(ax: Axes) -> Axes:
            ax.plot(fit.accuracy, kl, label="logged", **_LOGGED)
            ax.plot(
                fit.accuracy,
                np.asarray(kl_spent(fit.accuracy, fit.p0)),
                color=_BOUND,
                label="least KL of that accuracy, kl(p, p0)",
            )
            return _finished(
                ax, "accuracy (fitted)", f"KL from the reference ({_unit(log.units['kl'])})"
            )

        yield figure(
            "kl",
            "The KL against the accuracy. What lies above the curve bought no accuracy; nothing "
            "can lie below it, apart from noise.",
            spent,
        )
    if log.entropy is not None and fit.entropy is not None:
        entropy, law_of_entropy = log.entropy[known], fit.entropy

        def plane(ax: Axes) -> Axes:
            ax.plot(fit.accuracy, entropy, label="logged", **_LOGGED)
            ax.plot(fit.accuracy, law_of_entropy, color=_FITTED, label="law")
            if fit.peak_accuracy is not None:
                low, high = fit.accuracy.min(), fit.accuracy.max()
                if low < fit.peak_accuracy < high:
                    ax.axvline(fit.peak_accuracy, color=_BOUND, ls=":", label="peak of the law")
            return _finished(ax, "accuracy (fitted)", f"entropy ({_unit(log.units['entropy'])})")

        yield figure("entropy", "The entropy-accuracy plane, with the fitted law.", plane)
    logged = log.entropy_logged
    if logged is not None and report.entropy is not None:
        course = report.entropy

        def collapse(ax: Axes) -> Axes:
            ax.plot(log.step, logged, label="logged", **_LOGGED)
            for name, at in (("half", course.half_step), ("collapse", course.collapse_step)):
                if at is not None:
                    ax.axvline(at, color=_BOUND, ls=":" if name == "half" else "-", label=name)
            return _finished(ax, "step", f"entropy ({_unit(course.unit)})")

        yield figure("entropy", "The entropy along the run, as logged.", collapse)


def _unit(unit: str) -> str:
    return "unit not stated" if unit == UNSTATED else unit


def _finished(ax: Axes, x: str, y: str) -> Axes:
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.legend(fontsize="small")
    return ax
