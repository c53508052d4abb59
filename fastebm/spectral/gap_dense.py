"""The gap of a reversible chain of few states: LAPACK on the whole of S, and on the whole inverse
of I - S where rounding hides the gap in S. Rigorous ends."""

import math

import numpy as np

from .._runtime.progress import interruptible
from .._runtime.types import FloatArray
from ..chains.chain import MarkovChain
from ..linalg import dirichlet
from ..linalg.restriction import Report
from ..linalg.rounding import EPS
from .ends import EnclosedDistance, imbalance, smaller
from .gap_options import MODULUS_KINDS, GapOptions
from .gap_result import GapResult, from_ends
from .inverse import GroundedInverse

# The backward error of LAPACK's symmetric eigenvalues is a modest multiple of n u |A|, and seen to
# be far smaller (Anderson et al., LAPACK Users' Guide, section 4.7): counted as n times this.
LAPACK_ROUNDING = 4 * EPS
# A distance is taken from the inverse where the ends in S leave more than this part of it.
HIDDEN = 1e-11


def two_states(chain: MarkovChain, kind: str, tol: float) -> GapResult:
    """The gap of two states, of any size: 1 - lambda_2 = P(0, 1) + P(1, 0), and
    1 + lambda_2 = P(0, 0) + P(1, 1)."""
    P = chain.to_scipy().toarray()
    top, bottom = float(P[0, 1] + P[1, 0]), float(P[0, 0] + P[1, 1])
    gap, eigenvalue = top, 1.0 - top
    if kind in MODULUS_KINDS:
        gap = min(top, bottom)
        eigenvalue = eigenvalue if top <= bottom else bottom - 1.0
    # rows sum to one but for rounding, which P(0, 0) + P(1, 1) inherits
    rounding = 4.0 * EPS * (top if gap == top else 1.0)
    ends = _within(gap, rounding)
    if kind == "multiplicative":
        ends, eigenvalue = ends.squared(), eigenvalue * eigenvalue
    return from_ends(
        kind,
        ends,
        eigenvalue=eigenvalue,
        method="closed form",
        tol=tol,
        rounding=rounding,
        slem=1.0 - min(top, bottom),
    )


def dense(chain: MarkovChain, options: GapOptions) -> tuple[GapResult, FloatArray | None]:
    """(GapResult, f or None): the Dirichlet quotient of f is the upper end of 1 - lambda_2, where
    that is the gap."""
    kind = options.kind
    with interruptible("spectral_gap", lambda: None, callback=options.callback) as monitor:
        law = chain._law.take(options.threads)
        log_pi = law.log_pi
        root = np.exp(0.5 * log_pi)
        root /= np.linalg.norm(root)
        values, vectors = _eigh(chain, root)
        # LAPACK's, and that of the entries: their scalings are exponentials of such logs
        rounding = len(root) * LAPACK_ROUNDING + 2.0 * EPS * float(np.abs(log_pi).max())
        top = _within(1.0 - float(values[-1]), rounding)
        bottom = _within(1.0 + float(values[0]), rounding)
        v, method = vectors[:, -1], "lapack"
        n_solves = 0
        if top.error > HIDDEN * top.value and log_pi.min() < 0.0:
            found = _from_inverse(chain, log_pi, options.threads, monitor)
            if found is not None:
                inverse, v, n_solves = found
                top, method = top.improved(inverse), "inverse"
        f = _function(v, root)
        at_top = kind not in MODULUS_KINDS or top.value <= bottom.value
        quotient = dirichlet.quotient(chain._scaled, law.pi, f, options.threads)
        if math.isfinite(quotient):
            end = quotient * (1.0 + dirichlet.SLACK)
            top = top.improved(EnclosedDistance.of(top.value, None, (end, "rigorous")))
        slem = 1.0 - min(top.value, bottom.value)
        gap = smaller(top, bottom) if kind in MODULUS_KINDS else top
        eigenvalue = 1.0 - top.value if at_top else bottom.value - 1.0
        if kind == "multiplicative":
            gap, eigenvalue = gap.squared(), eigenvalue * eigenvalue
        slack = imbalance(chain._scaled.pattern)
        found_gap = from_ends(
            kind,
            gap.widened(slack),
            eigenvalue=eigenvalue,
            method=method,
            tol=options.tol,
            rounding=rounding if method == "lapack" else gap.error,
            slem=slem,
            n_solves=n_solves,
            wall_s=monitor.wall_s,
        )
    return found_gap, f if at_top else None


def _within(value: float, rounding: float) -> EnclosedDistance:
    return EnclosedDistance.of(
        value, (value - rounding, "rigorous"), (value + rounding, "rigorous")
    )


def _eigh(chain: MarkovChain, root: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues (ascending) and vectors of S on the complement of sqrt(pi)."""
    P = chain.to_scipy().toarray()
    S = np.sqrt(P) * np.sqrt(P.T)  # without the rounding of log pi
    # 1 becomes -1, below all others or equal to them
    values, vectors = np.linalg.eigh(S - 2.0 * np.outer(root, root))
    keep = np.ones(len(values), bool)
    keep[np.argmax(np.abs(root @ vectors))] = False
    return values[keep], vectors[:, keep]


def _from_inverse(
    chain: MarkovChain, log_pi: FloatArray, threads: int, report: Report
) -> tuple[EnclosedDistance, FloatArray, int] | None:
    """(1 - lambda_2 with its ends, the vector sqrt(pi) f, solves) by LAPACK on the inverse of
    I - S, or None where that leaves the range of doubles."""
    inverse = GroundedInverse(chain, log_pi, threads)
    if not math.isfinite(inverse.cost(report)) or not inverse.factorise(report):
        return None
    root, inside = inverse.root, inverse.inside
    n = len(root)
    with np.errstate(all="ignore"):
        columns = inverse.solve_inside(np.diag(1.0 / root[inside]))
    G = np.zeros((n, n))
    G[np.ix_(inside, inside)] = columns * root[inside, None]
    if not np.isfinite(G).all():
        return None
    G -= np.outer(root, root @ G)
    G -= np.outer(G @ root, root)
    values, vectors = np.linalg.eigh(0.5 * (G + G.T))
    theta = float(values[-1])
    # the rounding of the products is relative to the norm before the projection, 1 / exit_rate
    error = inverse.rigorous_error(theta) + 2 * n * LAPACK_ROUNDING / (inverse.exit_rate * theta)
    value = 1.0 / theta
    if not error < 1.0:
        return None
    low = max(value / (1.0 + error), inverse.exit_rate)
    found = EnclosedDistance.of(value, (low, "rigorous"), (value / (1.0 - error), "rigorous"))
    return found, vectors[:, -1], inverse.n_solves


def _function(v: FloatArray, root: FloatArray) -> FloatArray:
    """f = v / sqrt(pi), trimmed where v is rounding."""
    with np.errstate(all="ignore"):
        return dirichlet.trimmed(v / root, root)
