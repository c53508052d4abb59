"""analyze: everything that applies to a chain in one call, with the reason wherever something does
not."""

import math
import time

import numpy as np

from .._runtime import validate
from .._runtime.results import Result, result
from .._runtime.threads import resolve_threads
from .._version import __version__
from ..chains.chain import is_chain
from ..chains.tilt import tilt
from ..equilibrium.detailed_balance import BalanceResult, detailed_balance
from ..equilibrium.stationary import StationaryResult, stationary
from ..equilibrium.structure import StructureResult, closed_class, require_aperiodic, structure
from ..errors import FastebmError, Interrupted, InvalidChainError
from ..hitting.bounds import BoundsResult, hitting_bounds
from ..hitting.times import HittingResult, hitting_times
from ..mixing.curve import MixingResult, mixing_curve
from ..simulation.hitting_sample import HittingSample, simulate_hitting_times
from ..spectral.eigenpairs import EigenResult, eigenpairs
from ..spectral.gap import spectral_gap
from ..spectral.gap_result import GapResult
from .answers import PARTS, say_run
from .facts import (
    describe,
    most_probable,
    parts_of,
    rare,
    reversible,
    score_of,
    seeded,
    standard_errors,
    target_of,
    versions,
)
from .files import plain, write_json, write_text

# Relative accuracy of the exit rate: a bound needs no more, and each further digit costs solves.
BOUNDS_TOL = 1e-3
# Eigenvalues that are computed unasked, and up to which size: finding them all, with a second
# search for copies that were missed, takes tens of times as long as a gap (621 products against 60
# on a walk on 20 339 associated words, 2568 against 72 on english-phones).
N_EIGENVALUES, MAX_UNASKED = 6, 5_000


@result
class Report(Result):
    """What `analyze` found. A part that does not apply, or that failed, is None; `errors` says why.

    Attributes
    ----------
    version : str
        Of fastebm.
    versions : dict
        Of fastebm, python, numpy and scipy.
    seed : int or None
        Repeats the run; None where a generator was passed, whose state is the caller's.
    wall_s : float
        Seconds; `timings` has those of each part.
    parameters : dict
        tol, n_steps, n_walkers, max_steps, level, spectrum, betas.
    chain : dict
        n_states, nnz, dtype, storage, nbytes, labels, reward, beta.
    score : ndarray (n_states,) or None
        Of the states, by default the chain's reward.
    structure : StructureResult
    stationary : StationaryResult or None
    rare : dict or None
        The states with pi below a threshold of 1e-20: threshold, n_states, mass.
    balance : BalanceResult or None
    gaps : dict str -> GapResult
        By kind. Reversible: "spectral", "absolute". Otherwise "absolute" (1 - SLEM) and "additive",
        which bounds hitting times.
    spectrum : EigenResult or None
        The leading eigenpairs, on the closed class: of largest value where the chain is reversible,
        else of largest modulus.
    sweep : dict float -> GapResult
        By temperature beta, the gap of the tilted chain: "spectral" where it is reversible, else
        "absolute".
    mixing_start : dict or None
        The most probable state: state, label, pi.
    mixing : MixingResult or None
        From there; with bounds where the chain is reversible.
    solve : HittingResult or None
        Mean times to reach the superior states, solved; carries the bound from the gap.
    bounds : BoundsResult or None
        What the theory says of these times, each bound beside the value; the exit rate to 1e-3.
    sample : HittingSample or None
        The same by Monte Carlo, from starts drawn from pi.
    standard_errors : float or None
        (Monte Carlo mean - solved mean) in standard errors of the former: beyond 3 in size they
        disagree. None where one of the two is missing, infinite or a lower bound only.
    errors : list of dict
        part, error (class name), text: what the chain could not answer.
    interrupted : str or None
        The part that Ctrl-C stopped.
    converged : bool
        Every part that ran did.
    timings : dict str -> float
        Seconds.
    """

    version: str
    versions: dict
    seed: int | None
    wall_s: float
    parameters: dict
    chain: dict
    score: np.ndarray | None
    structure: StructureResult | None
    stationary: StationaryResult | None
    rare: dict | None
    balance: BalanceResult | None
    gaps: dict
    spectrum: EigenResult | None
    sweep: dict
    mixing_start: dict | None
    mixing: MixingResult | None
    solve: HittingResult | None
    bounds: BoundsResult | None
    sample: HittingSample | None
    standard_errors: float | None
    errors: list
    interrupted: str | None
    converged: bool
    timings: dict

    def to_dict(self):
        """Plain values that `json.dumps` accepts; arrays of more than 1000 entries as their min,
        max and n."""
        return plain(vars(self))

    def to_json(self, path=None):
        """The report as JSON text, also written to the file `path`, which is replaced as a whole or
        not at all."""
        return write_json(self.to_dict(), path)

    def to_html(self, path=None, *, title=None):
        """The report as one HTML page that needs no network, also written to the file `path`,
        replaced as `to_json` does.

        Each part is a question with its answer in words, its numbers with bounds, figures, and the
        evidence; what has no answer says why. The inputs, the versions and the JSON stand below.

        Parameters
        ----------
        path : str or path, optional
        title : str, optional
            What the chain is, for the head of the page.

        Returns
        -------
        str

        Raises
        ------
        ImportError
            Jinja2 or Matplotlib is missing; the text names the remedy.

        Examples
        --------
        >>> import fastebm as fe
        >>> fe.analyze(fe.Hypercube(3), rng=0).to_html(title="the cube")[:15]  # needs the extra `plot`
        '<!DOCTYPE html>'
        """
        from .html import page

        return write_text(page(self, title), path)

    def summary(self):
        """The report in words, several lines."""
        return "\n".join([*(line for part in PARTS for line in part.say(self)), *say_run(self)])


