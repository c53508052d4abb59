"""analyze: everything that applies to a chain in one call, with the reason wherever something does not."""

import json
import math
import os
import platform
import time
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
import scipy
import scipy.sparse as sp

from . import __version__, _validate
from ._runtime import resolve_threads
from .balance import BalanceResult, detailed_balance
from .bounds import BoundsResult, hitting_bounds
from .chain import is_chain
from .errors import FastebmError, Interrupted, InvalidChainError
from .hitting import HittingResult, certificate, hitting_times
from .mixing import MixingResult, mixing_curve
from .results import Result, result, to_json
from .gap import GapResult
from .spectral import spectral_gap
from .stationary import StationaryResult, stationary
from .structure import StructureResult, closed_class, require_aperiodic, structure
from .walk import HittingSample, simulate_hitting_times, superior_states

# Real language models have states that no run ever sees (a sentence start entered with probability 1e-99): below this mass
# a state counts as rare, and what a worst-case bound says there is no news.
RARE = 1e-20
# Arrays up to this length are listed in JSON, longer ones are summarised.
MAX_LISTED = 1000
# Relative accuracy of the exit rate: a bound needs no more, and each further digit costs solves.
BOUNDS_TOL = 1e-3


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
        tol, n_steps, n_walkers, max_steps, level.
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
        By kind. Reversible: "spectral", "absolute". Otherwise "absolute" (1 - SLEM) and "additive", which bounds hitting times.
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
        (Monte Carlo mean - solved mean) in standard errors of the former: beyond 3 in size they disagree. None where one of
        the two is missing, infinite or a lower bound only.
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
        """Plain values that `json.dumps` accepts; arrays of more than 1000 entries as their min, max and n."""
        return plain(vars(self))

    def to_json(self, path=None):
        """The report as JSON text, also written to the file `path`, which is replaced as a whole or not at all."""
        return write_json(self.to_dict(), path)

    def to_html(self, path=None, *, title=None):
        """The report as one HTML page that needs no network, also written to the file `path`, replaced as `to_json` does.

        Each part is a question with its answer in words, its numbers with bounds, figures, and the evidence; what has no answer
        says why. The inputs, the versions and the JSON stand below.

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
        from .report_html import page

        return write_text(page(self, title), path)

    def summary(self):
        """The report in words, several lines."""
        return "\n".join([*(line for part in PARTS for line in part.say(self)), *_say_run(self)])


def analyze(chain, *, score=None, level=None, tol=1e-8, n_steps=100, n_walkers=10_000, max_steps=100_000, rng=None,
            num_threads=None, progress=False, callback=None):
    """Everything that applies to `chain`: structure, stationary law, detailed balance, gaps, mixing and hitting times.

    Parameters
    ----------
    chain : MarkovChain
    score : array_like (n_states,), optional
        Default: the chain's own reward.
    level : float, optional
        States of score >= level are superior: their hitting times are solved, sampled and bounded by the gap. None: no
        hitting times.
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
        What the chain cannot answer (several closed classes, a period) stands in `errors`; all else is answered.

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
    target = None if level is None and score is None else target_of(chain, score, level)
    score = score_of(chain, score)
    parameters = {
        "tol": _validate.number(tol, "tol", above=0.0, below=1.0), "n_steps": _validate.count(n_steps, "n_steps", 0),
        "n_walkers": _validate.count(n_walkers, "n_walkers"), "max_steps": _validate.count(max_steps, "max_steps"), "level": level,
    }
    seed, rng = seeded(rng)
    options = {"num_threads": resolve_threads(num_threads), "progress": progress}
    run = _Run(chain, score, target, parameters, seed, rng, options, callback)
    try:
        run.all()
    except KeyboardInterrupt as error:
        raise Interrupted(f"analyze was interrupted in the part {run.current}", run.report(error)) from error
    return run.report()


