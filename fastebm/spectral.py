"""Spectral gaps with their evidence (theory: Levin & Peres ch. 12)."""

import math
import warnings

import numpy as np

from . import _core, _validate, dirichlet
from ._runtime import interruptible, resolve_threads
from .balance import reversibilize
from .chain import is_chain
from .checkpoint import Checkpoint, fingerprint
from .errors import ConvergenceWarning, InvalidChainError
from .lanczos import FAILURE, ROUNDING, SMALL_GAP, Recurrence, Ritz, gap_of, overtake, probabilistic_lower
from .rayleigh import PRODUCTS, Minimizer
from .results import Result, result
from .stationary import stationary
from .structure import closed_class, structure

KINDS = ("spectral", "absolute", "multiplicative", "additive")
METHODS = ("auto", "lanczos", "multigrid")
# Up to this size LAPACK solves the dense problem at once.
MAX_DENSE = 128
MAX_MATVECS = 100_000
# The recurrence gives way to multigrid after this many steps, if it expects more than these besides: a multigrid solution costs
# about as much as 250 steps on meshes and networks (benchmarks, family spectral).
LANCZOS_TRIAL, MULTIGRID_WORTH = 100, 250


@result
class GapResult(Result):
    """A spectral gap with its evidence.

    Attributes
    ----------
    kind : str
        "spectral" 1 - lambda_2; "absolute" 1 - max |lambda|; "additive", "multiplicative": of (P + P*)/2, of P P*.
    gap, gap_lower, gap_upper : float
    lower_kind, upper_kind : str
        "rigorous", "probabilistic", "estimate" or "none" (then the bound is 0 or 2).
    eigenvalue : float or complex
        The eigenvalue that sets the gap.
    slem : float or None
        Second-largest eigenvalue modulus, where computed.
    relaxation_time : float or None
        1 / (1 - lambda_2) in steps.
    absolute_relaxation_time : float or None
        1 / (1 - slem) in steps, where computed. Neither is a mixing time.
    residual : float
        |A v - lambda v| of the eigenpair, as the recurrence estimates it (Lanczos) or as computed (others).
    probabilistic_lower : float or None
        Where the start was random: a lower end that assumes nothing of the other eigenvalues and fails with probability
        `failure_probability` over that start (Kuczynski & Wozniakowski 1992); 0, saying nothing, where the gap is small.
    failure_probability : float or None
    rounding : float
        Absolute accuracy that double precision leaves in `gap`; a gap below it is known only by its upper end.
    n_matvecs : int
    method : str
    converged : bool
    wall_s : float
    """

    kind: str
    gap: float
    gap_lower: float
    gap_upper: float
    lower_kind: str
    upper_kind: str
    eigenvalue: float | complex
    slem: float | None
    relaxation_time: float | None
    absolute_relaxation_time: float | None
    residual: float
    probabilistic_lower: float | None
    failure_probability: float | None
    rounding: float
    n_matvecs: int
    method: str
    converged: bool
    wall_s: float


