"""The optimal policy for a verifiable reward at the end of a path: closed forms of one committor
(docs/theory.md, section 7)."""

import dataclasses
import math
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np

from .._runtime import validate
from .._runtime.results import Result, public_fields, result
from .._runtime.threads import resolve_threads
from .._runtime.types import BoolArray, Callback, FloatArray, Path, States
from ..chains.chain import MarkovChain, require_chain
from ..errors import InvalidChainError
from ..hitting.first_hit_results import HitProbabilityResult
from ..hitting.probabilities import hitting_probabilities
from ..linalg.rounding import UNIT
from ..rlvr.kl import kl_peak, kl_spent
from .result import Problem, policy_chain

# Below this size of s (1 - u) and s u, differences from one keep the relative accuracy of log z.
SMALL = 0.25
# More than the rounding of numbers below the normal range.
TINY = 1e-322


@result
class VerifiablePolicy(Result):
    """The policy that maximises E[1 if the path ends in a correct state] - beta KL(path).

    Every quantity is one of the state in which the path starts. The path ends at the first correct
    or wrong state; one that never ends is wrong.

    Attributes
    ----------
    beta : float
    success, success_lower, success_upper : ndarray (n_states,)
        Probability of a correct end, with proven ends: u exp(1 / beta) / z.
    success_reference, success_reference_lower, success_reference_upper : ndarray (n_states,)
        u, the same of the reference.
    path_kl, path_kl_lower, path_kl_upper : ndarray (n_states,)
        KL of the law of the path from that of the reference, in nats: kl(success, u).
    value, value_lower, value_upper : ndarray (n_states,)
        beta log z, z = 1 - u + u exp(1 / beta): success minus beta path_kl.
    log_z : ndarray (n_states,)
    hit : HitProbabilityResult
        The committor that serves all beta.
    converged : bool
        The committor did.
    """

    beta: float
    success: FloatArray
    success_lower: FloatArray
    success_upper: FloatArray
    success_reference: FloatArray
    success_reference_lower: FloatArray
    success_reference_upper: FloatArray
    path_kl: FloatArray
    path_kl_lower: FloatArray
    path_kl_upper: FloatArray
    value: FloatArray
    value_lower: FloatArray
    value_upper: FloatArray
    log_z: FloatArray
    hit: HitProbabilityResult
    converged: bool
    _problem: Problem | None

    @property
    def mean_reward(self) -> FloatArray:
        """Expected reward, which is `success`."""
        return self.success

    @cached_property
    def chain(self) -> MarkovChain:
        """The policy ``q(x, y) z(y) / z(x)``. Rows of correct and wrong states are the reference's:
        where these are absorbing, it is scalings of the shared pattern; otherwise it stores new
        values."""
        return policy_chain(self._of_all_states(), self.log_z)

    def flow(self, t: float) -> MarkovChain:
        """The policy after time t of the natural gradient flow from the reference: the optimum with
        exp(1 / beta) replaced by exp(l), l = (1 - exp(-beta t)) / beta.

        Parameters
        ----------
        t : float
            >= 0; inf gives `chain`.

        Returns
        -------
        MarkovChain

        Examples
        --------
        >>> import fastebm as fe
        >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 4], symmetric=True)
        >>> best = fe.policy.verifiable(walk, [4], 0.5, wrong=[0])
        >>> best.flow(0.0).to_scipy().toarray()[2].round(3).tolist()
        [0.0, 0.5, 0.0, 0.5, 0.0]
        """
        if t == math.inf:
            strength = 1.0 / self.beta
        else:
            t = validate.number(t, "t", above=0.0, below=math.inf, closed=True)
            strength = t if self.beta == 0.0 else -math.expm1(-self.beta * t) / self.beta
            if self.beta == math.inf:
                strength = 0.0
        return policy_chain(self._of_all_states(), _Committor(self.hit).log_z(strength))

    def with_beta(self, beta: float) -> "VerifiablePolicy":
        """The optimum at another beta, by O(n_states) operations: the committor is the same.

        Parameters
        ----------
        beta : float
            > 0; inf gives the reference.

        Returns
        -------
        VerifiablePolicy

        Examples
        --------
        >>> import fastebm as fe
        >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 4], symmetric=True)
        >>> best = fe.policy.verifiable(walk, [4], 0.5, wrong=[0])
        >>> best.with_beta(0.1).success.round(4).tolist()
        [0.0, 0.9999, 1.0, 1.0, 1.0]
        """
        return _at(self.hit, checked_beta(beta), self._problem)

    def at(self, states: States) -> "VerifiablePolicy":
        """The same for some starts only: every array has one entry for each. A further beta costs
        no more than these.

        Parameters
        ----------
        states : state numbers, in any order

        Returns
        -------
        VerifiablePolicy
            It has no `chain` and no `flow`, which need every state.

        Examples
        --------
        >>> import fastebm as fe
        >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 4], symmetric=True)
        >>> prompt = fe.policy.verifiable(walk, [4], 0.5, wrong=[0]).at([1])
        >>> [round(float(p.success[0]), 4) for p in prompt.sweep([10.0, 1.0, 0.1])]
        [0.2692, 0.4754, 0.9999]
        """
        index = validate.state_array(states, len(self.log_z), "states")
        arrays: dict[str, Any] = {
            name: value[index]
            for name, value in public_fields(self.hit).items()
            if isinstance(value, np.ndarray)
        }
        return _at(dataclasses.replace(self.hit, **arrays), self.beta, None)

    def _of_all_states(self) -> Problem:
        if self._problem is None:
            raise InvalidChainError(
                "a policy at some states has no chain; take it from the policy before at(states)"
            )
        return self._problem

    def sweep(self, betas: Iterable[float]) -> "list[VerifiablePolicy]":
        """`with_beta` of each beta.

        Parameters
        ----------
        betas : sequence of float

        Returns
        -------
        list of VerifiablePolicy

        Examples
        --------
        >>> import fastebm as fe
        >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 4], symmetric=True)
        >>> best = fe.policy.verifiable(walk, [4], 0.5, wrong=[0])
        >>> [round(float(p.success[1]), 4) for p in best.sweep([10.0, 1.0, 0.1])]
        [0.2692, 0.4754, 0.9999]
        """
        return [self.with_beta(beta) for beta in betas]


