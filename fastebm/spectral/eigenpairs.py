"""Leading eigenvalues of a chain with left and right eigenvectors, every copy of a multiple one among them."""

import warnings

import numpy as np

from .. import _core
from .._runtime import validate
from .._runtime.checkpoint import Checkpoint, fingerprint
from .._runtime.memory import forecast_memory
from .._runtime.progress import interruptible
from .._runtime.random import philox_key
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from ..chains.chain import is_chain
from ..chains.symmetrized import balanced, symmetrized
from ..equilibrium.stationary import stationary
from ..equilibrium.structure import structure
from ..errors import ConvergenceWarning, InvalidChainError, ReducibleChainError
from ..linalg.eigensearch import BLOCK, EigenpairSearch, n_rows
from ..linalg.eigenvalue_selection import EigenvalueSelection
from ..linalg.operator import Operator, RandomVectors
from ..linalg.rounding import RITZ_ROUNDING
from .lobpcg import preconditioner

WHICH = tuple(EigenvalueSelection.KEYS)
MAX_MATVECS = 100_000
# 1 - lambda is taken from the Dirichlet form below this: there the subtraction loses more digits than that form's weights.
SMALL_RATE = 1e-3


@result
class EigenResult(Result):
    """Leading eigenpairs ``P right = right diag(eigenvalues)`` and ``left^T P = diag(eigenvalues) left^T``, best first.

    Attributes
    ----------
    eigenvalues : ndarray (k,)
        The first is 1; float where all are real, complex otherwise. Fewer than asked for after an interrupt or where
        max_matvecs ran out early.
    right, left : ndarray (n_states, k)
        ``left^T right = I`` (no conjugation). The right vectors have unit length in pi, ``sum_x pi(x) |right(x)|^2 = 1``; of a
        reversible chain they are orthonormal in pi and ``left = pi * right``. The first are 1 and pi. Signs and phases: where
        pi |right|^2 is largest the entry is positive.
    residuals, left_residuals : ndarray (k,)
        |P f - lambda f| / |f| in the norm of pi, and |g P - lambda g| / |g| in that of 1 / pi, from products with the final vectors.
        Of a reversible chain each eigenvalue is within its residual of an exact one.
    conditions : ndarray (k,)
        |g| |f| / |g^T f|: by what a small change of P is magnified in the eigenvalue, to first order; 1 for a reversible chain.
        Where it is large a small residual only says that the value is in the pseudospectrum.
    rates : ndarray (k,)
        1 - eigenvalues, of a reversible chain free of cancellation (the Dirichlet form) where they are small.
    timescales : ndarray (k,)
        Implied timescales -1 / log |lambda| in steps; inf for modulus 1.
    multiplicities : ndarray int (k,)
        How many of the returned eigenvalues are copies of this one: closer than their residuals tell apart.
    next_eigenvalue : float or complex or None
        The one that follows, where the search for missed copies found it: with a residual of at most 3 % of its distance from them.
    is_cut : bool
        k parts the copies of one eigenvalue, or a conjugate pair: next_eigenvalue belongs to the last one returned.
    verified : bool
        A search from new random vectors in the complement of what was found met nothing that belongs before it; a copy
        escapes it with a probability of about 1e-6.
    converged : bool
        Whether all of the k pairs have.
    converged_each : ndarray bool (k,)
    n_matvecs : int
        Products with P or its transpose, each vector of a block counted.
    method : str
    wall_s : float
    """

    eigenvalues: np.ndarray
    right: np.ndarray
    left: np.ndarray
    residuals: np.ndarray
    left_residuals: np.ndarray
    conditions: np.ndarray
    rates: np.ndarray
    timescales: np.ndarray
    multiplicities: np.ndarray
    next_eigenvalue: float | complex | None
    is_cut: bool
    verified: bool
    converged: bool
    converged_each: np.ndarray
    n_matvecs: int
    method: str
    wall_s: float


