"""The whole analysis on a real language model, before and after tilting it by a reward, and with
policies that look ahead: ``fastebm demo``."""

import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO, TypeAlias, TypeVar, cast

from .. import datasets
from .._runtime.checkpoint import fingerprint
from .._runtime.resumable import resumable, stage
from .._runtime.types import FloatArray, Path
from .._runtime.validate import choice
from .._runtime.whole_file import require_place, write_text
from ..chains.tilt import tilt
from ..datasets import HistoryLabels
from ..equilibrium.detailed_balance import detailed_balance
from ..equilibrium.reversibilize import reversibilize
from ..equilibrium.stationary import stationary
from ..equilibrium.structure import structure
from ..hitting.times import hitting_times
from ..mixing.curve import mixing_curve
from ..simulation.hitting_sample import HittingSample, simulate_hitting_times
from ..simulation.simulate import superior_states
from ..spectral.gap import spectral_gap
from ..spectral.gap_result import GapResult
from .answers import lower_kind
from .demo_policies import look_ahead, rewarded_at_the_end, said, solved
from .facts import RARE, heaviest_words, named, rare, standard_errors, version_of, versions
from .files import Say, plain, write_json
from .sweep import checked_betas

# Of each dataset: its score, the score from which a state counts as superior, and a state of large
# mass to start from.
SETTINGS = {
    "english-trigram": ("the VADER valence of the last word, -4 to 4", 3.0, "the"),
    "english-phones": ("1 where the last phone is a vowel", 1.0, "S T"),
}
BETAS = (math.inf, 4.0, 2.0, 1.0)
# Of the gaps before the tilt, of gaps at each temperature, and of hitting times, whose error is
# printed.
TOL, SWEEP_TOL, HIT_TOL = 1e-9, 1e-5, 1e-4
N_STEPS, N_WALKERS, N_WORDS = 30, 10_000, 8

#: A line of the summary: name, finding, meaning.
T = TypeVar("T")
Line: TypeAlias = tuple[str, str, str]


