"""The page of the demo: its printed summary with figures of the sweep over temperatures."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .. import plot
from .facts import RARE
from .figures import Drawing, arrhenius, figure
from .files import write_json
from .html import render, section
from .tables import Row, rows, tables


def page(demo: Any, report: dict[str, Any]) -> str:
    """The HTML text of a finished run and of its report."""
    pretrained = figure(
        "",
        "Each state: its reward and its stationary mass.",
        plot.landscape,
        demo.law,
        demo.chain.reward,
        level=demo.level,
        floor=RARE,
        value_label="reward",
    )
    sections = [
        section(
            heading,
            facts=[{"name": "", "rows": _facts(lines)}],
            drawn=[pretrained] if number == 0 else (),
        )
        for number, (heading, lines) in enumerate(demo.printed)
    ]
    gaps = [table for name, gap in demo.gaps.items() for table in tables(name, gap)]
    sections.append(section("What do the temperatures change?", drawn=_sweep(demo), tables=gaps))
    return render(
        title=f"{demo.dataset}: a language model before and after tilting it by a reward",
        by=f"Analysed by fastebm {report['versions']['fastebm']} in {report['wall_s']:.3g} s, "
        f"seed {demo.seed}.",
        notices={"Not converged:": "" if report["converged"] else "some parts; see the JSON."},
        sections=sections,
        parameters={
            "dataset": demo.dataset,
            "betas": [found["beta"] for found in demo.sweep],
            "level": demo.level,
        },
        versions=report["versions"],
        timings=report["timings"],
        json=write_json(report),
    )


def _facts(lines: tuple[tuple[str, str, str], ...]) -> list[Row]:
    return [
        row | {"meaning": meaning}
        for row, (_, _, meaning) in zip(rows([x[:2] for x in lines]), lines, strict=True)
    ]


def _sweep(demo: Any) -> Iterator[Drawing]:
    if not demo.sweep:
        return
    betas, x = (
        [found["beta"] for found in demo.sweep],
        [1.0 / found["beta"] for found in demo.sweep],
    )
    yield figure(
        "",
        "KL divergence to the stationary law at each temperature, from the state "
        f"'{demo.facts['start']['label']}'.",
        plot.mixing,
        np.array([found["kl"] for found in demo.sweep]),
        distance="kl",
        labels=[f"β = {beta:g}" for beta in betas],
    )

    def hitting(ax: Axes) -> Axes:
        plot.hitting(
            x,
            solved=[found["hitting_solved"] for found in demo.sweep],
            sampled=list(demo.samples.values()),
            bound=[found["hitting_bound"] for found in demo.sweep],
            ax=ax,
        )
        ax.set_xlabel("1/β (per unit of reward)")
        return ax

    yield figure(
        "",
        "The mean time to reach a superior state: solved, simulated, and bounded by the gap.",
        hitting,
    )
    if len(betas) > 1:
        yield arrhenius("", betas, [found["gap"] for found in demo.sweep])
