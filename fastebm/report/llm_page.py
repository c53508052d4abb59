"""The pages of `fastebm llm`: answers, words, and the demo with both."""

from collections.abc import Mapping, Sequence
from typing import Any

from .._version import __version__
from ..chains.words import WordChain
from .facts import between, versions
from .files import plain, write_json
from .html import Section, render, section
from .llm_answers import AnswerStudy, AnswerTilt
from .llm_figures import figures_of_answers, figures_of_words
from .llm_words import WordStudy
from .tables import rows, tables


def page_of_answers(study: AnswerStudy, parameters: Mapping[str, Any], wall_s: float) -> str:
    """The HTML text for one prompt."""
    return _page(
        f"{study.tree.model}: answers to a prompt",
        sections_of_answers(study),
        study.converged,
        parameters,
        study,
        wall_s,
    )


def page_of_words(
    chain: WordChain, study: WordStudy, parameters: Mapping[str, Any], wall_s: float
) -> str:
    """The HTML text for a kernel of words."""
    return _page(
        f"{chain.model}: {chain.n_states} words as a Markov chain",
        sections_of_words(chain, study),
        study.converged,
        parameters,
        study,
        wall_s,
    )


def page_of_demo(demo: Any, report: dict[str, Any]) -> str:
    """The HTML text of a finished run and of its report."""
    sums, words = demo.study_of_sums, demo.study_of_words
    sections = [
        section(
            "How likely is each sum right?",
            facts=[{"name": "after three solved examples", "rows": _sums(report["sums"])}],
        )
    ]
    sections += [] if sums is None else sections_of_answers(sums)
    sections += [] if words is None else sections_of_words(demo.chain, words)
    parameters = {"model": demo.model.name, "seed": demo.seed}
    return _page(
        f"{demo.model.name}: sums and words, before and after tuning",
        sections,
        demo.converged,
        parameters,
        report,
        report["wall_s"],
    )


def _sums(sums: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [
        {
            "name": each["sum"],
            "value": between(each["accuracy"], 5),
            "meaning": f"after {each['n_passes']} evaluations of the model",
        }
        for each in sums
    ]


def _page(
    title: str,
    sections: Sequence[Section],
    converged: bool,
    parameters: Mapping[str, Any],
    found: Any,
    wall_s: float,
) -> str:
    return render(
        title=title,
        by=f"Analysed by fastebm {__version__} in {wall_s:.3g} s.",
        notices={"Not converged:": "" if converged else "some parts; see the JSON."},
        sections=sections,
        parameters=dict(parameters),
        versions=versions(),
        timings={},
        json=write_json(plain(found)),
    )


def sections_of_answers(study: AnswerStudy) -> list[Section]:
    """The sections of one prompt."""
    tree, drawn = study.tree, list(figures_of_answers(study))
    frontier = {
        "all of it": tree.frontier,
        "texts of the greatest length": tree.too_long,
        "ended texts that were not decided": tree.undecided,
        "tokens cut off by top_p and top_k": tree.cut,
    }
    tuned = [
        {
            "name": f"beta {found.beta:g}",
            "value": f"success {between(found.success)}; KL {between(found.path_kl)}; entropy "
            f"{between(found.entropy)}; value {between(found.value)}",
            "meaning": "",
        }
        for found in study.policies
    ]
    return [
        section(
            "How often is the model right?",
            [f"The answer is right with probability {between(tree.accuracy, 6)}."],
            facts=[
                {"name": "the answers of largest mass", "rows": _answers(study)},
                {"name": "mass that is not decided", "rows": rows(frontier)},
            ],
            tables=tables("tree", tree),
            drawn=[item for item in drawn if item["field"] == "tree"],
        ),
        section(
            "What would tuning make of it?",
            [
                "The policy that maximises success - beta KL, exactly, whatever the answers on the "
                f"frontier are. The model itself has entropy {between(study.entropy)} nats."
            ],
            facts=[{"name": "policies", "rows": tuned}],
            drawn=[item for item in drawn if item["field"] == "curves"],
        ),
        section(
            "Where along the text does the tilt act?",
            facts=[
                {
                    "name": f"beta {found.beta:g}: prefixes whose next token is tilted",
                    "rows": _prefixes(found),
                }
                for found in study.policies
            ],
        ),
    ]


def _answers(study: AnswerStudy) -> list[dict[str, str]]:
    return [
        {
            "name": repr(answer.text),
            "value": f"{answer.mass:.6f}",
            "meaning": "right"
            if answer.score == 1.0
            else "wrong"
            if answer.score == 0.0
            else f"score {answer.score:g}",
        }
        for answer in study.answers
    ]


def _prefixes(found: AnswerTilt) -> list[dict[str, str]]:
    return [
        {
            "name": repr(law["text"]),
            "value": f"reached with probability {between(law['policy_reach'])}, KL "
            f"{between(law['kl'])} nats",
            "meaning": ", ".join(
                f"{token['text']!r} {token['reference']:.3g} → {between(token['policy'], 3)}"
                for token in law["tokens"][:4]
            ),
        }
        for law in found.prefixes
    ]


def sections_of_words(chain: WordChain, study: WordStudy) -> list[Section]:
    """The sections of a kernel of words."""
    drawn, balance = list(figures_of_words(chain, study)), study.balance
    lines = [
        f"{chain.n_states} words, {study.n_passes} passes of the model. Of each row, up to "
        f"{study.max_leak:.3f} lies off the vocabulary"
        + ("" if study.mean_leak is None else f" ({study.mean_leak:.3f} in the mean)")
        + ". All numbers below are those of the rows divided by the rest."
    ]
    if balance is not None:
        lines.append(
            f"Flux violation {balance.flux_violation:.6f}, entropy production "
            f"{balance.entropy_production:.6f} nats a word."
        )
    heaviest = rows({str(x["label"]): f"{x['pi']:.5f}" for x in study.words})
    return [
        section(
            "Which word comes next, and is it in detailed balance?",
            lines,
            reasons=[error for error in study.errors if not error["text"].startswith("at beta")],
            facts=[{"name": "most frequent words", "rows": heaviest}],
            tables=[] if balance is None else tables("balance", balance),
            drawn=[item for item in drawn if item["field"] in ("words", "leak")],
        ),
        section(
            "What does a tilt by the reward change?",
            reasons=[error for error in study.errors if error["text"].startswith("at beta")],
            facts=[
                {
                    "name": f"beta {tilt.beta:g}",
                    "rows": rows(
                        {
                            "mean reward": tilt.mean_reward,
                            "KL a word": tilt.reference_kl,
                            "flux violation": tilt.flux_violation,
                            "steps to a superior word": None
                            if tilt.hitting is None
                            else tilt.hitting.mean_from_pi,
                            "words": ", ".join(str(x["label"]) for x in tilt.words),
                        }
                    ),
                }
                for tilt in study.temperatures
            ],
            drawn=[item for item in drawn if item["field"] == "tilts"],
            tables=[
                table
                for tilt in study.temperatures
                for name, part in (("gap", tilt.gap), ("hitting", tilt.hitting))
                if part is not None
                for table in tables(f"{name} at beta {tilt.beta:g}", part)
            ],
        ),
    ]
