"""How the law of a chain approaches its stationary distribution, in forms that do not cancel (theory, section 3)."""

import numpy as np

from . import _core, _validate
from ._runtime import interruptible, resolve_threads
from .chain import is_chain
from .errors import InvalidChainError
from .results import Result, result
from .stationary import stationary
from .structure import closed_class

DISTANCES = ("tv", "kl", "chi2")
DISTANCES_AT_ONCE = 10_000_000  # numbers of one call: 0.1 s at 10 ns each, for Ctrl-C
# A rise of KL counts as one above this multiple of its value, the rounding of a weighted sum of n terms, and above the
# square of a density's rounding (1e-13 after some thousand steps).
MONOTONE_SLACK, MONOTONE_FLOOR = 1e-12, 1e-26


@result
class MixingResult(Result):
    """Distances of the law after t steps from the stationary distribution.

    Attributes
    ----------
    steps : ndarray int64 (n_steps + 1,)
    tv, kl, chi2 : ndarray (n_starts, n_steps + 1) or None
        Total variation in [0, 1], Kullback-Leibler divergence KL(mu_t || pi) in nats, chi-square.
    kl_is_monotone : bool or None
        No rise beyond rounding: a relative 1e-12 and an absolute 1e-26 (data processing: KL never rises).
    kl_largest_increase : float or None
        The largest KL(t + 1) - KL(t); <= 0 or rounding.
    bounds : dict
        From the gap, where one was given: "tv", "kl", "chi2" arrays of the same shape, upper bounds of the values.
    """

    steps: np.ndarray
    tv: np.ndarray | None
    kl: np.ndarray | None
    chi2: np.ndarray | None
    kl_is_monotone: bool | None
    kl_largest_increase: float | None
    bounds: dict


