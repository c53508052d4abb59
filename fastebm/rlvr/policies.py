"""Exact policies over finitely many answers: the gradient flows behind the closed forms,
integrated numerically."""

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.integrate import solve_ivp
from scipy.special import entr, log_softmax

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.labelled import paired
from .._runtime.memory import forecast_memory
from .._runtime.results import Result, result
from .._runtime.resumable import State, resumable
from .._runtime.types import BoolArray, Callback, FloatArray, Path
from ..errors import InvalidChainError
from .elementwise import times
from .laws import flow

FLOWS = ("natural", "vanilla")


@result
class PolicyFlow(Result):
    """A softmax policy over finitely many answers along a gradient flow of J.

    Attributes
    ----------
    t : ndarray (n_times,)
    log_policy : ndarray (n_times, n_answers)
        Log probabilities of the answers.
    accuracy, kl, entropy, objective : ndarray (n_times,)
        E r; KL(pi || pi_ref) and H(pi) in nats; J in units of the reward.
    excess_kl : ndarray (n_times,)
        KL(pi || pi_ref) minus the least KL of a policy of that accuracy: 0, up to rounding, exactly
        on the family pi_ref exp(l r).
    accuracy_error : float
        Largest |accuracy - closed form of the natural flow|: the error of the integration
        ("natural"), or the distance of the vanilla flow from the natural one.
    kind : "natural" | "vanilla"
    n_evaluations : int
        Number of gradients computed.
    """

    t: FloatArray
    log_policy: FloatArray
    accuracy: FloatArray
    kl: FloatArray
    entropy: FloatArray
    objective: FloatArray
    excess_kl: FloatArray
    accuracy_error: float
    kind: str
    n_evaluations: int


def law_of_answers(reference: npt.ArrayLike) -> FloatArray:
    """A law over at least one answer."""
    law = np.atleast_1d(validate.real_array(reference, "reference"))
    if law.ndim != 1 or law.size == 0:
        raise InvalidChainError(
            f"reference must be a law over at least one answer, shape (n_answers,), got {law.shape}"
        )
    checked: FloatArray = validate.distribution(law, law.size, "reference")
    return checked


def reference_law(reference: npt.ArrayLike) -> FloatArray:
    """A law over the answers with positive probabilities: zeros would stay zero under every policy
    gradient."""
    checked = law_of_answers(reference)
    if not checked.all():
        at = int(np.argmin(checked))
        raise InvalidChainError(
            f"reference[{at}] is 0: no tuning gives that answer a probability; leave it out"
        )
    return checked


def _law_and_correct(
    reference: npt.ArrayLike, correct: npt.ArrayLike
) -> tuple[FloatArray, BoolArray]:
    """(the law of the answers, the correct ones as a mask)."""
    if np.asarray(correct).dtype == bool:
        reference, correct = paired(reference=reference, correct=correct)
    law = reference_law(reference)
    return law, _correct(correct, law.size)


def _correct(correct: npt.ArrayLike, n_answers: int) -> BoolArray:
    """The correct answers as a mask (n_answers,); possibly none."""
    correct = np.asarray(correct)
    if correct.dtype != bool:
        if correct.size == 0:
            return np.zeros(n_answers, dtype=bool)
        correct = validate.state_array(correct, n_answers, "correct")
        return np.isin(np.arange(n_answers), correct)
    if correct.shape != (n_answers,):
        raise InvalidChainError(
            f"correct as a mask must have shape ({n_answers},), got {correct.shape}"
        )
    return correct


def conditional_entropies(reference: npt.ArrayLike, correct: npt.ArrayLike) -> tuple[float, float]:
    """(H_correct, H_wrong): entropies of the reference policy given a correct and given a wrong
    answer, in nats.

    Parameters
    ----------
    reference : array_like (n_answers,)
        Probabilities of the reference policy, positive.
    correct : bool array (n_answers,) or indices

    Returns
    -------
    h_correct, h_wrong : float
        NaN if there is no such answer; `entropy` ignores it then.

    Raises
    ------
    InvalidChainError
        The reference is not a law over the answers, or has a zero.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> h_correct, h_wrong = rlvr.conditional_entropies([0.2, 0.2, 0.6], [0, 1])
    >>> round(h_correct, 4), abs(h_wrong)
    (0.6931, 0.0)
    """
    reference, correct = _law_and_correct(reference, correct)
    parts = (reference[correct], reference[~correct])
    h_correct, h_wrong = (
        float(entr(part / part.sum()).sum()) if part.size else np.nan for part in parts
    )
    return h_correct, h_wrong


def _kl_of_correctness(policy: FloatArray, reference: FloatArray, correct: BoolArray) -> FloatArray:
    """kl(accuracy, p0) of each row, from the masses of both kinds of answers: one minus a sum that
    rounds to one would lose what is wrong, and a set without answers has none."""
    found = np.zeros(len(policy))
    for part in (correct, ~correct):
        if part.any():
            mass = policy[:, part].sum(axis=1)
            with np.errstate(divide="ignore"):  # a mass that underflowed adds nothing
                found += times(mass, np.log(mass) - math.log(reference[part].sum()))
    return found


