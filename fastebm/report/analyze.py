"""analyze: everything that applies to a chain in one call, and the reason for each part that does
not apply."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.checkpoint import fingerprint, remembered_seed
from .._runtime.random import generator_state, restore_generator
from .._runtime.results import Result
from .._runtime.resumable import resumable, stage
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, BoolArray, Callback, FloatArray, Path
from .._version import __version__
from ..chains.chain import MarkovChain, require_chain
from ..chains.tilt import TiltedChain
from ..equilibrium.detailed_balance import BalanceResult, detailed_balance
from ..equilibrium.stationary import StationaryResult, stationary
from ..equilibrium.structure import StructureResult, on_closed_class, require_aperiodic, structure
from ..errors import FastebmError, Interrupted, InvalidChainError
from ..hitting.bounds import BoundsResult, hitting_bounds
from ..hitting.times import HittingResult, hitting_times
from ..mixing.curve import MixingResult, mixing_curve
from ..simulation.hitting_sample import HittingSample, simulate_hitting_times
from ..spectral.eigen_result import EigenResult
from ..spectral.eigenpairs import eigenpairs
from ..spectral.gap import spectral_gap
from ..spectral.gap_result import GapResult
from .facts import (
    describe,
    listed_labels,
    most_probable,
    named,
    parts_of,
    rare,
    reversible,
    score_of,
    seeded,
    standard_errors,
    target_of,
    versions,
)
from .result import Report
from .sweep import checked_betas, tilted_at

# Relative accuracy of the exit rate: a bound needs no more, and each further digit costs solves.
BOUNDS_TOL = 1e-3
# Number of eigenvalues that are computed by default, and the largest chain for which they are. With
# the second search for missed copies they take tens of times as long as a gap: 621 products against
# 60 on a walk on 20 339 associated words, 2568 against 72 on english-phones.
N_EIGENVALUES, MAX_STATES_FOR_SPECTRUM = 6, 5_000

# The result of each part: an interrupted part keeps a partial result of this type.
RESULT_TYPES: dict[str, type[Result]] = {
    "structure": StructureResult,
    "stationary": StationaryResult,
    "balance": BalanceResult,
    "spectral": GapResult,
    "absolute": GapResult,
    "additive": GapResult,
    "mixing": MixingResult,
    "solve": HittingResult,
    "bounds": BoundsResult,
    "sample": HittingSample,
    "spectrum": EigenResult,
    "sweep": GapResult,
}


def analyze(
    chain: MarkovChain,
    *,
    score: npt.ArrayLike | None = None,
    level: float | None = None,
    spectrum: int | None = None,
    betas: Sequence[float] = (),
    tol: float = 1e-8,
    n_steps: int = 100,
    n_walkers: int = 10_000,
    max_steps: int = 100_000,
    rng: RNG = None,
    num_threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> Report:
    """Everything that applies to `chain`: structure, stationary law, detailed balance, gaps, mixing
    and hitting times.

    Parameters
    ----------
    chain : MarkovChain
    score : array_like (n_states,), optional
        Default: the chain's own reward.
    level : float, optional
        States of score >= level are superior: their hitting times are solved, sampled and bounded
        by the gap. None: no hitting times.
    spectrum : int, optional
        Number of leading eigenpairs, 0 for none. They take tens of times as long as a gap, and
        memory for about 4 k + 33 vectors of n_states doubles, twice as many without detailed
        balance. None: six up to 5000 states, none above.
    betas : sequence of float
        Temperatures at which a reward tilts the chain; the gap at each is computed. A tilted chain
        uses its own reward and its reference; any other chain uses the score. Each beta takes as
        long as the gap of such a chain, longer the smaller it is, and O(n_states) memory.
    tol : float
        Relative accuracy of gaps and of hitting times.
    n_steps : int
        Length of the mixing curve.
    n_walkers, max_steps : int
        Of the Monte Carlo simulation.
    rng : seed or Generator, optional
    num_threads : int, optional
        None: the CPUs that this process may use, capped by OMP_NUM_THREADS.
    progress, callback
        A bar on stderr; callback(info), where info["part"] names the part that is running.
    checkpoint : path, optional
        A file from which an interrupted call resumes with the same results (with ``rng=None`` on
        the same random numbers): it keeps the parts that are done, and the state of the one under
        way. It is removed when the call is done.

    Returns
    -------
    Report
        Parts without an answer (several closed classes, a period) are None, and `errors` gives the
        reasons.

    Raises
    ------
    InvalidChainError
        An argument that does not fit the chain, or a level that no score reaches.
    Interrupted
        Ctrl-C; `partial` is the Report so far.

    Examples
    --------
    >>> import fastebm as fe
    >>> edges = [0, 1, 2, 0], [1, 2, 0, 0]
    >>> walk = fe.MarkovChain.from_edges(*edges, symmetric=True, reward=[0.0, 0.0, 1.0])
    >>> report = fe.analyze(walk, level=1.0, rng=0)
    >>> report.balance.is_reversible, round(report.gaps["spectral"].gap, 12)
    (True, 1.166666666667)
    >>> round(report.solve.mean_from_pi, 12), abs(report.standard_errors) < 4
    (1.809523809524, True)
    """
    require_chain(chain)
    betas = checked_betas(betas)
    target = None if level is None and (score is None or betas) else target_of(chain, score, level)
    checked_score = score_of(chain, score)
    if betas and checked_score is None and not hasattr(chain, "beta"):
        raise InvalidChainError(
            "betas need a reward of the states and the chain has none; give score="
        )
    if spectrum is None:
        spectrum = N_EIGENVALUES if chain.n_states <= MAX_STATES_FOR_SPECTRUM else 0
    parameters = {
        "tol": validate.number(tol, "tol", above=0.0, below=1.0),
        "n_steps": validate.count(n_steps, "n_steps", 0),
        "n_walkers": validate.count(n_walkers, "n_walkers"),
        "max_steps": validate.count(max_steps, "max_steps"),
        "level": level,
        "spectrum": validate.count(spectrum, "spectrum", 0),
        "betas": betas,
    }
    rng = remembered_seed(rng, checkpoint)
    analysis = Analysis(
        chain,
        checked_score,
        target,
        parameters,
        *seeded(rng),
        resolve_threads(num_threads),
        progress,
        callback,
    )
    start = generator_state(analysis.rng)
    interruption: KeyboardInterrupt | None = None

    def partial() -> Report:
        return analysis.report(interruption)

    def identity() -> str:
        # A tilted chain is swept from its reference, and the same P may be tilted from another.
        own = (chain.lag, getattr(chain, "beta", None))
        return fingerprint(chain.fingerprint(), *own, checked_score, target, parameters, start)

    try:
        with resumable("analyze", checkpoint, identity, partial=partial, seed=rng):
            try:
                analysis.run()
            except KeyboardInterrupt as error:
                interruption = error
                raise
    except Interrupted as stop:
        text = f"{stop} in the part {analysis.current}"
        raise Interrupted(text, stop.partial) from stop
    return analysis.report()


@dataclass(eq=False)
class Analysis:
    """The parts of one call of `analyze`, computed one after the other."""

    chain: MarkovChain
    score: FloatArray | None
    target: BoolArray | None
    parameters: dict[str, Any]
    seed: int | None
    rng: np.random.Generator
    num_threads: int
    progress: bool
    callback: Callback | None
    found: dict[str, Any] = field(default_factory=dict)
    errors: list[dict[str, str]] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    begin: float = field(default_factory=time.perf_counter)
    # Before the parts, which leave tables in the chain: these depend on what a checkpoint holds.
    about: dict[str, Any] = field(init=False)
    # The part that is running and, if it is one of several, its key in the dictionary.
    current: str = "structure"
    key: float | None = None

    def __post_init__(self) -> None:
        self.about = describe(self.chain)

    def part(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        key: float | None = None,
        is_long: bool = True,
        **options: Any,
    ) -> Any:
        """Keep function(*args, **options) under `name`, or in the dictionary there under `key`; an
        error of the chain is kept in `errors`. Returns what is there, or None."""
        self.current, self.key, begin = name, key, time.perf_counter()
        options["num_threads"] = self.num_threads
        if is_long:
            callback = self.callback
            options["progress"] = self.progress
            options["callback"] = callback and (lambda info: callback({"part": name, **info}))
        try:
            self.keep(self.found, self.resumed(function, *args, **options))
        except FastebmError as error:
            text = str(error) if key is None else f"at {key:g}: {error}"
            self.errors.append({"part": name, "error": type(error).__name__, "text": text})
        finally:
            self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - begin
        return self.found.get(name)

    def resumed(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """function(*args, **options), or its value as a checkpoint has it."""
        if function in (structure, detailed_balance, stationary):
            # the first two are short; the last resumes by itself, and the chain then has its law
            return function(*args, **options)

        def compute() -> tuple[Any, str]:
            return function(*args, **options), generator_state(self.rng)

        key = "" if self.key is None else f" at {self.key!r}"
        value, after = stage(f"{self.current}{key}", compute)
        restore_generator(self.rng, after)
        return value

    def keep(self, found: dict[str, Any], value: Any) -> None:
        """Store `value` in `found` as the current part, or under the current key of it."""
        found[self.current] = (
            value if self.key is None else found.get(self.current, {}) | {self.key: value}
        )

    def run(self) -> None:
        """Compute every part. The spectrum and the temperatures may take longest and come last."""
        chain, tol = self.chain, self.parameters["tol"]
        self.part("structure", structure, chain, is_long=False)
        if self.part("stationary", stationary, chain):
            self.part("balance", detailed_balance, chain, is_long=False)
        for kind in ("spectral", "absolute") if reversible(chain) else ("absolute", "additive"):
            self.part(kind, spectral_gap, chain, kind=kind, tol=tol, rng=self.rng)
        self.part("mixing", self.mixing)
        if self.target is not None:
            self.hitting()
        if self.parameters["spectrum"]:
            self.part("spectrum", self.spectrum)
        for beta in self.parameters["betas"]:
            self.part("sweep", self.tilted_gap, beta, key=beta)

    def hitting(self) -> None:
        chain, target = self.chain, self.target
        gap = self.found.get("spectral") or self.found.get("additive")
        solve = self.part(
            "solve", hitting_times, chain, target, tol=self.parameters["tol"], gap=gap
        )
        if solve is not None and solve.n_infinite == 0:
            options = {"gap": gap, "hitting": solve, "tol": BOUNDS_TOL}
            self.part("bounds", hitting_bounds, chain, target, **options)
        self.part(
            "sample",
            simulate_hitting_times,
            chain,
            target,
            rng=self.rng,
            n_walkers=self.parameters["n_walkers"],
            max_steps=self.parameters["max_steps"],
        )

    def spectrum(self, **options: Any) -> EigenResult:
        chain = on_closed_class(self.chain)
        k = min(self.parameters["spectrum"], chain.n_states)
        which = "largest" if chain.is_reversible else "modulus"
        return eigenpairs(
            chain, k, which=which, tol=self.parameters["tol"], rng=self.rng, **options
        )

    def tilted_gap(self, beta: float, **options: Any) -> GapResult:
        # a tilted chain is swept by the reward that tilts it
        score = None if isinstance(self.chain, TiltedChain) else self.score
        tilted = tilted_at(self.chain, score, beta, options["num_threads"])
        kind = "spectral" if reversible(tilted) else "absolute"
        return spectral_gap(tilted, kind=kind, tol=self.parameters["tol"], rng=self.rng, **options)

    def mixing(self, **options: Any) -> MixingResult:
        require_aperiodic(self.chain, "convergence to the stationary distribution")
        start = most_probable(self.chain)["state"]
        # Without reversibility 1 - SLEM bounds no distance.
        gap = self.found.get("absolute") if "spectral" in self.found else None
        return mixing_curve(self.chain, start, self.parameters["n_steps"], gap=gap, **options)

    def report(self, interruption: KeyboardInterrupt | None = None) -> Report:
        """The Report so far, with the partial result that an interruption holds."""
        found = dict(self.found)
        partial = getattr(interruption, "partial", None)
        if isinstance(partial, RESULT_TYPES[self.current]):
            self.keep(found, partial)
        law, solve, sample = (found.get(name) for name in ("stationary", "solve", "sample"))
        return Report(
            version=__version__,
            versions=versions(),
            seed=self.seed,
            wall_s=time.perf_counter() - self.begin,
            parameters=self.parameters,
            chain=self.about,
            states=listed_labels(self.chain),
            score=self.score,
            structure=found.get("structure"),
            stationary=law,
            rare=None if law is None else rare(law.pi),
            balance=found.get("balance"),
            gaps={
                kind: found[kind] for kind in ("spectral", "absolute", "additive") if kind in found
            },
            spectrum=found.get("spectrum"),
            sweep=found.get("sweep", {}),
            mixing_start=most_probable(self.chain) if "mixing" in found else None,
            mixing=found.get("mixing"),
            solve=solve,
            bounds=(bounds := found.get("bounds")),
            slowest_start=None
            if bounds is None or bounds.mean_bound is None
            else named(self.chain, np.argmax(bounds.mean)),
            sample=sample,
            standard_errors=None
            if solve is None or sample is None
            else standard_errors(solve.mean_from_pi, sample),
            errors=list(self.errors),
            interrupted=None if interruption is None else self.current,
            converged=not self.errors
            and interruption is None
            and all(np.all(getattr(item, "converged", True)) for _, item in parts_of(found)),
            timings=dict(self.timings),
        )