def eigenpairs(
    chain,
    k=6,
    *,
    which="largest",
    tol=1e-8,
    max_matvecs=None,
    rng=None,
    num_threads=None,
    progress=False,
    callback=None,
    checkpoint=None,
):
    """The eigenvalue 1 and the k - 1 leading others of an irreducible chain, with left and right eigenvectors.

    Parameters
    ----------
    chain : MarkovChain
    k : int
        Between 1 and n_states.
    which : {"largest", "modulus", "both", "smallest"}
        The others: of largest real part (the slowest processes), of largest modulus, by turns from the largest and the smallest
        real part, or of smallest real part.
    tol : float
        A pair has converged when its residual is below tol (1 - |lambda|), or at rounding (6e-14): the timescale is then right to
        tol, and the vector to the residual over the distance to the next eigenvalue.
    max_matvecs : int, optional
        Products at most, 100 000 by default.
    rng : seed or Generator, optional
        For the random starts.
    checkpoint : path, optional
        A file that the search is saved to every half minute, and at Ctrl-C; the same call goes on from it with the same bits. It is
        removed when the call is done.

    Returns
    -------
    EigenResult

    Raises
    ------
    ReducibleChainError
        Transient states, or more than one closed class.
    MemoryForecastError
        The basis, about 2 k + 33 vectors (as many again for the left ones of a chain that is not reversible), does not fit.
    Interrupted
        Ctrl-C; `partial` is the result of the pairs that have converged.

    Notes
    -----
    Everything runs on D^(1/2) P D^(-1/2), D = diag(pi), whose left and right eigenvector for 1 is sqrt(pi) and is deflated. Reversible:
    block Lanczos with full reorthogonalisation and thick restarts (Wu & Simon 2000), which gives way, where it would need long for the
    slowest processes, to block Davidson with a multigrid cycle (two of its products count) as its preconditioner. Otherwise block Krylov-Schur (Stewart
    2001), for the left vectors a second time on the transpose. Converged pairs are locked, and a new search in their
    complement looks for further copies until it finds none.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> cycle = fe.MarkovChain.from_edges(np.arange(12), (np.arange(12) + 1) % 12, symmetric=True)
    >>> e = fe.eigenpairs(cycle, 4, rng=0)
    >>> e.eigenvalues.round(6).tolist(), e.multiplicities.tolist(), e.is_cut
    ([1.0, 0.866025, 0.866025, 0.5], [1, 2, 2, 1], True)
    """
    is_chain(chain)
    k = validate.count(k, "k")
    if k > chain.n_states:
        raise InvalidChainError(
            f"k must be at most the number of states, {chain.n_states}, got {k}"
        )
    validate.choice(which, "which", WHICH)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    limit = MAX_MATVECS if max_matvecs is None else validate.count(max_matvecs, "max_matvecs")
    threads = resolve_threads(num_threads)
    key = philox_key(rng)
    if not structure(chain).is_irreducible:
        raise ReducibleChainError(
            "eigenpairs needs an irreducible chain: other classes have eigenvalues of their own; use chain.largest_class(), or "
            "chain.restrict(labels == c) with labels from structure(chain)"
        )
    work = _Work(chain, k, which, tol, key, threads)
    seed = None if rng is None else [int(word) for word in key]
    keeper = Checkpoint(
        checkpoint,
        "eigenpairs",
        lambda: fingerprint(chain.fingerprint(), k, which, tol, limit, seed),
    )

    def partial():
        if work.is_loading:  # the file stays as it was
            return None
        keeper.save(work.state, now=True)
        return work.finish(monitor.wall_s, only_converged=True)

    with interruptible(
        "eigenpairs", partial, total=None, progress=progress, callback=callback
    ) as monitor:
        saved = keeper.load()
        if saved is not None:
            work.load(saved)

        def step_done(value, residual):
            keeper.save(work.state)
            monitor(
                work.n_matvecs,
                eigenvalue=float(np.real(value)),
                residual=residual,
                n_found=work.n_found,
            )

        work.run(limit, step_done)
        found = work.finish(monitor.wall_s)
    keeper.discard()
    if not found.converged:
        warnings.warn(
            f"eigenpairs: {np.count_nonzero(found.converged_each)} of {k} pairs converged to {tol:.3g} after {found.n_matvecs} "
            "products; raise max_matvecs",
            ConvergenceWarning,
            stacklevel=2,
        )
    return found


