"""What tuning at several KL coefficients makes of the answers of a language model."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from .._runtime.results import Result, result
from ..errors import InvalidChainError
from ..llm.answer import Answer
from ..llm.answer_tree import AnswerTree
from ..llm.masses import Interval
from ..llm.tree_policy import NextTokens, TokenTilt, TreePolicy, TunedAnswer
from ..llm.verifiers import Verifier, answer_is, number_is

# Of each policy: the prefixes that are compared, those that are listed, and the tokens of each.
N_REACHED, N_PREFIXES, N_TOKENS = 24, 6, 6


@result
class AnswerTilt(Result):
    """The optimal policy at one KL coefficient.

    Attributes
    ----------
    beta : float
    success : (lower, upper)
        Probability of a correct answer.
    value : (lower, upper)
        success - beta path_kl at the optimum.
    path_kl : (lower, upper)
        KL of the law of the answers from that of the model, in nats.
    entropy : (lower, upper)
        Of the answers, in nats.
    kl_by_length : list of (lower, upper)
        KL of the law of the first 0, 1, 2, ... tokens: where along the text the tilt acts.
    answers : list of TunedAnswer
    prefixes : list of dict
        The prefixes whose next token contributes most to path_kl, by the middle of the interval of
        policy_reach * kl, among those that the policy reaches most often: `text`, `reach`,
        `policy_reach`, `kl` and some `tokens` with their probabilities before and after.
    along : list of TokenTilt
        The tokens of the heaviest correct answer, or of the heaviest answer if none is correct.
    """

    beta: float
    success: Interval
    value: Interval
    path_kl: Interval
    entropy: Interval
    kl_by_length: list[Interval]
    answers: list[TunedAnswer]
    prefixes: list[dict[str, Any]]
    along: list[TokenTilt]


@result
class AnswerStudy(Result):
    """The answers to a prompt, and what tuning makes of them.

    Attributes
    ----------
    tree : AnswerTree
    answers : list of Answer
        The decided answers of largest mass.
    entropy : (lower, upper)
        Of the answers of the model, in nats.
    policies : list of AnswerTilt
    width : float or None
        The wanted width of the accuracy.
    converged : bool
        The accuracy is known to that width, or none was wanted.
    """

    tree: AnswerTree
    answers: list[Answer]
    entropy: Interval
    policies: list[AnswerTilt]
    width: float | None
    converged: bool


def verifier_of(correct: Sequence[str], which: Any = "first") -> Verifier:
    """Right if the answer is one of the `correct` ones: numbers are compared as numbers
    (`number_is`), other texts as words (`answer_is`)."""
    checks = [_verifier(text, which) for text in correct]
    return checks[0] if len(checks) == 1 else _any_of(checks)


def _verifier(text: str, which: Any) -> Verifier:
    try:
        return number_is(text, which=which)
    except InvalidChainError:  # no number
        return answer_is(text)


def _any_of(checks: Sequence[Callable[[str, bool], Any]]) -> Verifier:
    def verify(text: str, ended: bool) -> bool | None:
        verdicts = [check(text, ended) for check in checks]
        if True in verdicts:
            return True
        return None if None in verdicts else False

    return verify


def study_answers(
    tree: AnswerTree, betas: Sequence[float], *, n_answers: int = 10, width: float | None = None
) -> AnswerStudy:
    """The study of a tree: the policies at `betas`, and the answers of largest mass."""
    found = tree.top(n_answers)
    right = [answer for answer in found if answer.score == 1.0] or found
    policies = [tilt_of(tree.policy(beta), found, right[:1]) for beta in betas]
    return AnswerStudy(
        tree=tree,
        answers=found,
        entropy=tree.policy(math.inf).entropy,
        policies=policies,
        width=width,
        converged=width is None or tree.frontier <= width,
    )


def tilt_of(tuned: TreePolicy, found: Sequence[Answer], right: Sequence[Answer]) -> AnswerTilt:
    """The numbers of one policy."""
    prefixes = sorted(tuned.prefixes(N_REACHED), key=lambda law: -_contribution(law))
    return AnswerTilt(
        beta=tuned.beta,
        success=tuned.success,
        value=tuned.value,
        path_kl=tuned.path_kl,
        entropy=tuned.entropy,
        kl_by_length=[(float(low), float(high)) for low, high in tuned.kl_by_length],
        answers=tuned.top(found),
        prefixes=[_listed(law) for law in prefixes[:N_PREFIXES]],
        along=[step for answer in right for step in tuned.along(answer)],
    )


def _contribution(law: NextTokens) -> float:
    return sum(reach * kl for reach, kl in zip(law.policy_reach, law.kl, strict=True)) / 2.0


def _listed(law: NextTokens) -> dict[str, Any]:
    """A prefix with the tokens that are most probable before or after tuning."""
    size = [max(pair) for pair in zip(law.reference.tolist(), law.upper.tolist(), strict=True)]
    order = sorted(range(len(size)), key=lambda i: -size[i])[:N_TOKENS]
    return {
        "text": law.text,
        "reach": law.reach,
        "policy_reach": law.policy_reach,
        "kl": law.kl,
        "tokens": [
            {
                "text": law.texts[i],
                "reference": float(law.reference[i]),
                "policy": (float(law.lower[i]), float(law.upper[i])),
            }
            for i in order
        ],
    }