def spectral_gap(chain, *, kind="spectral", tol=1e-8, certify=False, method="auto", max_matvecs=None, rng=None, num_threads=None,
                 progress=False, callback=None, checkpoint=None):
    """The spectral gap of a chain with one closed class, on that class.

    Parameters
    ----------
    chain : MarkovChain
    kind : {"spectral", "absolute", "multiplicative", "additive"}
        1 - lambda_2 (non-reversible: 1 - max Re lambda); 1 - max |lambda|, 0 for a periodic chain; the gap of P P*; the gap
        of (P + P*)/2. On a reversible chain "additive" is "spectral".
    tol : float
        Relative accuracy of the gap.
    certify : bool
        Form the vector (a second pass of the recurrence) and report its Dirichlet form, a rigorous upper bound. Done
        unasked where the gap is below 2e-6: there the Dirichlet form is the estimate itself, free of cancellation. "multigrid" always has it.
    method : {"auto", "lanczos", "multigrid"}
        For reversible chains. "auto" begins with Lanczos and changes over where that would need hundreds of steps more.
    max_matvecs : int, optional
    rng : seed or Generator, optional
        For the random start.
    checkpoint : path, optional
        A file that an interrupted call leaves behind and the same call (an equal `rng`) continues from, with the same bits;
        reversible chains of more than 128 states.

    Returns
    -------
    GapResult
        A chain of one state has gap 1: its P is its own limit.

    Raises
    ------
    ReducibleChainError
        More than one closed class.
    InvalidChainError
        method="multigrid" on a chain that is too well connected for it (Lanczos needs few steps there) or not reversible.
    Interrupted
        Ctrl-C; `partial` is the result so far.

    Notes
    -----
    Reversible chains: Lanczos on the symmetrised operator, sqrt(pi) deflated in every step, no basis. It stops where the
    error bound min(residual, residual^2 / separation) of the wanted Ritz value is below tol times the gap. Metastable chains: the
    Rayleigh quotient of the Dirichlet form, minimised with a multigrid preconditioner, which stops where its last decreases say
    that less than tol is left; its number of steps does not grow as the gap shrinks. Non-reversible: ARPACK on P - 1 pi.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> g = fe.spectral_gap(fe.MarkovChain(np.array([[0.9, 0.1], [0.3, 0.7]])))
    >>> round(g.gap, 12), round(g.relaxation_time, 12)
    (0.4, 2.5)
    """
    is_chain(chain)
    _validate.choice(kind, "kind", KINDS)
    _validate.choice(method, "method", METHODS)
    tol = _validate.number(tol, "tol", above=0.0, below=1.0)
    limit = MAX_MATVECS if max_matvecs is None else _validate.count(max_matvecs, "max_matvecs")
    rng = np.random.default_rng(rng)
    threads = resolve_threads(num_threads)
    inside = closed_class(chain)
    if inside is not None:
        chain = chain.restrict(inside)
    if kind == "additive":
        chain = reversibilize(chain, num_threads=threads)
    if chain.n_states == 1:
        return _pack(kind, 0.0, 0.0, "closed form", 0, 0.0, slem=0.0)
    # P P* of a periodic chain never leaves a cyclic class
    if kind in ("absolute", "multiplicative") and structure(chain).period > 1:
        at_minus_one = kind == "absolute" and chain.is_reversible
        return _pack(kind, -1.0 if at_minus_one else 1.0, 0.0, "period", 0, 0.0, slem=1.0, gap=0.0)
    if method == "multigrid" and not chain.is_reversible:
        raise InvalidChainError('method="multigrid" needs a reversible chain; take kind="additive", or method="auto"')
    run = {"kind": kind, "tol": tol, "limit": limit, "threads": threads, "progress": progress, "callback": callback}
    if not chain.is_reversible:
        found = _general(chain, certify=certify, rng=rng, **run)
    elif chain.n_states <= MAX_DENSE and method == "auto":
        found = _dense(chain, kind=kind, threads=threads, callback=callback)
    else:
        # one integer carries the randomness, so that a second pass and a resumed call can begin again
        seed = int(rng.integers(2**63))
        found = _Reversible(chain, certify=certify, method=method, seed=seed, checkpoint=checkpoint, **run).solve()
    if not found.converged:
        warnings.warn(f"spectral_gap: not converged to {tol:.3g} after {found.n_matvecs} products; raise max_matvecs",
                      ConvergenceWarning, stacklevel=2)
    return found


def _pack(kind, eigenvalue, error, method, n_matvecs, wall_s, *, slem=None, gap=None, upper=None, residual=0.0, converged=True,
          probable=None):
    """A GapResult from an eigenvalue with an estimated error; `upper`, a rigorous upper end, also is the gap when it is small."""
    if gap is None:
        gap = 1.0 - (abs(eigenvalue) if kind == "absolute" else eigenvalue.real)
    exact = method in ("closed form", "period")
    rounding = 0.0 if exact else ROUNDING
    if upper is not None and not math.isfinite(upper):
        upper = None  # pi beyond a double's range
    gap = upper if upper is not None and upper < SMALL_GAP else max(gap, 0.0)
    # a recurrence resolves no gap below its rounding, except from above; the Dirichlet form goes far deeper
    if method == "multigrid":
        rounding = dirichlet.SLACK * gap + dirichlet.NOISE
    lower, upper_kind = gap - error - rounding if converged else 0.0, "rigorous" if exact else "estimate"
    if upper is not None:
        upper, upper_kind = upper * (1.0 + dirichlet.SLACK), "rigorous"
    else:
        upper = min(2.0, gap + error + rounding)
        if upper == 2.0 and not converged:
            upper_kind = "none"
    if kind in ("spectral", "additive"):
        relaxation = 1.0 / gap if gap > 0 else math.inf
        absolute = None if slem is None else (1.0 / (1.0 - slem) if slem < 1.0 else math.inf)
    else:
        relaxation = None
        absolute = (1.0 / gap if gap > 0 else math.inf) if kind == "absolute" else None
    return GapResult(
        kind=kind, gap=gap, gap_lower=lower if exact else max(lower, 0.0), gap_upper=upper,
        lower_kind="rigorous" if exact else "estimate" if lower > 0.0 else "none", upper_kind=upper_kind, eigenvalue=eigenvalue, slem=slem,
        relaxation_time=relaxation, absolute_relaxation_time=absolute, residual=residual, probabilistic_lower=probable,
        failure_probability=None if probable is None else FAILURE, rounding=rounding,
        n_matvecs=n_matvecs, method=method, converged=converged, wall_s=wall_s,
    )