class _Work:
    """The searches of one call, for the right and, where they are not the same, for the left vectors."""

    def __init__(self, chain, k, which, tol, key, threads):
        self.chain, self.k, self.threads, self.tol = chain, k, threads, tol
        self.is_loading = False
        self.log_pi = stationary(chain, num_threads=threads).log_pi
        self.symmetric = chain.is_reversible
        searches = 0 if k == 1 else 1 if self.symmetric else 2
        forecast_memory(
            8
            * chain.n_states
            * (searches * (n_rows(k - 1, chain.n_states, BLOCK, self.symmetric) + BLOCK) + 2 * k),
            "the basis of eigenpairs",
        )
        S = symmetrized(chain).operator if self.symmetric else balanced(chain, self.log_pi)
        self.key, self.which = key, which
        self.root = np.exp(0.5 * self.log_pi)
        kinds = ("right", "left")[:searches]
        self.searches = [self._search(S, kind) for kind in kinds]

    def _search(self, S, kind):
        operator = Operator(S, kind, symmetric=self.symmetric, threads=self.threads)

        def locked(
            value,
        ):  # an eigenvector is a combination of locked vectors, and inherits the residuals of all of them
            return max(0.25 * self.accuracy(value), RITZ_ROUNDING)

        slow_end = self.symmetric and self.which == "largest"
        return EigenpairSearch(
            operator,
            self.root,
            self.which,
            self.k - 1,
            locked,
            RandomVectors(self.key),
            preconditioner=(lambda: preconditioner(self.chain, self.threads)) if slow_end else None,
        )

    def accuracy(self, value):
        return max(self.tol * (1.0 - abs(value)), 4.0 * RITZ_ROUNDING)

    @property
    def n_matvecs(self):
        return sum(search.operator.n_matvecs for search in self.searches)

    @property
    def n_found(self):
        return 1 + (len(self.searches[0].values) if self.searches else 0)

    def state(self):
        return {
            f"{i}.{name}": array
            for i, search in enumerate(self.searches)
            for name, array in {**search.state(), "key": search.basis.random.key}.items()
        }

    def load(self, saved):
        self.is_loading = True
        for i, search in enumerate(self.searches):
            state = {
                name.partition(".")[2]: array
                for name, array in saved.items()
                if name.startswith(f"{i}.")
            }
            search.basis.random.key = state.pop("key")
            search.load(state)
        self.is_loading = False

    def run(self, limit, step_done):
        for search in self.searches:
            if (
                search is not self.searches[0]
            ):  # the left vectors of the very values that were found, which others may tie with
                values = self.searches[0].values
                search.ends = EigenvalueSelection.near(
                    values[
                        np.concatenate(
                            EigenvalueSelection.of(self.which, self.k - 1).choose(values)
                        )
                    ]
                )
            search.run(limit - self.n_matvecs + search.operator.n_matvecs, step_done)

    # --- the result ---------------------------------------------------------------------------------------------------------------

    def finish(self, wall_s, only_converged=False):
        """The EigenResult of what is locked; after an interrupt, of what has converged besides."""
        if only_converged:
            for search in self.searches:
                search.lock_converged()
        if not self.searches or not len(self.searches[0].values):
            return self._pack(_nothing(self.chain.n_states), wall_s)
        spans = [search.span() for search in self.searches]
        X, right = spans[0]
        chosen = self._chosen(right.values)
        values, W = right.values[chosen], right.vectors[:, chosen]
        residuals = right.residuals(W, values)
        if self.symmetric:
            M, left_residuals, left_basis = W, residuals, X
        else:
            left_basis, left = spans[1]
            M = _biorthogonal(X, W, values, left_basis, left, self.threads)
            left_residuals = (
                np.full(len(values), np.inf) if M is None else left.residuals(M, values)
            )
        conditions = np.full(len(values), np.inf) if M is None else np.linalg.norm(M, axis=0)
        R = _combine(X, W, values, self.threads)
        if self.symmetric:
            L = R
        else:
            L = (
                np.full_like(R, np.nan)
                if M is None
                else _combine(left_basis, M, values, self.threads)
            )
        return self._pack(
            [part[: self.k - 1] for part in (values, R, L, residuals, left_residuals, conditions)],
            wall_s,
        )

    def _chosen(self, values):
        """Positions of the k - 1 best in the order of the result; one more where they end within a conjugate pair."""
        best = np.concatenate(EigenvalueSelection.of(self.which, self.k - 1).choose(values))
        order = EigenvalueSelection.of(
            "largest" if self.which == "both" else self.which, len(best)
        ).choose(values[best])[0]
        return best[order]

    def _pack(self, parts, wall_s):
        values, R, L, residuals, left_residuals, conditions = parts
        phase = _phases(R)
        with np.errstate(all="ignore"):
            right = np.concatenate([np.ones((1, len(self.root))), R / phase[:, None] / self.root]).T
            left = np.concatenate([np.exp(self.log_pi)[None], L * phase[:, None] * self.root]).T
        eigenvalues = np.append(1.0, values)
        rates = 1.0 - eigenvalues
        if self.symmetric:
            for i in np.flatnonzero(rates < SMALL_RATE)[1:]:
                rates[i] = self._dirichlet(np.ascontiguousarray(right[:, i]))
        search = self.searches[0] if self.searches else None
        accuracy = np.array([self.accuracy(value) for value in values])
        converged_each = np.append(True, np.maximum(residuals, left_residuals) <= accuracy)
        return EigenResult(
            eigenvalues=eigenvalues,
            right=right,
            left=left,
            residuals=np.append(0.0, residuals),
            left_residuals=np.append(0.0, left_residuals),
            conditions=np.append(1.0, conditions),
            rates=rates,
            timescales=_timescales(eigenvalues, rates),
            multiplicities=self._multiplicities(eigenvalues),
            next_eigenvalue=search.following if search else None,
            is_cut=self._is_cut(values),
            verified=all(search.verified for search in self.searches),
            converged=len(eigenvalues) >= self.k and bool(converged_each.all()),
            converged_each=converged_each,
            n_matvecs=self.n_matvecs,
            method=self._method(),
            wall_s=wall_s,
        )

    def _method(self):
        if not self.searches:
            return "closed form"
        if not self.symmetric:
            return "block krylov-schur"
        return "block davidson" if self.searches[0].is_preconditioned else "block lanczos"

    def _multiplicities(self, values):
        same = 2.0 * np.array([self.accuracy(value) for value in values]) + RITZ_ROUNDING
        return np.count_nonzero(np.abs(values[:, None] - values) <= same[:, None], axis=1)

    def _is_cut(self, values):
        if not len(values):
            return False
        conjugate_missing = np.iscomplexobj(values) and np.imag(values[-1]) > 0.0
        return bool(conjugate_missing or self.searches[0].is_cut or self.searches[0].parts(values))

    def _dirichlet(self, f):
        """1 - lambda as E(f, f) / <f, f>, a sum of non-negative terms (Levin & Peres, lemma 13.6)."""
        pi = np.exp(self.log_pi)
        square = np.empty(len(f))
        _core.scaled_difference(self.chain._scaled.operator, f, square, 2, self.threads)
        return (
            0.5 * _core.vec_dot(pi, square, self.threads) / _core.vec_dot(pi * f, f, self.threads)
        )