class _Run:
    """The parts of one call, found one after the other."""

    def __init__(self, chain, score, target, parameters, seed, rng, options, callback):
        self.chain, self.score, self.target, self.parameters, self.seed, self.rng = chain, score, target, parameters, seed, rng
        self.options, self.callback = options, callback
        self.found, self.errors, self.timings = {}, [], {}
        self.current, self.begin = "structure", time.perf_counter()

    def part(self, name, function, *args, long=True, **options):
        """function(*args, **options), kept under `name`; the reason is kept instead where the chain has no answer."""
        self.current, begin = name, time.perf_counter()
        options["num_threads"] = self.options["num_threads"]
        if long:
            options["progress"] = self.options["progress"]
            options["callback"] = self.callback and (lambda info: self.callback({"part": name, **info}))
        try:
            self.found[name] = function(*args, **options)
        except FastebmError as error:
            self.errors.append({"part": name, "error": type(error).__name__, "text": str(error)})
        finally:
            self.timings[name] = time.perf_counter() - begin
        return self.found.get(name)

    def all(self):
        chain = self.chain
        self.part("structure", structure, chain, long=False)
        if self.part("stationary", stationary, chain):
            self.part("balance", detailed_balance, chain, long=False)
        for kind in ("spectral", "absolute") if reversible(chain) else ("absolute", "additive"):
            self.part(kind, spectral_gap, chain, kind=kind, tol=self.parameters["tol"], rng=self.rng)
        self.part("mixing", self.mixing)
        if self.target is not None:
            gap = self.found.get("spectral") or self.found.get("additive")
            solve = self.part("solve", hitting_times, chain, self.target, tol=self.parameters["tol"], gap=gap)
            if solve is not None and solve.n_infinite == 0:
                self.part("bounds", hitting_bounds, chain, self.target, gap=gap, hitting=solve, tol=BOUNDS_TOL)
            self.part("sample", simulate_hitting_times, chain, self.target, rng=self.rng,
                      n_walkers=self.parameters["n_walkers"], max_steps=self.parameters["max_steps"])

    def mixing(self, **options):
        require_aperiodic(self.chain, "convergence to the stationary distribution")
        start = most_probable(self.chain)["state"]
        gap = self.found.get("absolute") if "spectral" in self.found else None  # 1 - SLEM bounds nothing without reversibility
        return mixing_curve(self.chain, start, self.parameters["n_steps"], gap=gap, **options)

    def report(self, interruption=None):
        found = dict(self.found)
        partial = getattr(interruption, "partial", None)
        if isinstance(partial, _KIND[self.current]):
            found[self.current] = partial
        law, solve, sample = (found.get(name) for name in ("stationary", "solve", "sample"))
        return Report(
            version=__version__, versions=versions(), seed=self.seed, wall_s=time.perf_counter() - self.begin,
            parameters=self.parameters, chain=describe(self.chain), score=self.score, structure=found.get("structure"),
            stationary=law, rare=None if law is None else rare(law.pi),
            balance=found.get("balance"), gaps={kind: found[kind] for kind in ("spectral", "absolute", "additive") if kind in found},
            mixing_start=most_probable(self.chain) if "mixing" in found else None, mixing=found.get("mixing"), solve=solve,
            bounds=found.get("bounds"), sample=sample, standard_errors=standard_errors(solve.mean_from_pi, sample) if solve and sample else None, errors=list(self.errors),
            interrupted=None if interruption is None else self.current,
            converged=all(getattr(item, "converged", True) for item in found.values()), timings=dict(self.timings),
        )


_KIND = {"structure": StructureResult, "stationary": StationaryResult, "balance": BalanceResult, "spectral": GapResult,
         "absolute": GapResult, "additive": GapResult, "mixing": MixingResult, "solve": HittingResult, "bounds": BoundsResult, "sample": HittingSample}


def seeded(rng):
    """(the int that repeats the run, or None where `rng` is no int; a Generator). A seed is drawn for None."""
    if rng is None:
        rng = int(np.random.default_rng().integers(2**53))  # JSON readers keep integers up to here
    seed = int(rng) if isinstance(rng, (int, np.integer)) else None
    return seed, np.random.default_rng(rng)