def mixing_curve(chain, start, n_steps, *, distances=DISTANCES, gap=None, num_threads=None, progress=False, callback=None):
    """Distances from stationarity along the exact evolution ``mu_t = mu_0 P^t``.

    Parameters
    ----------
    chain : MarkovChain
        With one closed class; starts must lie in it.
    start : int, int array (n_starts,), or float array (n_states,) or (n_starts, n_states)
        States, or initial laws.
    n_steps : int
    distances : subset of {"tv", "kl", "chi2"}
    gap : GapResult, optional
        Of kind "absolute" (reversible chains) or "multiplicative" (any): fills `bounds` by
        ``chi2_t <= rate^t chi2_0``, ``KL <= log(1 + chi2)``, ``TV <= sqrt(chi2) / 2`` with rate (1 - gap)^2 or 1 - gap, gap its lower end

    Returns
    -------
    MixingResult

    Notes
    -----
    What evolves is the deviation of the density, ``g = mu / pi - 1``, by ``g <- P* g``; then TV = sum pi |g| / 2,
    chi2 = sum pi g^2 and KL = sum pi ((1 + g) log(1 + g) - g), each a sum of non-negative terms with no difference of
    nearly equal numbers, down to KL of 1e-26 and below.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> curve = fe.mixing_curve(fe.MarkovChain(np.array([[0.75, 0.25], [0.25, 0.75]])), 0, 3)
    >>> curve.tv.round(6).tolist(), curve.kl_is_monotone
    ([[0.5, 0.25, 0.125, 0.0625]], True)
    """
    is_chain(chain)
    n_steps = _validate.count(n_steps, "n_steps", minimum=0)
    distances = (distances,) if isinstance(distances, str) else tuple(distances)
    for name in distances:
        _validate.choice(name, "distances", DISTANCES)
    threads = resolve_threads(num_threads)
    laws = _starts(start, chain.n_states)
    inside = closed_class(chain)
    if inside is not None:
        laws = _inside(laws, inside)
        chain = chain.restrict(inside)
    log_pi = stationary(chain, num_threads=threads).log_pi
    if getattr(gap, "kind", None) == "absolute" and not chain.is_reversible:
        raise InvalidChainError('on a chain that is not reversible the absolute gap bounds no distance; pass a gap of kind "multiplicative"')
    reverse = chain.reverse()
    pi = np.exp(log_pi)
    values = np.full((3, len(laws), n_steps + 1), np.nan)
    reached = [0]

    def partial():
        whole = values[:, :, : reached[0]]
        return _pack(whole, distances, gap) if reached[0] else None

    width = _core.EVOLVE_WIDTH
    with interruptible("mixing_curve", partial, total=n_steps * -(-len(laws) // width), progress=progress, callback=callback) as monitor:
        for first in range(0, len(laws), width):
            group = slice(first, first + width)
            g = _deviations(laws[group], log_pi)
            for t in range(n_steps + 1):
                if t:
                    g = reverse._apply(g, num_threads=threads)
                values[:, group, t] = _distances(pi, g, threads)
                # a partial result has all starts: with several groups only the last one advances it
                reached[0] = t + 1 if first + width >= len(laws) else 0
                monitor(first // width * n_steps + t, kl=float(values[1, first, t]))
    return _pack(values, distances, gap)


def _distances(pi, g, threads):
    """The three distances of each column, few columns a call where the chain is large."""
    at_once = max(1, DISTANCES_AT_ONCE // len(pi))
    if at_once >= g.shape[1]:
        return _core.evolve_distances(pi, g, threads)
    parts = [np.ascontiguousarray(g[:, first : first + at_once]) for first in range(0, g.shape[1], at_once)]
    return np.concatenate([_core.evolve_distances(pi, part, threads) for part in parts], axis=1)


def _starts(start, n_states):
    """A list of states (int) and laws (float arrays)."""
    array = np.asarray(start)
    if array.dtype.kind == "f":
        rows = np.atleast_2d(array)
        return [_validate.distribution(row, n_states, f"start[{i}]" if len(rows) > 1 else "start") for i, row in enumerate(rows)]
    return [int(x) for x in _validate.state_array(start, n_states, "start")]


def _inside(laws, inside):
    """The same laws on the closed class."""
    number = np.cumsum(inside) - 1
    moved = []
    for law in laws:
        outside = not inside[law] if isinstance(law, int) else bool((law[~inside] > 0).any())
        if outside:
            raise InvalidChainError("a start has mass on transient states, where its KL and chi-square to pi are infinite; "
                                    "start in the closed class (see structure)")
        moved.append(int(number[law]) if isinstance(law, int) else law[inside])
    return moved


def _deviations(laws, log_pi):
    """g = mu / pi - 1 as a block (n_states, n_laws)."""
    g = np.empty((len(log_pi), len(laws)))
    for j, law in enumerate(laws):
        if isinstance(law, int):
            if log_pi[law] < -700.0:
                raise InvalidChainError(f"state {law} has log pi = {log_pi[law]:.1f}: its density exceeds a double; start elsewhere")
            g[:, j] = -1.0
            g[law, j] = np.expm1(-log_pi[law])
        else:
            with np.errstate(divide="ignore"):
                log_density = np.log(law) - log_pi
            if (log_density > 700.0).any():
                at = int(np.argmax(log_density))
                raise InvalidChainError(f"a start has mass on state {at} with log pi = {log_pi[at]:.1f}: its density exceeds a double")
            g[:, j] = np.expm1(log_density)
    return g


def _pack(values, distances, gap):
    tv, kl, chi2 = values
    rises = np.diff(kl, axis=1)
    allowed = MONOTONE_SLACK * kl[:, :-1] + MONOTONE_FLOOR
    bounds = {}
    if gap is not None:
        kind = getattr(gap, "kind", None)
        if kind not in ("absolute", "multiplicative"):
            raise InvalidChainError('gap must be a GapResult of kind "absolute" or "multiplicative"; see spectral_gap')
        rate = (1.0 - gap.gap_lower) ** 2 if kind == "absolute" else 1.0 - gap.gap_lower
        bound = chi2[:, :1] * rate ** np.arange(chi2.shape[1])
        bounds = {"tv": np.minimum(0.5 * np.sqrt(bound), 1.0), "kl": np.log1p(bound), "chi2": bound}
    with_kl = "kl" in distances
    return MixingResult(
        steps=np.arange(tv.shape[1], dtype=np.int64),
        tv=tv if "tv" in distances else None, kl=kl if with_kl else None, chi2=chi2 if "chi2" in distances else None,
        kl_is_monotone=bool((rises <= allowed).all()) if with_kl else None,
        kl_largest_increase=(float(rises.max()) if rises.size else 0.0) if with_kl else None,
        bounds={name: bound for name, bound in bounds.items() if name in distances},
    )