def _nothing(n_states):
    none = np.empty((0, n_states))
    return np.empty(0), none, none, np.empty(0), np.empty(0), np.empty(0)


def _biorthogonal(X, W, values, Y, left, threads):
    """Coefficients M of left vectors ``M.T @ Y`` with ``(M.T Y) (W.T X)^T = I``, combinations of those left eigenvectors in the
    span of Y whose values are the nearest to `values`. None where there are not as many, or the two spaces do not match."""
    if len(Y) < len(values):
        return None
    from scipy.optimize import linear_sum_assignment  # heavy, and wanted here alone

    _, match = linear_sum_assignment(np.abs(values[:, None] - left.values))
    U = left.vectors[:, match]
    try:
        M = U @ np.linalg.inv(U.T @ _core.basis_project(Y, X, threads) @ W).T
    except np.linalg.LinAlgError:
        return None
    return M if np.isfinite(M).all() else None


def _combine(X, coefficients, values, threads):
    """The rows ``coefficients.T @ X``, in the place of X where they are real. Of a conjugate pair, whose values stand side by side
    with the positive imaginary part first, one member gives the other."""
    columns, first, parts = [], [], []
    for c, value in zip(coefficients.T, values):
        is_second = np.imag(value) < 0.0
        first.append(first[-1] if is_second else len(columns))
        parts.append(-1.0 if is_second else 1.0 if np.imag(value) > 0.0 else 0.0)
        if not is_second:
            columns += [np.real(c)] if parts[-1] == 0.0 else [np.real(c), np.imag(c)]
    done = np.zeros(1, dtype=np.int64)
    _core.basis_rotate(X, np.ascontiguousarray(np.column_stack(columns)), done, X.shape[1], threads)
    if not any(parts):
        return X[: len(columns)]
    out = np.empty((len(values), X.shape[1]), complex)
    for row, at, sign in zip(out, first, parts):
        row.real = X[at]
        row.imag = sign * X[at + 1] if sign else 0.0
    return out


def _phases(R):
    """Of each row the phase of its largest entry, so that dividing makes that entry positive."""
    phase = np.ones(len(R), R.dtype)
    for i, row in enumerate(R):
        top = row[np.argmax(np.abs(row))]
        phase[i] = top / abs(top) if top != 0.0 else 1.0
    return phase


def _timescales(values, rates):
    modulus = np.abs(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        # near one the rate holds more digits than the modulus
        near = np.isrealobj(values) & (np.real(rates) < 0.5)
        return np.where(
            modulus >= 1.0,
            np.inf,
            -1.0 / np.where(near, np.log1p(-np.real(rates)), np.log(modulus)),
        )