def versions():
    """Of what computed the numbers."""
    return {"fastebm": __version__, "python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__}


def describe(chain):
    """What a chain is, as a dict."""
    facts = {"n_states": chain.n_states, "nnz": chain.nnz, "dtype": str(chain.dtype), "storage": chain.storage,
             "nbytes": chain.nbytes, "labels": chain.labels is not None, "reward": chain.reward is not None}
    return facts | {"beta": chain.beta} if hasattr(chain, "beta") else facts


def reversible(chain):
    """Whether the chain is reversible on its closed class; False where there are several."""
    try:
        inside = closed_class(chain)
    except FastebmError:
        return False
    return (chain if inside is None else chain.restrict(inside)).is_reversible


def named(chain, state):
    """A state by its number and, where it has one, its label."""
    return {"state": int(state), "label": None if chain.labels is None else str(chain.labels[int(state)])}


def most_probable(chain):
    """The state of largest stationary mass, with that mass."""
    pi = stationary(chain).pi
    return named(chain, np.argmax(pi)) | {"pi": float(pi.max())}


def rare(pi):
    """The states of stationary mass below RARE: how many there are and their mass."""
    below = pi < RARE
    return {"threshold": RARE, "n_states": int(np.count_nonzero(below)), "mass": float(pi[below].sum())}


def score_of(chain, score):
    """The score of the states, by default the chain's reward; None where there is no such vector."""
    score = chain.reward if score is None else score
    return None if score is None or sp.issparse(score) else _validate.vector(score, chain.n_states, "score", allow_minus_inf=True)


def target_of(chain, score, level):
    """The superior states as a bool mask that is not empty; the score defaults to the chain's reward."""
    if level is None:
        raise InvalidChainError("a score needs a level; give level= as well")
    score = score_of(chain, score)
    if score is None:
        raise InvalidChainError("a level needs a score of the states and the chain has no reward vector; give score=")
    target = superior_states(score, level)
    if not target.any():
        raise InvalidChainError(f"no state has a score of {level} or more; the largest is {score.max():.10g}")
    return target


def standard_errors(mean, sample):
    """(Monte Carlo mean - mean) / its standard error, None where that has no meaning."""
    difference, error = sample.mean - mean, sample.std / math.sqrt(sample.n_walkers)
    if sample.mean_is_lower_bound or not math.isfinite(difference):
        return None
    return difference / error if error > 0.0 else (0.0 if difference == 0.0 else math.copysign(math.inf, difference))


def plain(value):
    """`value` as JSON values; arrays of more than 1000 entries become their min, max and n."""
    return to_json(_shortened(value))


def _shortened(value):
    if isinstance(value, Result):
        value = vars(value)
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shortened(item) for item in value]
    if isinstance(value, np.ndarray) and value.size > MAX_LISTED:
        return {"min": value.min(), "max": value.max(), "n": value.size}
    return value


def write_json(value, path=None):
    """The JSON text of plain values; `path` is replaced by it as a whole or not at all."""
    return write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", path)


def write_text(text, path=None):
    """`text`; the file `path` is replaced by it as a whole or not at all."""
    path = None if path is None else Path(path).absolute()
    if path is not None and path.exists() and not path.is_file():  # a device or a pipe must not be replaced by a file
        path.write_text(text, encoding="utf-8")
    elif path is not None:
        path = path.resolve()  # the file itself is replaced, not a link to it
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            draft.write_text(text, encoding="utf-8")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return text


_CAVEAT = {True: "", False: " (NOT CONVERGED)"}


def _say_chain(report):
    c = report.chain
    yield f"chain: {c['n_states']:,} states, {c['nnz']:,} entries, {c['nbytes'] / 1e6:,.1f} MB ({c['storage']})"


def _say_structure(report):
    s = report.structure
    if s is None:
        return
    n_closed, n_transient = int(s.closed.sum()), int(s.size[~s.closed].sum())
    word = "irreducible"
    if not s.is_irreducible:
        word = f"{s.n_classes:,} communicating classes, {n_closed:,} of them closed, {n_transient:,} transient states"
    yield f"structure: {word}; period {s.period}{' (aperiodic)' if s.is_aperiodic else ''}"


def _say_stationary(report):
    if (law := report.stationary) is not None:
        yield f"stationary law: by {law.method}, |pi P - pi| = {law.residual:.2g} in total"
        yield f"  states of pi < {RARE:g}: {report.rare['n_states']:,}, together of mass {report.rare['mass']:.3g}"


def _say_balance(report):
    if (b := report.balance) is None:
        return
    rate = "infinite" if math.isinf(b.entropy_production) else f"{b.entropy_production:.6g}"
    yield f"detailed balance: {'holds' if b.is_reversible else 'fails'}; flux violation {b.flux_violation:.6g} of 1"
    yield f"  {b.one_way_flux:.6g} of the flux has no way back; entropy production {rate} nats a step"