def analyze(
    chain,
    *,
    score=None,
    level=None,
    spectrum=None,
    betas=(),
    tol=1e-8,
    n_steps=100,
    n_walkers=10_000,
    max_steps=100_000,
    rng=None,
    num_threads=None,
    progress=False,
    callback=None,
):
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
        Leading eigenpairs to compute, 0 for none: takes tens of times as long as a gap, and memory
        for about 4 k + 33 vectors of n_states doubles, twice as many without detailed balance.
        None: six up to 5000 states, none above.
    betas : sequence of float
        Temperatures at which a reward tilts the chain: the gap of each. The reward is a tilted
        chain's own, applied to its reference, else the score. Each beta takes as long as the gap of
        such a chain, longer the smaller it is, and O(n_states) memory.
    tol : float
        Relative accuracy of gaps and of hitting times.
    n_steps : int
        Length of the mixing curve.
    n_walkers, max_steps : int
        Of the Monte Carlo.
    rng : seed or Generator, optional

    Returns
    -------
    Report
        What the chain cannot answer (several closed classes, a period) stands in `errors`; all else
        is answered.

    Raises
    ------
    InvalidChainError
        An argument that does not fit the chain, or a level that no score reaches.
    Interrupted
        Ctrl-C; `partial` is the Report so far.

    Examples
    --------
    >>> import fastebm as fe
    >>> walk = fe.MarkovChain.from_edges([0, 1, 2, 0], [1, 2, 0, 0], symmetric=True, reward=[0.0, 0.0, 1.0])
    >>> report = fe.analyze(walk, level=1.0, rng=0)
    >>> report.balance.is_reversible, round(report.gaps["spectral"].gap, 12), round(report.solve.mean_from_pi, 12)
    (True, 1.166666666667, 1.809523809524)
    >>> abs(report.standard_errors) < 4
    True
    """
    is_chain(chain)
    betas = [
        math.inf if beta == math.inf else validate.number(beta, "beta", above=0.0) for beta in betas
    ]
    target = None if level is None and (score is None or betas) else target_of(chain, score, level)
    score = score_of(chain, score)
    if betas and score is None and not hasattr(chain, "beta"):
        raise InvalidChainError(
            "betas need a reward of the states and the chain has none; give score="
        )
    if spectrum is None:
        spectrum = N_EIGENVALUES if chain.n_states <= MAX_UNASKED else 0
    parameters = {
        "tol": validate.number(tol, "tol", above=0.0, below=1.0),
        "n_steps": validate.count(n_steps, "n_steps", 0),
        "n_walkers": validate.count(n_walkers, "n_walkers"),
        "max_steps": validate.count(max_steps, "max_steps"),
        "level": level,
        "spectrum": validate.count(spectrum, "spectrum", 0),
        "betas": betas,
    }
    seed, rng = seeded(rng)
    options = {"num_threads": resolve_threads(num_threads), "progress": progress}
    run = _Run(chain, score, target, parameters, seed, rng, options, callback)
    try:
        run.all()
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"analyze was interrupted in the part {run.current}", run.report(error)
        ) from error
    return run.report()


class _Run:
    """The parts of one call, found one after the other."""

    def __init__(self, chain, score, target, parameters, seed, rng, options, callback):
        self.chain, self.score, self.target, self.parameters, self.seed, self.rng = (
            chain,
            score,
            target,
            parameters,
            seed,
            rng,
        )
        self.options, self.callback = options, callback
        self.found, self.errors, self.timings = {}, [], {}
        self.current, self.begin = "structure", time.perf_counter()

    def part(self, name, function, *args, key=None, long=True, **options):
        """function(*args, **options), kept under `name`, or there under `key`; where the chain has
        no answer the reason is kept."""
        self.current, self.key, begin = name, key, time.perf_counter()
        options["num_threads"] = self.options["num_threads"]
        if long:
            options["progress"] = self.options["progress"]
            options["callback"] = self.callback and (
                lambda info: self.callback({"part": name, **info})
            )
        try:
            self.keep(self.found, function(*args, **options))
        except FastebmError as error:
            text = str(error) if key is None else f"at {key:g}: {error}"
            self.errors.append({"part": name, "error": type(error).__name__, "text": text})
        finally:
            self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - begin
        return self.found.get(name)

    def keep(self, found, value):
        found[self.current] = (
            value if self.key is None else found.get(self.current, {}) | {self.key: value}
        )

    def all(self):
        chain = self.chain
        self.part("structure", structure, chain, long=False)
        if self.part("stationary", stationary, chain):
            self.part("balance", detailed_balance, chain, long=False)
        for kind in ("spectral", "absolute") if reversible(chain) else ("absolute", "additive"):
            self.part(
                kind, spectral_gap, chain, kind=kind, tol=self.parameters["tol"], rng=self.rng
            )
        self.part("mixing", self.mixing)
        if self.target is not None:
            gap = self.found.get("spectral") or self.found.get("additive")
            solve = self.part(
                "solve", hitting_times, chain, self.target, tol=self.parameters["tol"], gap=gap
            )
            if solve is not None and solve.n_infinite == 0:
                self.part(
                    "bounds",
                    hitting_bounds,
                    chain,
                    self.target,
                    gap=gap,
                    hitting=solve,
                    tol=BOUNDS_TOL,
                )
            self.part(
                "sample",
                simulate_hitting_times,
                chain,
                self.target,
                rng=self.rng,
                n_walkers=self.parameters["n_walkers"],
                max_steps=self.parameters["max_steps"],
            )
        if self.parameters[
            "spectrum"
        ]:  # last, as what is asked for more rarely and may take longer
            self.part("spectrum", self.spectrum)
        for beta in self.parameters["betas"]:
            self.part("sweep", self.tilted_gap, beta, key=beta)

    def spectrum(self, **options):
        inside = closed_class(self.chain)
        chain = self.chain if inside is None else self.chain.restrict(inside)
        k = min(self.parameters["spectrum"], chain.n_states)
        which = "largest" if chain.is_reversible else "modulus"
        return eigenpairs(
            chain, k, which=which, tol=self.parameters["tol"], rng=self.rng, **options
        )

    def tilted_gap(self, beta, **options):
        chain, threads = self.chain, options["num_threads"]
        reference, reward = (
            (chain.reference, chain.reward) if hasattr(chain, "beta") else (chain, self.score)
        )
        tilted = tilt(reference, reward, beta, num_threads=threads)
        kind = "spectral" if reversible(tilted) else "absolute"
        return spectral_gap(tilted, kind=kind, tol=self.parameters["tol"], rng=self.rng, **options)

    def mixing(self, **options):
        require_aperiodic(self.chain, "convergence to the stationary distribution")
        start = most_probable(self.chain)["state"]
        gap = (
            self.found.get("absolute") if "spectral" in self.found else None
        )  # 1 - SLEM bounds nothing without reversibility
        return mixing_curve(self.chain, start, self.parameters["n_steps"], gap=gap, **options)

    def report(self, interruption=None):
        found = dict(self.found)
        partial = getattr(interruption, "partial", None)
        if isinstance(partial, _KIND[self.current]):
            self.keep(found, partial)
        law, solve, sample = (found.get(name) for name in ("stationary", "solve", "sample"))
        return Report(
            version=__version__,
            versions=versions(),
            seed=self.seed,
            wall_s=time.perf_counter() - self.begin,
            parameters=self.parameters,
            chain=describe(self.chain),
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
            bounds=found.get("bounds"),
            sample=sample,
            standard_errors=standard_errors(solve.mean_from_pi, sample)
            if solve and sample
            else None,
            errors=list(self.errors),
            interrupted=None if interruption is None else self.current,
            converged=all(np.all(getattr(item, "converged", True)) for _, item in parts_of(found)),
            timings=dict(self.timings),
        )


_KIND = {
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
