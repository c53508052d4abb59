"""What the log of a training run says: fits, verdicts, what the KL bought, where the entropy went,
and how the prompts changed."""

from typing import Any

import numpy as np

from .._runtime.results import Result, result
from .._runtime.types import FloatArray
from ..errors import InvalidChainError
from ..rlvr.attempts import MeanPassAtK, mean_pass_at_k
from ..rlvr.curve_results import CurveFit
from ..rlvr.kl import kl_spent
from ..rlvr.log_fields import UNSTATED
from ..rlvr.prompt_fit import PromptFit, fit_prompts
from ..rlvr.read_log import TrainingLog
from ..rlvr.training_curve import fit_curve

# Share of its start below which an entropy counts as collapsed, if it stays there.
COLLAPSED = 0.2
# Beginning and end of a run: this share of its steps.
END = 0.2


@result
class KLBudget(Result):
    """The KL that a run spent, and what of it bought accuracy.

    No policy of mean accuracy p spends less than kl(p, p0) on average over the prompts, by
    convexity; the rest changed answers without changing their verdict, or prompts apart from each
    other.

    Attributes
    ----------
    spent : float
        Mean logged KL over the last fifth of the steps, in nats per answer.
    needed : float
        kl(p, p0) of the fitted accuracies there.
    share : float
        needed / spent at the end; above 1 is impossible in nats per answer.
    share_fit, share_fit_se : float
        1 / kl_scale of the fit, over the whole run, with its standard error.
    is_possible : bool
        False if `share_fit` exceeds 1 by more than two standard errors: the unit or the estimator
        of the log is not the KL in nats per answer.
    unit_is_stated : bool
        Whether the log or the caller says that the KL is in nats per answer.
    """

    spent: float
    needed: float
    share: float
    share_fit: float
    share_fit_se: float
    is_possible: bool
    unit_is_stated: bool


@result
class EntropyCourse(Result):
    """The course of the logged entropy.

    Attributes
    ----------
    start, end : float
        Means over the first and last fifth of the steps, as logged.
    ratio : float
        end / start.
    half_step, collapse_step : float or None
        First step from which on the running median stays below 1/2, and below 1/5, of the start.
    unit : str
    """

    start: float
    end: float
    ratio: float
    half_step: float | None
    collapse_step: float | None
    unit: str


@result
class LogReport(Result):
    """The report of `fastebm rlvr`.

    Attributes
    ----------
    log : TrainingLog
    fit : CurveFit or None
        With the law of the smaller AIC, if both were fitted.
    kl : KLBudget or None
    entropy : EntropyCourse or None
    prompts : dict of str to PromptFit
        At the "beginning" and "end", where the log has the shares of equal groups and their size.
    pass_at_k : dict of str to list of MeanPassAtK
        Likewise, from files of answers.
    verdicts : list of str
    errors : list of dict
        Parts that gave no answer.
    converged : bool
    """

    log: TrainingLog
    fit: CurveFit | None
    kl: KLBudget | None
    entropy: EntropyCourse | None
    prompts: dict[str, PromptFit]
    pass_at_k: dict[str, list[MeanPassAtK]]
    verdicts: list[str]
    errors: list[dict[str, str]]
    converged: bool


def study_log(log: TrainingLog, law: Any = "auto") -> LogReport:
    """Every part of the report that the log allows."""
    errors: list[dict[str, str]] = []
    fit = prompts = None
    try:
        fit = fit_curve(log, law=law)
    except InvalidChainError as error:
        errors.append({"part": "fit", "error": type(error).__name__, "text": str(error)})
    kl = None if fit is None else _kl_budget(log, fit)
    entropy = _entropy_course(log)
    try:
        prompts = _prompts(log)
    except InvalidChainError as error:
        errors.append({"part": "prompts", "error": type(error).__name__, "text": str(error)})
    verdicts = [] if fit is None else [*_accuracy_verdicts(fit), *_entropy_verdicts(log, fit)]
    verdicts += _kl_verdicts(log, kl) + _course_verdicts(entropy)
    return LogReport(
        log=log,
        fit=fit,
        kl=kl,
        entropy=entropy,
        prompts=prompts or {},
        pass_at_k=_pass_at_k(log),
        verdicts=verdicts,
        errors=errors,
        converged=not errors and (fit is None or fit.converged),
    )


