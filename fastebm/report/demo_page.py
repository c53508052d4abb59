"""The page of the demo: what it says, with figures of its sweep over temperatures."""

import numpy as np

from .. import plot
from .facts import RARE
from .figures import arrhenius, figure
from .files import write_json
from .html import render, section
from .tables import rows, tables


def page(demo, report):
    """The HTML text of a run that is done."""
    pretrained = figure(
        "",
        "Each state: its reward, and its mass in the long run.",
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
            facts=[{"name": "", "rows": _facts(told)}],
            drawn=[pretrained] if number == 0 else (),
        )
        for number, (heading, told) in enumerate(demo.told)
    ]
    gaps = [table for name, gap in demo.gaps.items() for table in tables(name, gap)]
    sections.append(section("What do the temperatures change?", drawn=_sweep(demo), tables=gaps))
    return render(
        title=f"{demo.dataset}: a language model before and after tilting it by a reward",
        by=f"Analysed by fastebm {report['versions']['fastebm']} in {report['wall_s']:.3g} s, seed {demo.seed}.",
        notices={
            "Not converged:": "" if report["converged"] else "a part of it; the JSON says which."
        },
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


def _facts(told):
    return [
        row | {"meaning": meaning}
        for row, (_, _, meaning) in zip(rows([found[:2] for found in told]), told)
    ]


def _sweep(demo):
    if not demo.sweep:
        return
    betas, x = (
        [found["beta"] for found in demo.sweep],
        [1.0 / found["beta"] for found in demo.sweep],
    )
    yield figure(
        "",
        f"KL divergence to the stationary law of each temperature, from the state '{demo.facts['start']['label']}'.",
        plot.mixing,
        np.array([found["kl"] for found in demo.sweep]),
        distance="kl",
        labels=[f"β = {beta:g}" for beta in betas],
    )

    def hitting(ax):
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
