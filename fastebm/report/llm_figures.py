"""The figures of answers and of words of a language model."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm

from .. import plot
from ..chains.words import WordChain
from ..llm.answer_tree import AnswerTree
from ..llm.tree_policy import TokenTilt, TreePolicy
from .figures import Drawing, arrhenius, figure
from .llm_answers import AnswerStudy
from .llm_words import WordStudy

# Of the tree: answers that are drawn, and the longest token that is written out.
N_ANSWERS, SHOWN = 8, 14
N_BETAS = 25
# The font of the figures has all characters before this one.
SURE = "\u0500"
BAND = "#0072B2"
TILT = LinearSegmentedColormap.from_list("tilt", [BAND, "0.6", "#D55E00"])


def figures_of_answers(study: AnswerStudy) -> Iterator[Drawing]:
    """The tree of the heaviest answers, and the curves over beta."""
    finite = [found.beta for found in study.policies if math.isfinite(found.beta)]
    if study.answers and finite:
        yield tree_figure(study.tree, min(finite))
    if not finite:
        return
    betas = np.geomspace(max(finite) * 4.0, min(finite) / 4.0, N_BETAS)
    curve = [study.tree.policy(float(beta)) for beta in betas]
    for name, label, caption in (
        ("success", "probability of a correct answer", "What tuning gains"),
        ("path_kl", "KL from the model (nats)", "What it costs"),
        ("entropy", "entropy of the answers (nats)", "What is left of the variety"),
    ):
        yield figure(
            "curves",
            f"{caption}, at each KL coefficient beta. The band holds the curve, whatever the "
            "answers on the frontier are.",
            _band,
            curve,
            name=name,
            label=label,
            marked=finite,
        )
    strongest = min(study.policies, key=lambda found: found.beta)
    yield figure(
        "curves",
        f"Where along the text the tilt acts: KL of the law of the first tokens, at beta "
        f"{strongest.beta:g}.",
        _by_length,
        strongest.kl_by_length,
    )


def _band(
    curve: Sequence[TreePolicy], *, name: str, label: str, marked: Sequence[float], ax: Axes
) -> Axes:
    betas = [policy.beta for policy in curve]
    ends = np.array([getattr(policy, name) for policy in curve])
    ax.fill_between(betas, ends[:, 0], ends[:, 1], color=BAND, alpha=0.35, lw=0)
    ax.plot(betas, ends[:, 0], color=BAND, lw=0.8)
    ax.plot(betas, ends[:, 1], color=BAND, lw=0.8)
    for beta in marked:
        ax.axvline(beta, color="0.7", lw=0.6, zorder=0)
    ax.set_xscale("log")
    ax.invert_xaxis()
    ax.set_xlabel("beta (stronger tuning to the right)")
    ax.set_ylabel(label)
    return ax


def _by_length(ends: Sequence[tuple[float, float]], *, ax: Axes) -> Axes:
    low, high = np.array(ends).T
    steps = np.arange(len(low))
    ax.fill_between(steps, low, high, step="mid", color=BAND, alpha=0.35, lw=0)
    ax.plot(steps, low, color=BAND, lw=0.8, drawstyle="steps-mid")
    ax.plot(steps, high, color=BAND, lw=0.8, drawstyle="steps-mid")
    ax.set_xlabel("tokens of the answer")
    ax.set_ylabel("KL of their law (nats)")
    return ax


def tree_figure(tree: AnswerTree, beta: float) -> Drawing:
    """The heaviest answers as a tree, each token with its probability before and after tuning."""
    tuned = tree.policy(beta)
    paths = [(answer.score, tuned.along(answer)) for answer in tree.top(N_ANSWERS, merge=False)]
    return figure(
        "tree",
        "The heaviest answers. Below each token its probability under the model → tuned at beta "
        f"{beta:g} (the middle of its interval). Orange tokens gain, blue ones lose.",
        _drawn_tree,
        paths,
    )


def _drawn_tree(paths: Sequence[tuple[float, Sequence[TokenTilt]]], *, ax: Axes) -> Axes:
    edges: dict[tuple[int, ...], TokenTilt] = {}
    rows: dict[tuple[int, ...], list[int]] = {}
    for row, (_, path) in enumerate(sorted(paths, key=lambda p: [step.token for step in p[1]])):
        for length in range(1, len(path) + 1):
            name = tuple(step.token for step in path[:length])
            edges[name] = path[length - 1]
            rows.setdefault(name, []).append(row)
    ratios = {name: _log_ratio(step) for name, step in edges.items()}
    size = max([abs(ratio) for ratio in ratios.values()] + [1e-3])
    norm = TwoSlopeNorm(0.0, -size, size)
    everything = list(range(len(paths)))
    for name, step in edges.items():
        y = float(np.mean(rows[name]))
        start = float(np.mean(rows.get(name[:-1], everything)))
        x, colour = len(name), TILT(norm(ratios[name]))
        ax.plot([x - 1, x - 0.75, x], [start, y, y], color=colour, lw=1.0 + 4.0 * step.reference)
        probabilities = f"{step.reference:.2g} → {sum(step.policy) / 2.0:.2g}"
        for text, points, offset in ((_written(step.text), 7, 3), (probabilities, 5, -8)):
            ax.annotate(
                text,
                (x - 0.4, y),
                xytext=(0, offset),
                textcoords="offset points",
                ha="center",
                fontsize=points,
            )
    for score, path in paths:
        name = tuple(step.token for step in path)
        mark = "✓" if score == 1.0 else "✗" if score == 0.0 else f"{score:g}"
        ax.text(len(name) + 0.05, float(np.mean(rows[name])), mark, va="center", fontsize=8)
    ax.set_xlim(-0.1, max(len(path) for _, path in paths) + 0.3)
    ax.set_ylim(len(paths) - 0.4, -0.6)
    ax.set_yticks([])
    ax.set_xticks(range(max(len(path) for _, path in paths) + 1))
    ax.set_xlabel("tokens of the answer")
    ax.set_ylabel("answers")
    return ax


def _log_ratio(step: TokenTilt) -> float:
    after = sum(step.policy) / 2.0
    if step.reference <= 0.0 or after <= 0.0:
        return -10.0
    return max(-10.0, min(10.0, math.log(after / step.reference)))


def _written(text: str) -> str:
    """A token as it is drawn: white space visible, characters that the font may lack as codes."""
    known = {"\n": "↵", " ": "␣"}
    shown = "".join(
        known.get(x) or (x if x.isprintable() and x < SURE else x.encode("unicode_escape").decode())
        for x in text
    )
    shown = shown if len(shown) <= SHOWN else shown[: SHOWN - 1] + "…"
    return shown.replace("$", r"\$") or "(end)"


def figures_of_words(chain: WordChain, study: WordStudy) -> Iterator[Drawing]:
    """Mass against valence, the leak, and the tilts."""
    if study.balance is not None:
        yield figure(
            "words",
            "Each word: its reward and its stationary mass.",
            plot.landscape,
            study.balance,
            chain.reward,
            level=study.level,
            value_label="reward",
        )
    yield figure("leak", "The mass that each word leaves to other words.", _leak, study.leak)
    found = [tilt for tilt in study.temperatures if tilt.mean_reward is not None]
    if len(found) > 1:
        strengths = [1.0 / tilt.beta for tilt in found]
        curves: list[tuple[str, list[Any], str]] = [
            ("mean reward", [tilt.mean_reward for tilt in found], "What the tilt gains."),
            ("KL a word (nats)", [tilt.reference_kl for tilt in found], "What it costs."),
            (
                "flux violation",
                [tilt.flux_violation for tilt in found],
                "The distance from detailed balance.",
            ),
            (
                "steps to a superior word",
                [None if x.hitting is None else x.hitting.mean_from_pi for x in found],
                "The mean time from the stationary law to a superior word.",
            ),
        ]
        for label, values, caption in curves:
            if all(value is not None for value in values):
                yield figure("tilts", caption, _line, strengths, values, label=label)
    gaps = [(tilt.beta, tilt.gap) for tilt in found if tilt.gap is not None and tilt.gap.gap > 0.0]
    if len(gaps) > 1:
        yield arrhenius("tilts", [beta for beta, _ in gaps], [gap for _, gap in gaps])


def _leak(leak: Any, *, ax: Axes) -> Axes:
    ax.hist(leak, bins=np.linspace(0.0, 1.0, 26).tolist(), color=BAND)
    ax.set_xlabel("mass off the vocabulary")
    ax.set_ylabel("words")
    return ax


def _line(x: Sequence[float], y: Sequence[float], *, label: str, ax: Axes) -> Axes:
    ax.plot(x, y, marker="o", ms=3, color=BAND)
    ax.set_xlabel("1/beta (per unit of reward)")
    ax.set_ylabel(label)
    return ax