class _Reversible:
    """One call on a reversible chain: Lanczos, and multigrid where that is the shorter way."""

    def __init__(self, chain, *, kind, tol, certify, method, limit, seed, threads, progress, callback, checkpoint):
        self.chain, self.kind, self.tol, self.certify, self.method = chain, kind, tol, certify, method
        self.limit, self.seed, self.threads = limit, seed, threads
        self.keeper = Checkpoint(checkpoint, "spectral_gap",
                                 lambda: fingerprint(chain.fingerprint(), kind, tol, certify, method, limit, seed))
        self.recurrence = self.ritz = self.minimizer = None
        self.check = 10  # steps of the recurrence at which its Ritz values are looked at next
        self.upper, self.converged = None, False
        self.extra = 0  # products of a second pass
        self.monitor_options = {"total": None, "progress": progress, "callback": callback}

    def solve(self):
        saved = self.keeper.load()
        try:
            with interruptible("spectral_gap", self.result, **self.monitor_options) as self.monitor:
                if not self._multigrid_first(saved):
                    self._lanczos(saved)
                if self.minimizer is not None:
                    self._minimize()
        except KeyboardInterrupt:
            self.keeper.save(self._state, now=True)
            raise
        self.keeper.discard()
        return self.result()

    def _state(self):
        if self.minimizer is not None:
            bottom = {} if self.ritz is None else {"alpha": self.recurrence.alpha, "beta": self.recurrence.beta}
            return {**self.minimizer.save(), **bottom}
        return {} if self.recurrence is None else {**self.recurrence.save(), "check": np.array(self.check)}

    def result(self):
        """The result so far, or None."""
        if self.minimizer is not None:
            return self._from_minimizer()
        return None if self.ritz is None else self._from_recurrence()

    # --- Lanczos ------------------------------------------------------------------------------------------------------------------

    def _lanczos(self, saved):
        run = self.recurrence = Recurrence(self.chain, self.seed, self.threads)
        if saved:
            run.restore(saved)
            self.check = int(saved["check"])
        exhausted, done, tried = False, False, self.method != "auto"
        while not done:
            if len(run.alpha) < self.check:
                exhausted = run.expand(min(self.check, self.limit) - len(run.alpha))
                self.keeper.save(self._state)
            done = exhausted or len(run.alpha) >= self.limit
            if len(run.alpha) < self.check and not done:
                continue
            self.ritz = Ritz(run.alpha, run.beta)
            end, error = self.ritz.choose(self.kind)
            gap = gap_of(self.kind, self.ritz.values[end])
            self.converged = bool(exhausted or error <= self._wanted(end, gap))
            done = done or self.converged
            self.monitor(len(run.alpha), gap=float(gap), error=float(error))
            if not done and not tried and self._multigrid_pays():
                tried = True
                self.minimizer = Minimizer.prepare(self.chain, self.seed, self.threads)
                if self.minimizer is not None:
                    self.converged, self.recurrence.state = False, None  # its vectors are not needed any more
                    return
            if not done:
                self.check = len(run.alpha) + max(5, len(run.alpha) // 20)
        at_top = self.kind != "multiplicative" and self.ritz.choose(self.kind)[0] == "top"
        if at_top and (self.certify or gap_of(self.kind, self.ritz.values["top"]) < SMALL_GAP):
            self._certify()

    def _wanted(self, end, gap):
        """The error to stop at. A gap near rounding is settled by the vector, where the Dirichlet form applies: it errs by
        residual^2 / separation, and this is asked to be small against the smallest gap worth telling apart from zero."""
        if gap > SMALL_GAP:
            return self.tol * gap
        if end == "top" and self.kind != "multiplicative":
            return self.tol * max(gap - ROUNDING, 1e-22)
        return max(self.tol * gap, ROUNDING)

    def _multigrid_pays(self):
        """Whether Lanczos has shown that it will need long, and the wanted eigenvalue is the top one for certain."""
        ritz, steps = self.ritz, len(self.recurrence.alpha)
        if steps < LANCZOS_TRIAL:
            return False
        gap = max(1.0 - ritz.values["top"], ROUNDING)
        # error ~ exp(-4 k sqrt(separation / 2)) in k steps, the separation being about the gap
        expected = -math.log(self.tol) / (4.0 * math.sqrt(0.5 * gap))
        return expected - steps > MULTIGRID_WORTH and self._top_leads()

    def _top_leads(self):
        if self.kind in ("spectral", "additive"):
            return True
        return abs(self.ritz.values["bottom"]) + self.ritz.residuals["bottom"] < self.ritz.values["top"]

    def _certify(self):
        def after(steps):
            self.extra = steps
            self.keeper.save(self._state)
            self.monitor(len(self.recurrence.alpha) + steps)

        f = self.recurrence.vector(self.ritz.vectors["top"], after)
        self.extra = len(self.recurrence.alpha)
        self.upper = dirichlet.quotient(self.chain, dirichlet.trimmed(f, np.exp(0.5 * self.chain.log_pi)), self.threads)

    def _from_recurrence(self):
        ritz, run = self.ritz, self.recurrence
        end, error = ritz.choose(self.kind)
        theta = float(ritz.values[end])
        slem = max(map(abs, ritz.values.values())) if self.kind in ("absolute", "multiplicative") else None
        return _pack(
            self.kind, theta * theta if self.kind == "multiplicative" else theta, float(error), "lanczos", len(run.alpha) + self.extra,
            self.monitor.wall_s, slem=slem, gap=float(gap_of(self.kind, theta)),
            upper=self.upper if end == "top" else None,  # the Dirichlet form bounds 1 - lambda_2, not 1 + lambda_n
            residual=float(ritz.residuals[end]), converged=self.converged,
            probable=probabilistic_lower(ritz.values["top"], self.chain.n_states, len(run.alpha)) if end == "top" and self.kind != "multiplicative" else None,
        )

    # --- multigrid ----------------------------------------------------------------------------------------------------------------

    def _multigrid_first(self, saved):
        """Whether there is nothing for Lanczos to do: multigrid was asked for, or is what a checkpoint holds."""
        resumed = saved is not None and "basis" in saved
        if not resumed and (self.method != "multigrid" or self.kind in ("absolute", "multiplicative")):
            return False
        self.minimizer = Minimizer.prepare(self.chain, self.seed, self.threads)
        if self.minimizer is None:
            raise InvalidChainError('this chain is too well connected for method="multigrid", or pi spans too much; use method="lanczos"')
        if resumed:
            self.minimizer.restore(saved)
            if "alpha" in saved:
                self.recurrence = Recurrence.__new__(Recurrence)
                self.recurrence.alpha, self.recurrence.beta = saved["alpha"], saved["beta"]
                self.ritz = Ritz(saved["alpha"], saved["beta"])
        return True

    def _minimize(self):
        run = self.minimizer
        while not self.converged and self._n_matvecs() < self.limit:
            self.converged = run.advance(self.tol)
            self.keeper.save(self._state)
            self.monitor(self._n_matvecs(), gap=run.gap, error=run.error())

    def _n_matvecs(self):
        return PRODUCTS * self.minimizer.n_steps + (0 if self.ritz is None else len(self.recurrence.alpha))

    def _from_minimizer(self):
        gap, error, residual = self.minimizer.best()
        slem = None if self.kind in ("spectral", "additive") else 1.0 - gap
        eigenvalue, factor = 1.0 - gap, 1.0
        if self.kind == "multiplicative":
            gap, eigenvalue, factor = gap * (2.0 - gap), eigenvalue * eigenvalue, 2.0
        return _pack(self.kind, eigenvalue, factor * error, "multigrid", self._n_matvecs(), self.monitor.wall_s, slem=slem, gap=gap, upper=gap,
                     residual=residual, converged=self.converged)


def _dense(chain, *, kind, threads, callback):
    """LAPACK on the whole of S, the top eigenvector sqrt(pi) moved out of the way."""
    with interruptible("spectral_gap", lambda: None, progress=False, callback=callback) as monitor:
        half = 0.5 * chain.log_pi
        P = chain.to_scipy()
        P.data *= np.exp(np.repeat(half, np.diff(P.indptr)) - half[P.indices])
        S = P.toarray()
        S = 0.5 * (S + S.T)
        root = np.exp(half)
        values, vectors = np.linalg.eigh(S - 2.0 * np.outer(root, root))  # 1 becomes -1, below all others or equal to them
        keep = np.ones(len(values), bool)
        keep[np.argmax(np.abs(root @ vectors))] = False
        values, vectors = values[keep], vectors[:, keep]
        slem = float(np.abs(values).max())
        top = kind in ("spectral", "additive") or abs(values[-1]) >= abs(values[0])
        theta = float(values[-1] if top else values[0])
        upper, error = None, 0.0
        if kind == "absolute":
            error = overtake(theta, float(values[0] if top else values[-1]))
        if kind != "multiplicative" and top:
            with np.errstate(all="ignore"):
                f = vectors[:, -1] / root
            upper = dirichlet.quotient(chain, dirichlet.trimmed(f, root), threads)
        eigenvalue = theta * theta if kind == "multiplicative" else theta
        return _pack(kind, eigenvalue, error, "lapack", 0, monitor.wall_s, slem=slem, gap=float(gap_of(kind, theta)), upper=upper)


def _general(chain, *, kind, tol, certify, limit, rng, threads, progress, callback):
    """Non-reversible: the leading eigenvalues of P - 1 pi, or of P P* as a product of two operators."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs, eigsh

    n = chain.n_states
    log_pi = stationary(chain, num_threads=threads).log_pi
    pi, root = np.exp(log_pi), np.exp(0.5 * log_pi)
    count = {"n": 0}
    best = {"value": math.nan, "residual": math.inf}

    def deflated(x):
        count["n"] += 1
        monitor(count["n"])
        x = np.ravel(x)
        return chain._apply(x, num_threads=threads) - _core.vec_dot(pi, np.ascontiguousarray(x), threads)

    def folded(x):  # D^1/2 P P* D^-1/2 = S S^T with S = D^1/2 P D^-1/2, sqrt(pi) deflated
        count["n"] += 2
        monitor(count["n"])
        x = np.ravel(x) - root * (root @ np.ravel(x))
        back = chain._apply(x * root, transposed=True, num_threads=threads) / pi  # P* f for f = x / sqrt(pi)
        y = root * chain._apply(back, num_threads=threads)
        return y - root * (root @ y)

    def result_of(converged):
        lam = complex(best["value"])
        lam = lam.real if lam.imag == 0.0 else lam
        slem = abs(lam) if kind == "absolute" else None
        return _pack(kind, lam, best["residual"], method, count["n"], monitor.wall_s, slem=slem,
                     residual=best["residual"], converged=converged)

    method = "arpack"
    apply = folded if kind == "multiplicative" else deflated
    with interruptible("spectral_gap", lambda: None, progress=progress, callback=callback) as monitor:
        if n <= MAX_DENSE:
            dense = np.column_stack([apply(e) for e in np.eye(n)])
            values = np.linalg.eigvals(dense)
            method, converged = "lapack", True
            best["value"], best["residual"] = _leading(kind, values), n * np.finfo(float).eps
        else:
            operator = LinearOperator((n, n), matvec=apply, dtype=np.float64)
            start = rng.standard_normal(n)
            # more than the one that is wanted: asked for a single pair, ARPACK settles on another of nearly the same modulus.
            # A small basis: the vectors, not the products, set time and memory
            options = {"k": max(1, min(3, n - 3)), "v0": start, "ncv": min(n, 16), "tol": tol * 1e-2, "maxiter": max(1, limit // 20)}
            converged = True
            try:
                if kind == "multiplicative":
                    values, vectors = eigsh(operator, which="LA", **options)
                else:
                    values, vectors = eigs(operator, which="LM" if kind == "absolute" else "LR", **options)
            except ArpackNoConvergence as error:
                values, vectors, converged = error.eigenvalues, error.eigenvectors, False
            if len(values):
                best["value"] = _leading(kind, values)
                at = int(np.argmin(np.abs(values - best["value"])))
                if np.imag(values[at]) < 0:  # of a complex pair ARPACK may return the other member
                    vectors = np.conj(vectors)
                v = vectors[:, at]
                image = apply(np.real(v)) + (1j * apply(np.imag(v)) if np.iscomplexobj(v) else 0.0)
                best["residual"] = float(np.linalg.norm(image - best["value"] * v) / np.linalg.norm(v))
        return result_of(converged)


def _leading(kind, values):
    """The eigenvalue that sets the gap; of a complex pair the one with positive imaginary part."""
    size = np.abs(values) if kind == "absolute" else np.real(values)
    lead = values[int(np.argmax(size))]
    return np.conj(lead) if np.imag(lead) < 0 else lead
