"""Other ways of tuning a policy over finitely many answers, exactly: from preferences (DPO), and by
imitation of the best of n answers (rejection sampling). `optimal_policy` has the optima under the
reverse and the forward KL."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.special import expit, log_expit, logsumexp

from .._runtime import validate
from .._runtime.labelled import paired
from .._runtime.results import Result, result
from .._runtime.types import FloatArray
from ..errors import InvalidChainError
from .elementwise import times
from .policies import reference_law

# A derivative of this share of its terms is rounding.
_SETTLED = 1e-13
_MAX_NEWTON = 200


@result
class PreferencePolicy(Result):
    """The policy of largest likelihood for preferences.

    Attributes
    ----------
    policy, log_policy : ndarray (n_answers,)
    implied_reward : ndarray (n_answers,)
        beta log(pi / pi_ref), of mean zero over the answers.
    loss : float
        Mean of -log sigma(beta log ratio differences) over the comparisons.
    gradient : float
        Largest derivative of the likelihood by a component of `implied_reward`, relative to the sum
        of the absolute values of its terms.
    n_newton : int
    converged : bool
        Whether the gradient vanishes to rounding.
    """

    policy: FloatArray
    log_policy: FloatArray
    implied_reward: FloatArray
    loss: float
    gradient: float
    n_newton: int
    converged: bool


def preference_policy(
    reference: npt.ArrayLike, preferences: npt.ArrayLike, beta: float
) -> PreferencePolicy:
    """Direct preference optimisation (DPO) over all policies on finitely many answers.

    It maximises the Bradley-Terry likelihood of log-policy ratios,

        sum over x, y of preferences[x, y] log sigma(beta log(pi(x) / pi_ref(x))
                                                     - beta log(pi(y) / pi_ref(y))).

    Parameters
    ----------
    reference : array_like (n_answers,)
        Probabilities of the reference policy, positive.
    preferences : array_like (n_answers, n_answers)
        preferences[x, y] >= 0: how often, or with what weight, x was preferred to y.
    beta : float
        KL coefficient, > 0 and finite.

    Returns
    -------
    PreferencePolicy

    Raises
    ------
    InvalidChainError
        An argument is out of range, or some group of answers won, or lost, every comparison with
        the rest: its ratios would be infinite (Ford 1957).

    Notes
    -----
    beta log(pi / pi_ref) can be any vector up to a constant, so the likelihood is that of the
    Bradley-Terry model and the maximum is where the implied reward is its fit. Preferences that
    follow a reward r, P(x over y) = sigma(r(x) - r(y)), give pi_ref exp(r / beta) / Z: the optimum
    of E r - beta KL. `fastebm.fit_reward` fits the reward itself, with errors.

    Examples
    --------
    >>> import numpy as np
    >>> from fastebm import rlvr
    >>> reference, reward, beta = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 2.0]), 0.7
    >>> wins = 1 / (1 + np.exp(reward - reward[:, None]))
    >>> found = rlvr.preference_policy(reference, wins, beta)
    >>> optimum = rlvr.optimal_policy(reference, reward, beta).policy
    >>> bool(np.abs(found.policy - optimum).max() < 1e-12)
    True
    """
    reference = reference_law(reference)
    beta = validate.number(beta, "beta", above=0.0, below=np.inf)
    wins = _checked_preferences(preferences, reference.size)
    both = wins + wins.T

    def log_likelihood(s: FloatArray) -> float:
        return float(times(wins, log_expit(s[:, None] - s)).sum())

    s, n_newton = np.zeros(reference.size), 0
    value = log_likelihood(s)
    for n_newton in range(_MAX_NEWTON + 1):
        chance = expit(s[:, None] - s)
        up, down = (wins * chance.T).sum(axis=1), (wins.T * chance).sum(axis=1)
        gradient, relative = up - down, float((np.abs(up - down) / (up + down)).max())
        if relative <= _SETTLED or n_newton == _MAX_NEWTON:
            break
        weight = both * chance * chance.T
        laplacian = np.diag(weight.sum(axis=1)) - weight
        # The constant vector is in the kernel: adding it makes the matrix regular.
        step = np.linalg.solve(laplacian + weight.sum() / s.size**2, gradient)
        size = 1.0
        while size > 1e-12 and not log_likelihood(s + size * step) >= value:
            size /= 2
        if size <= 1e-12:  # no double increases the likelihood
            break
        s = s + size * step
        s -= s.mean()
        value = log_likelihood(s)
    log_policy = np.log(reference) + s / beta
    log_policy -= logsumexp(log_policy)
    return PreferencePolicy(
        policy=np.exp(log_policy),
        log_policy=log_policy,
        implied_reward=s,
        loss=-value / float(wins.sum()),
        gradient=relative,
        n_newton=n_newton,
        converged=relative <= 1e-10,
    )


def _checked_preferences(preferences: npt.ArrayLike, size: int) -> FloatArray:
    """Weights of the comparisons of different answers, that determine a finite maximum."""
    wins = np.array(validate.real_array(preferences, "preferences"), dtype=np.float64)
    if wins.shape != (size, size):
        raise InvalidChainError(
            f"preferences must have shape ({size}, {size}), a row and a column for each answer of "
            f"the reference, got {wins.shape}"
        )
    bad = ~((wins >= 0) & (wins < np.inf))
    if bad.any():
        x, y = (int(i) for i in np.argwhere(bad)[0])
        raise InvalidChainError(
            f"preferences[{x}, {y}] is {wins[x, y]}; weights of comparisons are finite and >= 0"
        )
    np.fill_diagonal(wins, 0.0)
    groups, labels = connected_components(csr_array(wins), connection="strong")
    if groups > 1:
        x, y = int(np.argmin(labels == labels[0])), 0
        raise InvalidChainError(
            f"the comparisons do not decide between the answers {y} and {x}: no chain of wins "
            "leads from each of them to the other, so a log ratio would be infinite; add "
            "comparisons, or a small weight to every pair"
        )
    return wins


@result
class BestOfN(Result):
    """The policy of the best of n answers.

    Attributes
    ----------
    policy, log_policy : ndarray (n_answers,)
    mean_reward : float
    kl : float
        KL(pi || pi_ref) in nats.
    kl_bound : float
        log n - (n - 1) / n, which the KL does not exceed.
    """

    policy: FloatArray
    log_policy: FloatArray
    mean_reward: float
    kl: float
    kl_bound: float


def best_of_n(reference: npt.ArrayLike, reward: npt.ArrayLike, n: float) -> BestOfN:
    """Rejection-sampling fine-tuning in the limit of much data: the law of the best of `n` answers.

    The maximum likelihood policy for the best of n independent answers of the reference, where ties
    are broken at random. Repeating it with the tuned policy as the reference multiplies n.

    Parameters
    ----------
    reference : array_like (n_answers,)
        Probabilities of the reference policy, positive.
    reward : array_like (n_answers,)
        Finite.
    n : float
        Answers per prompt, >= 1 and finite.

    Returns
    -------
    BestOfN

    Raises
    ------
    InvalidChainError
        The reference is not a law or has a zero, rewards are not finite, or n is below 1.

    Notes
    -----
    With F(x) the probability of a reward of at most r(x), and F-(x) of one below,
    pi(x) = pi_ref(x) (F(x)^n - F-(x)^n) / (F(x) - F-(x)). For a verifiable reward this is a member
    of the family pi_ref exp(l r), with accuracy 1 - (1 - p0)^n: no policy of that accuracy spends
    less KL. For other rewards `optimal_policy` has more reward at the same KL.

    Examples
    --------
    >>> from fastebm import rlvr
    >>> found = rlvr.best_of_n([0.1, 0.1, 0.8], [1, 1, 0], 4)
    >>> round(found.mean_reward, 4), round(rlvr.pass_at_k(0.2, 4), 4)
    (0.5904, 0.5904)
    >>> abs(found.kl - rlvr.kl_spent(0.5904, 0.2)) < 1e-12
    True
    """
    reference, reward = paired(reference=reference, reward=reward)
    law = reference_law(reference)
    rewards = validate.vector(reward, law.size, "reward").astype(np.float64)
    n = validate.number(n, "n", above=1.0, below=np.finfo(float).max, closed=True)
    levels, place = np.unique(rewards, return_inverse=True)
    mass = np.bincount(place, weights=law, minlength=levels.size)
    # F from the side on which it keeps its digits.
    at_most, above = np.cumsum(mass), np.append(np.cumsum(mass[::-1])[::-1][1:], 0.0)
    low = above > 0.5
    with np.errstate(divide="ignore"):
        log_at_most = np.where(low, np.log(at_most), np.log1p(-np.where(low, 0.0, above)))
        share = np.minimum(mass / np.where(low, at_most, 1 - above), 1.0)
        share[0] = 1.0
        log_level = n * log_at_most + np.log(-np.expm1(n * np.log1p(-share)))
    log_policy = np.log(law) + (log_level - np.log(mass))[place]
    log_policy -= logsumexp(log_policy)
    policy = np.exp(log_policy)
    return BestOfN(
        policy=policy,
        log_policy=log_policy,
        mean_reward=float(policy @ rewards),
        kl=float(max(0.0, times(policy, log_policy - np.log(law)).sum())),
        kl_bound=float(np.log(n) - (n - 1) / n),
    )