def policy_flow(
    reference: npt.ArrayLike,
    correct: npt.ArrayLike,
    beta: float,
    t: npt.ArrayLike,
    *,
    kind: Literal["natural", "vanilla"] = "natural",
    rtol: float = 1e-9,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> PolicyFlow:
    """Integrate a gradient flow of ``J = E r - beta KL(pi || pi_ref)`` over the logits of a softmax
    policy.

    Parameters
    ----------
    reference : array_like (n_answers,)
        Probabilities of the reference policy, positive; the start of the flow.
    correct : bool array (n_answers,) or indices
        The answers of reward 1.
    beta : float
        KL coefficient, finite, >= 0.
    t : array_like (n_times,)
        Increasing times, >= 0.
    kind : "natural" | "vanilla"
        The natural gradient (Fisher metric; Kakade 2001), which stays in the family pi_ref exp(l r)
        and follows `flow`; or the plain gradient, ``d theta_a / dt = pi_a (g_a - E g)`` with
        ``g = r - beta log(pi / pi_ref)``. The plain gradient favours answers that are already
        likely, leaves the family and slows down where pi is nearly deterministic.
    rtol : float
        Relative tolerance of the integrator (LSODA), above 2.3e-14.
    progress, callback
        A bar on stderr; callback(info) after every time of t.
    checkpoint : path, optional
        A file for the times done so far, from which a later call resumes with the same bits.

    Returns
    -------
    PolicyFlow

    Raises
    ------
    InvalidChainError
        The reference is not a law or has a zero, times are negative or fall, beta is negative or
        infinite, or the kind is unknown.
    Interrupted
        Ctrl-C; `partial` is the flow up to the last time reached.

    Notes
    -----
    The Fisher matrix is F = diag(pi) - pi pi^T and the gradient of J is F g, so the natural
    gradient F^+ F g is g minus a constant, which a softmax ignores. Nothing else of the closed
    forms enters the integration: their agreement is a check of both.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> arguments = [0.05, 0.15, 0.8], [0, 1], 0.5, [0.0, 1.0, 20.0]
    >>> natural = rlvr.policy_flow(*arguments)
    >>> natural.accuracy.round(4), natural.accuracy_error < 1e-7
    (array([0.2   , 0.3545, 0.6488]), True)
    >>> vanilla = rlvr.policy_flow(*arguments, kind="vanilla")
    >>> vanilla.accuracy.round(4), bool(vanilla.excess_kl.max() > 1e-3)
    (array([0.2   , 0.2453, 0.6286]), True)
    """
    reference, correct = _law_and_correct(reference, correct)
    beta = validate.number(beta, "beta", above=0.0, below=np.finfo(float).max, closed=True)
    kind = validate.choice(kind, "kind", FLOWS)
    # LSODA accepts no smaller tolerance.
    rtol = validate.number(rtol, "rtol", above=100 * np.finfo(float).eps, below=1.0)
    t = np.atleast_1d(validate.real_array(t, "t")).astype(float)
    t = validate.vector(t, t.size, "t")
    if t.size == 0 or t[0] < 0 or (np.diff(t) < 0).any():
        raise InvalidChainError("t must be at least one time, all >= 0 and in increasing order")
    n = reference.size
    # LSODA allocates its Jacobian before it knows whether it needs it
    forecast_memory(
        8 * n * (n + 9) + 40 * t.size * n,
        f"the flow of {n:,} answers at {t.size:,} times",
        "pass fewer answers",
    )
    reward, log_reference = correct.astype(float), np.log(reference)
    family = flow(reference[correct].sum(), beta, t)
    states: list[FloatArray] = []
    n_evaluations = 0

    def velocity(_: float, logits: FloatArray) -> FloatArray:
        log_policy = log_softmax(logits)
        gain = reward - beta * (log_policy - log_reference)
        policy = np.exp(log_policy)
        gain -= policy @ gain
        return gain if kind == "natural" else policy * gain

    def so_far() -> PolicyFlow | None:
        if not states:
            return None
        log_policy = log_softmax(np.array(states), axis=1)
        policy = np.exp(log_policy)
        accuracy = np.clip(policy[:, correct].sum(axis=1), 0.0, 1.0)
        kl = times(policy, log_policy - log_reference).sum(axis=1)
        return PolicyFlow(
            t[: len(states)],
            log_policy,
            accuracy,
            kl,
            -times(policy, log_policy).sum(axis=1),
            accuracy - beta * kl,
            kl - _kl_of_correctness(policy, reference, correct),
            float(np.abs(accuracy - family[: len(states)]).max()),
            kind,
            n_evaluations,
        )

    reached: tuple[list[FloatArray], int] = ([], 0)  # replaced as a whole

    def state() -> State:
        done, n = reached
        return {"states": np.array(done).reshape(len(done), len(reference)), "n": np.array(n)}

    def restore(saved: State) -> None:
        nonlocal reached, states, n_evaluations
        reached = list(saved["states"]), int(saved["n"])
        states, n_evaluations = reached

    with resumable(
        "policy_flow",
        checkpoint,
        lambda: fingerprint(reference, correct, beta, t, kind, rtol),
        state=state,
        restore=restore,
        partial=so_far,
        total=t.size,
        progress=progress,
        callback=callback,
    ) as monitor:
        logits, now = (states[-1], float(t[len(states) - 1])) if states else (log_reference, 0.0)
        for time in t[len(states) :]:
            if time > now:
                step = solve_ivp(
                    velocity, (now, time), logits, method="LSODA", rtol=rtol, atol=1e-3 * rtol
                )
                if not step.success:
                    raise ArithmeticError(
                        f"the integrator stopped between t = {now} and {time}: {step.message}"
                    )
                logits, now, n_evaluations = step.y[:, -1], time, n_evaluations + step.nfev
            states = [*states, logits]
            reached = states, n_evaluations
            monitor.save()
            monitor(len(states))
    found = so_far()
    assert found is not None  # t is not empty
    return found