def verifiable(
    reference: MarkovChain,
    correct: States,
    beta: float,
    *,
    wrong: States | None = None,
    tol: float = 1e-10,
    max_iter: int | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> VerifiablePolicy:
    """The optimal policy for a reward of 1 at the end of a path in a correct state, and its values.

    Parameters
    ----------
    reference : MarkovChain
        The pretrained kernel q.
    correct, wrong : bool mask (n_states,) or state numbers
        Disjoint. The path ends at the first of them; without `wrong`, in a correct state or never.
    beta : float
        The KL coefficient, > 0; inf gives the reference itself.
    tol, max_iter, num_threads, progress, callback, checkpoint
        As in `hitting_probabilities`.

    Returns
    -------
    VerifiablePolicy

    Raises
    ------
    InvalidChainError
        An empty set, a state in both, or beta not positive.
    Interrupted
        Ctrl-C. `partial` is the `HitProbabilityResult` so far.

    Examples
    --------
    >>> import fastebm as fe
    >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 3], [1, 2, 3, 4], symmetric=True)
    >>> best = fe.policy.verifiable(walk, [4], beta=0.5, wrong=[0])
    >>> best.success.round(4).tolist()
    [0.0, 0.7112, 0.8808, 0.9568, 1.0]
    >>> best.chain.to_scipy().toarray()[2].round(4).tolist()
    [0.0, 0.3096, 0.0, 0.6904, 0.0]
    """
    require_chain(reference, "reference")
    beta = checked_beta(beta)
    hit = hitting_probabilities(
        reference,
        correct,
        avoid=wrong,
        tol=tol,
        max_iter=max_iter,
        num_threads=num_threads,
        progress=progress,
        callback=callback,
        checkpoint=checkpoint,
    )
    n, labels = reference.n_states, reference.labels
    kept: BoolArray = validate.target_mask(correct, n, labels)
    if wrong is not None:
        kept = kept | validate.target_mask(wrong, n, labels)
    threads = resolve_threads(num_threads)
    # the reward is in the value of the state entered alone, in nats
    return _at(hit, beta, Problem(reference, np.zeros(n), 1.0, kept, {}, threads))


def checked_beta(beta: float) -> float:
    """A KL coefficient, possibly inf, with a finite inverse."""
    if isinstance(beta, (int, float, np.integer, np.floating)) and beta == np.inf:
        return math.inf
    beta = validate.number(beta, "beta", above=0.0)
    if 1.0 / beta == math.inf:
        raise InvalidChainError(f"1 / beta overflows at beta = {beta}; raise beta")
    return beta


class _Committor:
    """u as logs of itself and of its complement: the value, or one end of both enclosures."""

    def __init__(self, hit: HitProbabilityResult, end: str = "value") -> None:
        if end == "value":
            u, c = hit.probability, hit.complement
        elif end == "lower":  # the two enclosures, joined
            c = np.minimum(hit.complement_upper, 1.0 - hit.lower * (1.0 - UNIT) + 2.0 * UNIT)
            u = np.maximum(hit.lower, (1.0 - hit.complement_upper) - UNIT)
        else:
            u = np.minimum(hit.upper, 1.0 - hit.complement_lower * (1.0 - UNIT) + 2.0 * UNIT)
            c = np.maximum(hit.complement_lower, (1.0 - hit.upper) - UNIT)
        self.u, self.c = np.clip(u, 0.0, 1.0), np.clip(c, 0.0, 1.0)
        with np.errstate(divide="ignore"):
            self.log_u, self.log_c = np.log(self.u), np.log(self.c)

    def log_z(self, s: float) -> FloatArray:
        """log(1 - u + u exp(s))."""
        if s <= SMALL:
            return np.asarray(np.log1p(self.u * math.expm1(s)), np.float64)
        # log1p(u (exp(s) - 1)), which may overflow and may be tiny
        grown = self.log_u + (s + math.log(-math.expm1(-s)))
        return np.asarray(np.logaddexp(0.0, grown), np.float64)

    def logit(self, s: float) -> FloatArray:
        """logit of the success: logit u + s."""
        return np.asarray(self.log_u - self.log_c + s, np.float64)


def _at(hit: HitProbabilityResult, beta: float, problem: Problem | None) -> VerifiablePolicy:
    s = 0.0 if beta == math.inf else 1.0 / beta
    found, low, high = (_Committor(hit, end) for end in ("value", "lower", "upper"))
    success, success_low, success_high = (_sigmoid(part.logit(s)) for part in (found, low, high))
    value, below, above = (_value(part, s, beta) for part in (found, low, high))
    kl, kl_low, kl_high = _path_kl(found, low, high, s)
    success_high = success_high * (1.0 + _logit_rounding(high, s))
    above = above * (1.0 + _value_rounding(high, s))
    tiny = np.where(high.u > 0.0, TINY, 0.0)
    return VerifiablePolicy(
        beta=beta,
        success=success,
        success_lower=np.clip(success_low * (1.0 - _logit_rounding(low, s)) - TINY, 0.0, success),
        success_upper=np.clip(success_high + tiny, success, 1.0),
        success_reference=hit.probability,
        success_reference_lower=hit.lower,
        success_reference_upper=hit.upper,
        path_kl=kl,
        path_kl_lower=np.minimum(kl_low, kl),
        path_kl_upper=np.maximum(kl_high, kl),
        value=value,
        value_lower=np.clip(below * (1.0 - _value_rounding(low, s)) - TINY, 0.0, value),
        value_upper=np.maximum(np.minimum(above + tiny, 1.0), value),
        log_z=found.log_z(s),
        hit=hit,
        converged=hit.converged,
        _problem=problem,
    )


def _value(part: _Committor, s: float, beta: float) -> FloatArray:
    """beta log z."""
    if s > SMALL:
        return beta * part.log_z(s)
    # u beta (exp(s) - 1) log(z) / (z - 1): log z may underflow
    gain = beta * math.expm1(s) if s > UNIT else 1.0
    grown = part.u * math.expm1(s)
    seen = grown > UNIT
    ratio = np.where(seen, np.log1p(grown) / np.where(seen, grown, 1.0), 1.0)
    return np.asarray(np.minimum(part.u * gain * ratio, 1.0), np.float64)


def _value_rounding(part: _Committor, s: float) -> FloatArray:
    """Relative rounding error of the value: d log(1 + exp(g)) is less than dg times the smaller one
    of exp(g) and 1, g = log u + s."""
    size = (s + np.abs(_finite(part.log_u))) / np.maximum(1.0, part.log_u + s)
    return np.asarray(16.0 * UNIT + 8.0 * UNIT * size, np.float64)


def _sigmoid(x: FloatArray) -> FloatArray:
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0.0, 1.0, small) / (1.0 + small), np.float64)