def _ends(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The numbers in the first and in the last fifth."""
    n = max(1, round(END * values.size))
    first, last = values[:n], values[-n:]
    return first[~np.isnan(first)], last[~np.isnan(last)]


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else np.nan


def _kl_budget(log: TrainingLog, fit: CurveFit) -> KLBudget | None:
    if log.kl is None or fit.kl_scale is None or fit.kl_scale_se is None or fit.kl_scale <= 0:
        return None
    at = ~np.isnan(log.accuracy)
    spent, needed = log.kl[at], np.asarray(kl_spent(fit.accuracy, fit.p0))
    both = ~np.isnan(spent)
    last = np.flatnonzero(both)[-max(1, round(END * both.sum())) :]
    mean_spent, mean_needed = float(spent[last].mean()), float(needed[last].mean())
    share, se = 1 / fit.kl_scale, fit.kl_scale_se / fit.kl_scale**2
    return KLBudget(
        spent=mean_spent,
        needed=mean_needed,
        share=mean_needed / mean_spent if mean_spent > 0 else np.inf,
        share_fit=share,
        share_fit_se=se,
        is_possible=fit.kl_scale + 2 * fit.kl_scale_se >= 1,
        unit_is_stated=log.units["kl"] != UNSTATED,
    )


def _entropy_course(log: TrainingLog) -> EntropyCourse | None:
    curve = log.entropy_logged
    if curve is None:
        return None
    known = ~np.isnan(curve)
    step, values = log.step[known], curve[known]
    if values.size < 5:
        return None
    first, last = _ends(values)
    start, end = _mean(first), _mean(last)
    half = max(2, values.size // 40)
    padded = np.pad(values, half, mode="edge")
    median = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)

    def stays_below(level: float) -> float | None:
        above = np.flatnonzero(median >= level)
        begin = above[-1] + 1 if above.size else 0
        return float(step[begin]) if begin < step.size else None

    return EntropyCourse(
        start=start,
        end=end,
        ratio=end / start if start > 0 else np.nan,
        half_step=stays_below(0.5 * start),
        collapse_step=stays_below(COLLAPSED * start),
        unit=log.units["entropy_logged"],
    )


def _prompts(log: TrainingLog) -> dict[str, PromptFit]:
    right, wrong, size = log.frac_all_correct, log.frac_all_wrong, log.group_size
    if right is None or wrong is None or size is None:
        return {}
    parts = {}
    for name, where in zip(("beginning", "end"), (0, 1), strict=True):
        together = ~np.isnan(right + wrong + log.accuracy)
        means = [_mean(_ends(v[together])[where]) for v in (log.accuracy, right, wrong)]
        if 0 < means[0] < 1:
            parts[name] = fit_prompts(means[0], means[1], means[2], size)
    return parts


def _pass_at_k(log: TrainingLog) -> dict[str, list[MeanPassAtK]]:
    if log.prompt_step is None or log.prompt_answers is None or log.prompt_correct is None:
        return {}
    steps = np.unique(log.prompt_step)
    n = max(1, round(END * steps.size))
    found = {}
    for name, chosen in {"beginning": steps[:n], "end": steps[-n:]}.items():
        at = np.isin(log.prompt_step, chosen)
        answers, correct = log.prompt_answers[at], log.prompt_correct[at]
        powers = 2 ** np.arange(int(np.log2(answers.min())) + 1)
        found[name] = [mean_pass_at_k(answers, correct, int(k)) for k in powers]
    return found


def _accuracy_verdicts(fit: CurveFit) -> list[str]:
    law, name = fit.accuracy_law, "GRPO" if fit.law == "grpo" else "the natural gradient flow"
    lines = [
        f"Accuracy: the law of {name} "
        + (
            f"fits: no deviation is seen beyond the noise of a step, {law.noise_sd:.3g}."
            if law.p_value >= 0.05
            else f"deviates over many steps (p = {law.p_value:.2g}) by {law.misfit:.2g} beyond the "
            f"noise of a step, {law.noise_sd:.3g}; or the noise has memory."
        )
    ]
    if not fit.converged:
        lines.append("The accuracies do not determine p0, speed and beta: log more of the run.")
    elif abs(fit.beta) < 2 * fit.beta_se:
        lines.append(
            f"No saturation is seen: beta = {fit.beta:.2g} ± {fit.beta_se:.2g} is not told from 0."
        )
    elif fit.beta < 0:
        lines.append(
            f"The run accelerates: beta = {fit.beta:.2g} ± {fit.beta_se:.2g}, which no such flow "
            "does."
        )
    else:
        lines.append(
            f"The run saturates: beta = {fit.beta:.2g} ± {fit.beta_se:.2g}, from accuracy "
            f"{fit.p0:.3g} ± {fit.p0_se:.2g} towards {fit.target:.3g}."
        )
    if fit.comparison is not None:
        c = fit.comparison
        better = "GRPO" if c.aic_difference > 0 else "the natural flow"
        lines.append(
            f"Which law: {better} has the smaller AIC, by {abs(c.aic_difference):.3g} "
            f"(Vuong's test: p = {c.p_value:.2g})"
            + ("." if c.favoured else ": the log does not decide between the laws.")
        )
    return lines


def _entropy_verdicts(log: TrainingLog, fit: CurveFit) -> list[str]:
    if fit.h_correct is None or fit.h_wrong is None or fit.h_difference is None:
        return []
    if min(fit.h_correct, fit.h_wrong) < 0:
        return [
            "Entropy: the fit in nats per answer gives a negative entropy of answers "
            f"({min(fit.h_correct, fit.h_wrong):.2g}), so the log is in another unit, or the law "
            "of the entropy fails."
        ]
    fitted = fit.entropy
    side = "falls" if fitted is not None and fitted[-1] < fitted[0] else "rises"
    return [
        f"Entropy: H_correct - H_wrong = {fit.h_difference:.3g} ± {fit.h_difference_se:.2g} nats; "
        f"the law has its peak at accuracy {fit.peak_accuracy:.3g}, and {side} along the run."
    ]


def _kl_verdicts(log: TrainingLog, kl: KLBudget | None) -> list[str]:
    if kl is None:
        return []
    if not kl.is_possible:
        return [
            f"KL: the log has less than kl(p, p0), which no policy does (share {kl.share_fit:.3g} "
            f"± {kl.share_fit_se:.2g} > 1): it is not the KL from the reference in nats per answer."
        ]
    condition = "" if kl.unit_is_stated else " if the KL is in nats per answer, which is not stated"
    return [
        f"KL: {kl.spent:.3g} nats per answer at the end, {kl.needed:.3g} needed for the accuracy. "
        f"{100 * kl.share_fit:.3g} ± {100 * kl.share_fit_se:.2g} % of the KL bought accuracy"
        f"{condition}."
    ]


def _course_verdicts(course: EntropyCourse | None) -> list[str]:
    if course is None:
        return []
    unit = "" if course.unit == UNSTATED else f" {course.unit}"
    if course.collapse_step is not None:
        return [
            f"The entropy collapses: from step {course.collapse_step:g} on it is below "
            f"{100 * COLLAPSED:g} % of its start ({course.start:.3g} to "
            f"{course.end:.3g}{unit})."
        ]
    return [
        f"The entropy does not collapse: it ends at {100 * course.ratio:.3g} % of its start"
        + (f", below half from step {course.half_step:g} on." if course.half_step else ".")
    ]