def _say_gaps(report):
    words = {"spectral": "spectral gap 1 - lambda_2", "absolute": "absolute gap 1 - |lambda|", "additive": "gap of (P + P*)/2"}
    for kind, g in report.gaps.items():
        time = f", relaxation time {1.0 / g.gap:,.6g} steps" if g.gap > 0.0 and kind != "additive" else ""
        slem = f", second-largest eigenvalue modulus {g.slem:.10g}" if g.slem is not None else ""
        yield f"{words[kind]}: {g.gap:.10g}{time}{slem}{_CAVEAT[g.converged]}"


def _say_mixing(report):
    if (m := report.mixing) is None:
        return
    start = report.mixing_start
    name = f"state {start['state']}" + (f" ({start['label']})" if start["label"] is not None else "")
    fall = "never rises" if m.kl_is_monotone else f"RISES by {m.kl_largest_increase:.2g}"
    bound = f", at most {m.bounds['tv'][0, -1]:.4g} by the gap" if m.bounds else ""
    yield f"mixing from {name}, the most probable state, over {m.steps[-1]} steps:"
    yield f"  KL to pi falls from {m.kl[0, 0]:.4g} to {m.kl[0, -1]:.4g} nats and {fall}; total variation ends at {m.tv[0, -1]:.4g}{bound}"


def _say_hitting(report):
    if report.solve is None and report.sample is None:
        return
    yield f"steps to reach a state of score >= {report.parameters['level']:g}, from a start drawn from pi:"
    if (h := report.solve) is not None:
        unique = not math.isnan(h.mean_from_pi)
        mean = f"{h.mean_from_pi:,.8g}" if unique else "from every state, without a mean from pi, which is not unique"
        yield f"  solved {mean} (certified to a relative {certificate(h):.2g}){_CAVEAT[h.converged]}"
        if h.n_infinite:
            yield f"  {h.n_infinite:,} states may never reach it, for example state {h.unreachable_example}"
        if h.bound_from_gap is not None:
            yield f"  bound from the gap {h.bound_from_gap:,.8g}, the target having mass {h.target_mass:.6g}"
    if (b := report.bounds) is not None:
        yield f"  mean return time {b.return_time:,.8g}, by Kac's formula {b.return_time_kac:,.8g}"
        floor = "" if b.exit_rate_bound is None else f", at least gap pi(A) = {b.exit_rate_bound:.6g}"
        yield f"  exit rate 1 - lambda_B {b.exit_rate:.6g}{floor}; mean from the quasi-stationary law {b.quasi_stationary_mean:,.6g}"
        if b.mean_bound is not None:
            at = int(np.argmax(b.mean))
            yield f"  slowest start: state {at}, mean {b.mean[at]:,.6g}, at most {b.mean_bound[at]:,.6g} by lambda_B"
    if (s := report.sample) is not None:
        kind = " (a lower bound)" if s.mean_is_lower_bound else ""
        yield f"  Monte Carlo {s.mean:,.8g}{kind}, 95 % interval {s.ci[0]:,.6g} to {s.ci[1]:,.6g}, {s.n_walkers:,} walkers"
        if s.n_censored:
            yield f"  {s.n_censored:,} of them were stopped after {s.max_steps:,} steps"
    if report.standard_errors is not None:
        yield f"  the two differ by {report.standard_errors:+.2f} standard errors"


def _say_run(report):
    for error in report.errors:
        yield f"no answer to {error['part']}: {error['error']}: {error['text']}"
    if report.interrupted is not None:
        yield f"interrupted in the part {report.interrupted}; what follows it is missing"
    yield f"fastebm {report.version}, seed {report.seed}, {report.wall_s:.2f} s"


class Part(NamedTuple):
    """One question of a report."""

    question: str
    say: Callable  # report -> the answer in lines, none where there is no answer; what adds to a line begins with a blank
    fields: tuple  # of the report, and names of parts in its `errors`: the evidence


PARTS = (
    Part("What is the chain?", _say_chain, ("chain",)),
    Part("Does every state reach every other?", _say_structure, ("structure",)),
    Part("Where is it in the long run?", _say_stationary, ("stationary", "rare")),
    Part("Is it in detailed balance?", _say_balance, ("balance",)),
    Part("How fast does it forget where it was?", _say_gaps, ("gaps", "spectral", "absolute", "additive")),
    Part("How does it approach the stationary law?", _say_mixing, ("mixing_start", "mixing")),
    Part("How long does it take to reach a superior state?", _say_hitting, ("solve", "bounds", "sample", "standard_errors")),
)