def _finite(logs: FloatArray) -> FloatArray:
    return np.where(np.isfinite(logs), logs, 0.0)


def _logit_rounding(part: _Committor, s: float) -> FloatArray:
    """Relative rounding error of the success p from a logit: dp = p (1 - p) d(logit p)."""
    size = np.abs(_finite(part.log_u)) + np.abs(_finite(part.log_c)) + s
    failure = _sigmoid(-part.logit(s))
    return np.asarray(16.0 * UNIT + 8.0 * UNIT * size * failure, np.float64)


def _path_kl(found: _Committor, low: _Committor, high: _Committor, s: float) -> Any:
    """kl(success, u) with its ends. It rises with u to a maximum inside, and falls after it: the
    minimum is at an end, the maximum there or inside (docs/theory.md, section 9)."""

    def kl(part: _Committor) -> FloatArray:
        logit_u = part.log_u - part.log_c
        with np.errstate(invalid="ignore"):
            spent = kl_spent(logit_u + s, logit_u, logit=True)
        # u in {0, 1}: both are the same
        return np.where(np.isfinite(logit_u), np.asarray(spent, np.float64), 0.0)

    if s == 0.0:
        zero = np.zeros_like(found.u)
        return zero, zero, zero
    value, ends = kl(found), (kl(low), kl(high))
    slack = np.zeros_like(value)
    for part, spent in zip((found, low, high), (value, *ends), strict=True):
        # d kl = s p (1 - p) d(logit p) + (u - p) d(logit u), and logit p has the rounding of s, too
        p, size = _sigmoid(part.logit(s)), np.abs(_finite(part.log_u)) + np.abs(_finite(part.log_c))
        spread = s * p * _sigmoid(-part.logit(s))
        steep = spread + np.abs(p - part.u)
        more = (32.0 + 8.0 * size) * UNIT * (spent + steep) + 8.0 * UNIT * s * spread
        slack = np.maximum(slack, more)
    u0, most = kl_peak(s)
    inside = (low.u <= u0 * (1.0 + 1e-6) + TINY) & (high.u >= u0 * (1.0 - 1e-6) - TINY)
    inside &= high.u > 0.0
    upper = np.maximum(*ends) + slack + np.where((high.u > 0.0) & (low.c > 0.0), TINY, 0.0)
    upper = np.where(inside, np.maximum(upper, most), upper)
    return value, np.maximum(np.minimum(*ends) - slack - TINY, 0.0), upper
