"""Leading eigenvalues of a chain with left and right eigenvectors, and with every copy of a
multiple eigenvalue.

Everything runs on S = D^(1/2) P D^(-1/2), D = diag(pi), for chains without detailed balance too. S
is a contraction, and sqrt(pi) is both its left and its right eigenvector for 1: an orthogonal
projection deflates the known pair.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._runtime import validate
from .._runtime.checkpoint import fingerprint, remembered_seed
from .._runtime.memory import forecast_memory
from .._runtime.random import philox_key
from .._runtime.resumable import resumable
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, Callback, FloatArray, IntArray, Path
from .._runtime.warn import warn_unconverged
from ..chains.chain import MarkovChain, require_chain
from ..chains.symmetrized import balanced, symmetrized
from ..equilibrium.structure import structure
from ..errors import InvalidChainError, ReducibleChainError
from ..linalg.eigensearch import BLOCK, EigenpairSearch
from ..linalg.eigenvalue_selection import EigenvalueSelection
from ..linalg.inverse_operator import InverseOperator
from ..linalg.operator import Operator, OperatorKind, RandomVectors
from ..linalg.orthonormal_basis import n_rows
from ..linalg.ritz import NumberArray
from ..linalg.rounding import RITZ_ROUNDING
from .eigen_inverse import ProofOptions, SmallRates, preconditioner
from .eigen_proof import ReversibleProof, proven
from .eigen_result import EigenResult, Pairs, phases, timescales
from .gap_result import FAILURE

WHICH = tuple(EigenvalueSelection.KEYS)
MAX_MATVECS = 100_000
# Residuals, in units of the rounding of a Ritz value, that count as converged whatever tol is.
ACCURATE = 4.0
# Vectors are locked at this part of the residual at which a pair has converged: eigenvectors are
# combinations of locked vectors, and inherit the residuals of all of them.
LOCKED = 0.25


def eigenpairs(
    chain: MarkovChain,
    k: int = 6,
    *,
    which: str = "largest",
    tol: float = 1e-8,
    max_matvecs: int | None = None,
    failure_probability: float = FAILURE,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> EigenResult:
    """The eigenvalue 1 and the k - 1 leading others of an irreducible chain, with left and right
    eigenvectors.

    Parameters
    ----------
    chain : MarkovChain
    k : int
        Between 1 and n_states.
    which : {"largest", "modulus", "both", "smallest"}
        The others: of largest real part (the slowest processes), of largest modulus, alternately of
        the largest and the smallest real part, or of smallest real part.
    tol : float
        Rates 1 - lambda of a reversible chain are proven to tol (1 - |lambda|). Without detailed
        balance residuals are below this, or below 6e-14 where a periodic chain has modulus one.
    max_matvecs : int, optional
        Products and solves at most, 100 000 by default.
    failure_probability : float
        Of all proofs for a reversible chain together, over its random starts and rounding errors.
    rng : seed or Generator, optional
        For the random starts.
    num_threads : int, optional
    progress : bool
        Show a progress bar.
    callback : callable, optional
        Called with a dict after every convergence check.
    checkpoint : path, optional
        A file to which the search is saved every half minute, and at Ctrl-C; the same call goes on
        from it with the same bits. It is removed when the call is done.

    Returns
    -------
    EigenResult

    Raises
    ------
    ReducibleChainError
        Transient states, or more than one closed class.
    MemoryForecastError
        The basis, about 2 k + 33 vectors (as many again for the left ones of a chain that is not
        reversible), does not fit.
    Interrupted
        Ctrl-C; `partial` has the pairs that were found, those of a reversible chain not proven.

    Notes
    -----
    Everything runs on S = D^(1/2) P D^(-1/2), D = diag(pi); its left and right eigenvector for 1,
    sqrt(pi), is deflated.

    Reversible chains: block Lanczos with full reorthogonalisation and thick restarts (Wu & Simon
    2000); where this would be slow, block Davidson, preconditioned by a multigrid cycle (which
    counts as two products), or the inverse of I - S + sigma by elimination, where it costs less.
    Their proof: a Lanczos recurrence in the complement of what was found excludes other eigenvalues
    (van Dorsselaer, Hochstenbach & van der Vorst 2000), and the residuals bound the errors; pairs
    whose rates rounding hides from S are found again by the inverse, with sigma near their rates.

    Other chains: block Krylov-Schur (Stewart 2001), a second time on the transpose for the left
    vectors. Where this would be slow for the slowest processes, or their rates are below what
    products resolve, on the inverse of I - S through sparse elimination; elsewhere the basis grows.

    Converged pairs are locked, and searches in their complement follow until one finds no copy.

    Examples
    --------
    >>> import numpy as np, fastebm as fe
    >>> cycle = fe.MarkovChain.from_edges(np.arange(12), (np.arange(12) + 1) % 12, symmetric=True)
    >>> e = fe.eigenpairs(cycle, 4, rng=0)
    >>> e.eigenvalues.round(6).tolist(), e.multiplicities.tolist(), e.is_cut
    ([1.0, 0.866025, 0.866025, 0.5], [1, 2, 2, 1], True)
    """
    require_chain(chain)
    k = validate.count(k, "k")
    if k > chain.n_states:
        raise InvalidChainError(
            f"k must be at most the number of states, {chain.n_states}, got {k}"
        )
    validate.choice(which, "which", WHICH)
    tol = validate.number(tol, "tol", above=0.0, below=1.0)
    limit = MAX_MATVECS if max_matvecs is None else validate.count(max_matvecs, "max_matvecs")
    failure = validate.number(failure_probability, "failure_probability", above=0.0, below=1.0)
    threads = resolve_threads(num_threads)
    rng = remembered_seed(rng, checkpoint)
    key = philox_key(rng)
    if not structure(chain).is_irreducible:
        raise ReducibleChainError(
            "eigenpairs needs an irreducible chain: other classes have eigenvalues of their own; "
            "use chain.largest_class(), or chain.restrict(labels == c) with labels from "
            "structure(chain)"
        )
    work: _Searches | None = None
    with resumable(
        "eigenpairs",
        checkpoint,
        lambda: fingerprint(chain.fingerprint(), k, which, tol, limit, failure, key),
        partial=lambda: None if work is None else work.partial(run.wall_s),
        progress=progress,
        callback=callback,
        seed=rng,
    ) as run:
        searches = _Searches(chain, k, which, tol, key, threads)
        run.restore(searches.state, searches.restore)
        work = searches  # before an earlier state is restored, there is no partial result

        def step_done(value: Any, residual: float) -> None:
            run.save()
            run(
                searches.n_matvecs,
                eigenvalue=float(np.real(value)),
                residual=residual,
                n_found=searches.n_found,
            )

        work.run(limit, step_done)
        work.prove(ProofOptions(tol, failure, key, limit, step_done))
        found = work.result(run.wall_s)
    if not found.converged and work.law.converged:
        warn_unconverged(
            f"eigenpairs: {np.count_nonzero(found.converged_each)} of {k} pairs converged to "
            f"{tol:.3g} after {found.n_matvecs} products; raise max_matvecs"
        )
    return found


class _Searches:
    """The searches of one call: for the right vectors and, without detailed balance, for the left
    ones."""

    def __init__(
        self,
        chain: MarkovChain,
        k: int,
        which: str,
        tol: float,
        key: npt.NDArray[np.uint64],
        threads: int,
    ) -> None:
        self.chain, self.k, self.threads, self.tol = chain, k, threads, tol
        self.proof: ReversibleProof | None = None
        self.law = chain._law.take(threads)
        self.log_pi = self.law.log_pi
        self.symmetric = chain.is_reversible
        self._small = SmallRates(chain, self.log_pi, threads) if self.symmetric else None
        kinds: tuple[OperatorKind, ...] = () if k == 1 else ("right", "left")
        if self.symmetric:
            kinds = kinds[:1]
        rows = len(kinds) * (n_rows(k - 1, chain.n_states, BLOCK, self.symmetric) + BLOCK) + 2 * k
        forecast_memory(8 * chain.n_states * rows, "the basis of eigenpairs", "lower k")
        S = symmetrized(chain).operator if self.symmetric else balanced(chain, self.log_pi)
        self.key, self.which = key, which
        self.root: FloatArray = np.exp(0.5 * self.log_pi)
        self.searches = [self._search(S, kind) for kind in kinds]

    def _search(self, S: _core.Scaled, kind: OperatorKind) -> EigenpairSearch:
        operator = Operator(S, kind, symmetric=self.symmetric, threads=self.threads)
        small = self._small if self.which == "largest" else None

        def locked(value: Any) -> float:
            return max(LOCKED * self.accuracy(value), RITZ_ROUNDING)

        def gives_way() -> bool:
            return small is not None and small.pays(operator.n_matvecs)

        def invert(worth: float) -> InverseOperator | None:
            chain = self.chain if kind == "right" else self.chain.reverse()
            inverse = InverseOperator(chain._scaled, self.root, operator)
            return inverse if inverse.prepare(lambda *_, **__: None, worth) else None

        return EigenpairSearch(
            operator,
            self.root,
            self.which,
            self.k - 1,
            locked,
            RandomVectors(self.key),
            preconditioner=partial(preconditioner, small, self.threads) if small else None,
            inverse=invert if self.which == "largest" and not self.symmetric else None,
            gives_way=gives_way if small else None,
        )

    def accuracy(self, value: Any) -> float:
        """The residual at which a pair has converged."""
        size: float = max(self.tol * (1.0 - abs(value)), ACCURATE * RITZ_ROUNDING)
        return size

    def _wanted(self, rates: NumberArray) -> FloatArray:
        """What rates of a chain without detailed balance may move by: tol (1 - |lambda|). Of a
        periodic chain, eigenvalues of modulus one count where they are known to rounding."""
        modulus = np.abs(1.0 - rates)
        wanted = self.tol * (2.0 * np.real(rates) - np.abs(rates) ** 2) / (1.0 + modulus)
        floor = ACCURATE * RITZ_ROUNDING
        if structure(self.chain).period > 1:
            wanted = np.where(np.abs(1.0 - modulus) <= floor, floor, wanted)
        found: FloatArray = wanted
        return found

    @property
    def n_matvecs(self) -> int:
        return sum(search.operator.n_matvecs for search in self.searches)

    @property
    def n_found(self) -> int:
        return 1 + (len(self.searches[0].values) if self.searches else 0)

    def state(self) -> dict[str, Any]:
        """Arrays from which `restore` goes on with the same bits."""
        return {
            f"{i}.{name}": array
            for i, search in enumerate(self.searches)
            for name, array in search.state().items()
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        for i, search in enumerate(self.searches):
            state = {
                name.partition(".")[2]: array
                for name, array in saved.items()
                if name.startswith(f"{i}.")
            }
            search.restore(state)

    def run(self, limit: int, step_done: Callable[[Any, float], None]) -> None:
        """Run all searches; they share `limit` products."""
        for search in self.searches:
            if search is not self.searches[0]:
                # the left vectors of the values that were found: others may be as large
                values = self.searches[0].values
                search.selection = EigenvalueSelection.near(values[self._best(values)])
            search.run(limit - self.n_matvecs + search.operator.n_matvecs, step_done)

    def prove(self, options: ProofOptions) -> None:
        """Prove the pairs of a reversible chain."""
        if self._small is not None and self.n_found > 1:
            search = self.searches[0]
            self.proof = ReversibleProof(self.chain, search, self.order, options, self._small)

    # --- the result -------------------------------------------------------------------------------

    def partial(self, wall_s: float) -> EigenResult:
        """The EigenResult of all pairs that have converged, after an interrupt."""
        for search in self.searches:
            search.lock_converged()
        return self.result(wall_s)

    def result(self, wall_s: float) -> EigenResult:
        """The EigenResult of the locked pairs."""
        if not self.searches or not len(self.searches[0].values):
            return self._pack(Pairs.none(self.chain.n_states), wall_s)
        spans = [search.span() for search in self.searches]
        found = Pairs.of(spans, self.order(spans[0][1].values), self.symmetric, self.threads)
        return self._pack(found.first(self.k - 1), wall_s)

    def _best(self, values: NumberArray) -> IntArray:
        """Positions of the k - 1 wanted values; one more where they end within a conjugate pair."""
        return EigenvalueSelection.of(self.which, self.k - 1).positions(values)

    def order(self, values: NumberArray) -> IntArray:
        """The positions of `_best` in the order of the result."""
        best = self._best(values)
        which = "largest" if self.which == "both" else self.which
        ordered = EigenvalueSelection.of(which, len(best)).choose(values[best])[0]
        return best[ordered]

    def _pack(self, found: Pairs, wall_s: float) -> EigenResult:
        """The result from the pairs other than the first."""
        phase, values = phases(found.right), found.values
        R, L = found.right / phase[:, None], found.left * phase[:, None]
        with np.errstate(all="ignore"):
            right = np.concatenate([np.ones((1, len(self.root))), R / self.root]).T
            left = np.concatenate([np.exp(self.log_pi)[None], L * self.root]).T
        eigenvalues, rates = np.append(1.0, values), np.append(0.0, found.rates)
        # but for the proof of a reversible chain
        each = np.append(True, (not self.symmetric) & (found.moves <= self._wanted(rates[1:])))
        each &= self.law.converged
        is_verified = self.k == 1 or not self.symmetric
        is_verified &= all(search.verified for search in self.searches)
        result = EigenResult(
            lag=self.chain.lag,
            eigenvalues=eigenvalues,
            right=right,
            left=left,
            residuals=np.append(0.0, found.residuals),
            left_residuals=np.append(0.0 if self.law.converged else np.inf, found.left_residuals),
            conditions=np.append(1.0, found.conditions),
            rates=rates,
            timescales=timescales(eigenvalues, rates),
            multiplicities=self._multiplicities(eigenvalues),
            next_eigenvalue=self.searches[0].following if self.searches else None,
            is_cut=self._is_cut(values),
            verified=is_verified and self.law.converged,
            converged=len(eigenvalues) >= self.k and bool(each.all()),
            converged_each=each,
            n_matvecs=self.n_matvecs,
            method=self._method(),
            criterion="error" if self.symmetric else "residual",
            wall_s=wall_s,
            rate_errors=np.where(np.arange(len(eigenvalues)) > 0, np.inf, 0.0),
        )
        return result if self.proof is None else proven(result, self.proof)

    def _method(self) -> str:
        if not self.searches:
            return "closed form"
        if not self.symmetric:
            inverted = any(search.change.inverse for search in self.searches)
            return "shift-invert" if inverted else "block krylov-schur"
        return "block davidson" if self.searches[0].is_preconditioned else "block lanczos"

    def _multiplicities(self, values: NumberArray) -> IntArray:
        same = 2.0 * np.array([self.accuracy(value) for value in values]) + RITZ_ROUNDING
        near = np.abs(values[:, None] - values) <= same[:, None]
        counts: IntArray = np.count_nonzero(near, axis=1)
        return counts

    def _is_cut(self, values: NumberArray) -> bool:
        if not len(values):
            return False
        conjugate_missing = np.iscomplexobj(values) and np.imag(values[-1]) > 0.0
        search = self.searches[0]
        left_out = len(search.values) - len(values)
        if conjugate_missing or self._copies(search.values, search.following):
            return True
        return left_out > 0 and any(
            self._copies(search.values, value) > self._copies(values, value) for value in values
        )

    def _copies(self, values: NumberArray, value: Any) -> int:
        """How many of the values are copies of `value`, which may be None."""
        if value is None:
            return 0
        return int(np.count_nonzero(np.abs(values - value) <= self.searches[0].same(value)))