def run(
    *,
    output: Path | None = "report.json",
    html: Path | None = None,
    betas: Sequence[float] = BETAS,
    dataset: str = "english-trigram",
    rng: int = 0,
    num_threads: int | None = None,
    progress: bool = False,
    stream: TextIO | None = None,
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """Analyse a language model, make its symmetric reference, tilt that by a reward, find the
    policies that look ahead, and compare the results with what the theory predicts.

    Parameters
    ----------
    output : str or path, or None
        The JSON file to write; None for none.
    html : str or path, optional
        A page with figures to write, one file that needs no network (extra `plot`); drawing takes
        some seconds more.
    betas : sequence of float
        Temperatures of the sweep, from large to small: the smaller, the stronger the tilt; inf is
        the reference itself.
    dataset : {"english-trigram", "english-phones"}
        The first has 2,124,089 states and takes about a minute, the second is small.
    rng : int
        Seed.
    num_threads : int, optional
        None: the CPUs that this process may use, capped by OMP_NUM_THREADS.
    progress : bool
        A bar on stderr.
    stream : file, optional
        Where the readable summary goes, default stdout.
    checkpoint : path, optional
        A file from which an interrupted run resumes with the same numbers: it keeps the results
        that are done, and the state of the search under way.

    Returns
    -------
    dict
        The contents of `output`.

    Raises
    ------
    InvalidChainError
        An unknown dataset or a beta that is not positive.
    ImportError
        A package of the `demo` extra is missing; the message names the remedy.
    FileNotFoundError
        The folder of `output` or `html` does not exist.
    Interrupted
        Ctrl-C; `partial` is the dict so far.

    Examples
    --------
    >>> import io; from fastebm.report import demo
    >>> options = {"dataset": "english-phones", "output": None, "stream": io.StringIO()}
    >>> found = demo.run(**options, betas=[1.0])
    >>> found["n_states"], found["sweep"][0]["kl_is_monotone"]
    (1553, True)
    """
    choice(dataset, "dataset", tuple(SETTINGS))
    betas = checked_betas(betas)
    if output is not None:  # fail now, not after the work
        require_place(output, "report")
    if html is not None:
        require_place(html, "page")
        from .demo_page import page
    options = {"num_threads": num_threads, "progress": progress}
    demo = _Demo(dataset, rng, options, stream or sys.stdout)
    with resumable(
        "demo", checkpoint, lambda: fingerprint(dataset, betas, rng), partial=demo.report
    ):
        demo.pretrained()
        demo.symmetric()
        for beta in betas:
            demo.tilted(beta)
            look_ahead(demo, beta)
        rewarded_at_the_end(demo)
    report = demo.report()
    report["status"] = "done" if report["converged"] else "unconverged"
    try:
        write_json(report, output)
    except OSError:  # a full disk must not cost the numbers
        demo.say(write_json(report))
        raise
    demo.say(
        f"\n{report['wall_s']:.1f} s in all"
        + (f"; every number is in {output}" if output is not None else "")
    )
    if html is not None:
        write_text(page(demo, report), html)
        demo.say(f"the page with figures is {html}")
    demo.say.require()
    return report


class _Demo:
    """The stages of one run; each adds to `facts` and prints its findings."""

    def __init__(self, dataset: str, seed: int, options: dict[str, Any], stream: TextIO) -> None:
        self.dataset, self.seed, self.options, self.say = dataset, seed, options, Say(stream)
        self.begin = self.lap = time.perf_counter()
        self.facts: dict[str, Any] = {}
        self.sweep: list[dict[str, Any]] = []
        self.timings: dict[str, float] = {}
        self.checks: list[bool] = []
        # For the page: what was printed, and the results behind it.
        self.printed: list[tuple[str, tuple[Line, ...]]] = []
        self.gaps: dict[str, GapResult] = {}
        self.samples: dict[float, HittingSample] = {}

    def say_section(self, heading: str, *lines: Line) -> None:
        """Print a heading and its lines, and keep them for the page."""
        self.printed.append((heading, lines))
        text = [
            f"  {name:<18}{finding}{meaning and '   '}{meaning}" for name, finding, meaning in lines
        ]
        self.say("\n".join([heading, *text]) + "\n")

    def timed(self, name: str) -> None:
        now = time.perf_counter()
        self.timings[name], self.lap = now - self.lap, now

    def report(self) -> dict[str, Any]:
        facts: dict[str, Any] = plain(
            {
                "dataset": self.dataset,
                "seed": self.seed,
                **self.facts,
                "sweep": self.sweep,
                "converged": all(self.checks),
                "versions": versions()
                | {name: version_of(name) for name in ("pocketsphinx", "vaderSentiment")},
                "wall_s": time.perf_counter() - self.begin,
                "timings": self.timings,
            }
        )
        return facts

    def found(self, name: str, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """The result of function(*args, **options), or what the checkpoint has as `name`."""
        return stage(name, lambda: function(*args, **options, **self.options))

    def pretrained(self) -> None:
        """The pretrained model: structure, stationary law, distance from detailed balance."""
        self.chain = chain = datasets.load(self.dataset)
        # a dataset has both
        self.labels = cast(HistoryLabels, chain.labels)
        self.reward = cast(FloatArray, chain.reward)
        what, self.level, start = SETTINGS[self.dataset]
        self.timed("load")
        s, law = structure(chain), stationary(chain, **self.options)
        self.timed("stationary")
        balance = detailed_balance(chain, num_threads=self.options["num_threads"])
        slem = self.found("slem", spectral_gap, chain, kind="absolute", tol=TOL, rng=self.seed)
        self.timed("slem")
        few, self.start = rare(law.pi), self.labels.index(start)
        # States that no run ever visits are no meaningful target.
        self.target = superior_states(self.reward, self.level) & (law.pi >= RARE)
        self.checks += [law.converged, slem.converged, balance.converged]
        self.facts |= {
            "n_states": chain.n_states,
            "nnz": chain.nnz,
            "n_classes": s.n_classes,
            "period": s.period,
            "stationary_residual": law.residual,
            "rare": few,
            "flux_violation": balance.flux_violation,
            "one_way_flux": balance.one_way_flux,
            "entropy_production": balance.entropy_production,
            "slem": slem.slem,
            "slem_gap": slem,
            "score": what,
            "level": self.level,
            "n_superior": int(self.target.sum()),
            "start": named(chain, self.start) | {"pi": law.pi[self.start]},
        }
        self.law, self.gaps["pretrained, absolute gap"] = law, slem
        self.say_pretrained(s.is_irreducible)

    def say_pretrained(self, is_irreducible: bool) -> None:
        facts, few, law = self.facts, self.facts["rare"], self.law
        n_classes, period = facts["n_classes"], facts["period"]
        classes = "every state reaches every other" if is_irreducible else f"{n_classes} classes"
        self.say_section(
            f"{self.dataset}: a language model as a Markov chain, whose state is its history",
            ("size", f"{facts['n_states']:,} states, {facts['nnz']:,} transitions", ""),
            ("structure", f"{classes}, {'no period' if period == 1 else f'period {period}'}", ""),
            ("stationary law pi", f"|pi P - pi| = {law.residual:.1e}", ""),
            (
                "rare states",
                f"{few['n_states']:,} of pi < {RARE:g}, with total mass {few['mass']:.1e}",
                "",
            ),
        )
        self.say_section(
            "the pretrained kernel, is it in detailed balance?",
            (
                "flux violation",
                f"{facts['flux_violation']:.10f}",
                "share of the stationary flux that the reversed flux does not match (0: balance)",
            ),
            (
                "one-way flux",
                f"{facts['one_way_flux']:.10f}",
                "share of the flux on transitions that are impossible in reverse",
            ),
            (
                "SLEM",
                f"{facts['slem']:.10f}",
                "second-largest eigenvalue modulus: the slowest decay factor per step",
            ),
        )

    def symmetric(self) -> None:
        """The additive reversibilisation: the same law, in detailed balance."""
        self.reference = reversibilize(self.chain, num_threads=self.options["num_threads"])
        gap = self.found("gap", spectral_gap, self.reference, tol=TOL, rng=self.seed)
        self.timed("additive_gap")
        self.reference_gap = gap
        self.checks.append(gap.converged)
        self.facts |= {"additive_gap": gap.gap, "additive_gap_result": gap}
        self.gaps["symmetric reference"] = gap
        self.say_section(
            "the symmetric reference (P + P*)/2: the same stationary law, each step forwards or "
            "backwards in time with probability 1/2",
            (
                "spectral gap",
                f"{gap.gap:.10f}",
                f"1 - second-largest eigenvalue: relaxation time {1 / gap.gap:.2f} steps",
            ),
        )
        self.say_section(
            "the reference tilted by exp(reward / beta), the optimum of an RL objective with KL "
            "coefficient beta",
            ("reward", f"{self.facts['score']}", ""),
            (
                "superior",
                f"reward >= {self.level:g}",
                f"{self.facts['n_superior']:,} states of pi >= {RARE:g}",
            ),
            ("hitting times", "mean steps to a superior state from a start drawn from pi", ""),
            ("KL", f"from the state '{self.facts['start']['label']}'", ""),
        )

    def tilted(self, beta: float) -> None:
        """One temperature: law, gap, KL, hitting times and what the tilt favours."""
        chain = tilt(self.reference, self.reward, beta, num_threads=self.options["num_threads"])
        law = stationary(chain, num_threads=self.options["num_threads"])
        plain_reference = math.isinf(beta)
        tag, gap = f" at {beta!r}", self.reference_gap
        if not plain_reference:
            gap = self.found(f"gap{tag}", spectral_gap, chain, tol=SWEEP_TOL, rng=self.seed)
        curve = self.found(f"curve{tag}", mixing_curve, chain, self.start, N_STEPS)
        solve = self.found(f"solve{tag}", hitting_times, chain, self.target, tol=HIT_TOL, gap=gap)
        sample = self.found(
            f"sample{tag}",
            simulate_hitting_times,
            chain,
            self.target,
            n_walkers=N_WALKERS,
            rng=self.seed,
        )
        self.checks += [
            law.converged,
            solve.converged,
            sample.converged,
            curve.converged,
            bool(curve.kl_is_monotone),
        ]
        assert curve.kl is not None  # a default distance
        at = {part: float(getattr(solve, part)[self.start]) for part in ("mean", "lower", "upper")}
        found = {
            "beta": beta,
            "pi_residual": law.residual,
            "pi_method": law.method,
            "gap": gap,
            "kl": curve.kl[0],
            "kl_is_monotone": curve.kl_is_monotone,
            "target_mass": solve.target_mass,
            "hitting_solved": solve.mean_from_pi,
            "hitting_residual": solve.residual + solve.residual_floor,
            "hitting_monte_carlo": sample.mean,
            "hitting_ci": sample.ci,
            "standard_errors": standard_errors(solve.mean_from_pi, sample),
            "hitting_bound": solve.bound_from_gap,
            "hitting_from_start": at,
            "reference_kl": float(law.pi @ chain.reference_kl()),
            "mean_reward": float(law.pi @ self.reward),
            "words": heaviest_words(self.labels, law.pi, N_WORDS),
        }
        self.sweep.append(found)
        self.gaps[f"beta {beta:g}"], self.samples[beta] = gap, sample
        self.timed(f"beta {beta:g}")
        self.say_tilted(found, curve.kl[0], sample)

    def say_tilted(self, found: dict[str, Any], kl: FloatArray, sample: HittingSample) -> None:
        beta = (
            "infinity (the reference itself)" if math.isinf(found["beta"]) else f"{found['beta']:g}"
        )
        half = len(kl) // 2
        fall = "and never rises" if found["kl_is_monotone"] else "BUT RISES in between"
        errors = (
            ""
            if found["standard_errors"] is None
            else f", {found['standard_errors']:+.1f} standard errors from the solution"
        )
        bound = f"{found['hitting_bound']:.4f} at most, by the gap{lower_kind(found['gap'])}"
        self.say_section(
            f"beta = {beta}",
            (
                "stationary law",
                f"|pi P - pi| = {found['pi_residual']:.1e}, from its closed form",
                "",
            ),
            (
                "mean reward",
                f"{found['mean_reward']:.6f}",
                f"at a cost of {found['reference_kl']:.6f} nats per step of KL to the reference",
            ),
            ("spectral gap", said(found["gap"], 5), ""),
            (
                "KL to pi",
                f"{kl[0]:.4f} nats at the start, {kl[half]:.2e} after {half} steps, "
                f"{kl[-1]:.2e} after {len(kl) - 1}, {fall}",
                "",
            ),
            (
                "hitting time",
                solved(found),
                f"superior states have mass {found['target_mass']:.6f}",
            ),
            (
                "",
                f"{sample.mean:.4f} by Monte Carlo, 95 % {sample.ci[0]:.2f} to {sample.ci[1]:.2f}"
                f"{errors}",
                "",
            ),
            ("", bound, ""),
            (
                "most likely words",
                ", ".join(f"{w['word']} {w['mass']:.4f}" for w in found["words"]),
                "",
            ),
        )
