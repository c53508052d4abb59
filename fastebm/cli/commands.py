"""One function per command. Each fills the answer that is printed as JSON, and returns the table
for --output if there is one; modules that only one command needs are imported by it."""

import argparse
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

from .._runtime.resumable import stage
from .._runtime.whole_file import errors_naming, replacing
from ..chains.chain import MarkovChain
from ..errors import InvalidChainError
from .inputs import read_vector, state_number
from .outputs import Lines, Table, file_error, say, state_names, table_of_groups
from .remedies import with_options
from .status import status_of

Answer: TypeAlias = dict[str, Any]


def given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The given options as keyword arguments; the others keep the function's defaults."""
    return {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}


def run_analyze(chain: MarkovChain, args: argparse.Namespace, answer: Answer) -> Table:
    from ..report.analyze import analyze

    if args.html is not None:  # a missing package is an error before the work, not after
        from ..report import html  # noqa: F401

    score = read_vector(args.score, chain, args.numbered)
    options = given(args, "level", "spectrum", "betas", "tol", "n_steps", "n_walkers", "max_steps")
    options |= given(args, "rng", "num_threads", "progress")
    report = stage("report", lambda: analyze(chain, score=score, **options))
    answer["report"] = report = with_options(report, args.spellings)
    if args.html is not None:
        try:
            report.to_html(args.html, title=args.chain)
        except Exception as error:  # a full disk, a drawing that fails: the JSON must not be lost
            answer["error"] = file_error("page", error)
    if args.summary:
        say(report.summary())
    columns = {"class": (report.structure, "labels"), "pi": (report.stationary, "pi")}
    columns |= {name: (report.solve, name) for name in ("mean", "lower", "upper")}
    table = {"state": state_names(chain)} | {
        name: getattr(found, field) for name, (found, field) in columns.items() if found is not None
    }
    return table if report.score is None else table | {"score": report.score}


def run_stationary(chain: MarkovChain, args: argparse.Namespace, answer: Answer) -> Table:
    from ..equilibrium.stationary import stationary

    options = given(args, "tol", "max_iter", "num_threads", "progress")
    answer["stationary"] = law = stage("stationary", lambda: stationary(chain, **options))
    return {"state": state_names(chain), "pi": law.pi, "log_pi": law.log_pi}


def run_gap(chain: MarkovChain, args: argparse.Namespace, answer: Answer) -> None:
    from ..spectral.gap import spectral_gap

    options = given(args, "kind", "tol", "certify", "max_matvecs", "rng", "num_threads")
    options |= given(args, "progress")
    answer["gap"] = stage("gap", lambda: spectral_gap(chain, **options))


def run_hit(chain: MarkovChain, args: argparse.Namespace, answer: Answer) -> Table | None:
    from ..hitting.times import hitting_times
    from ..report.facts import named, standard_errors, target_of
    from ..simulation.hitting_sample import simulate_hitting_times
    from ..spectral.gap import spectral_gap

    if args.output is not None and args.method == "simulate":
        raise InvalidChainError("--output takes the solved times; give --method solve or both")
    if args.target is not None:
        target = np.array([state_number(name, chain, args.numbered) for name in args.target])
    else:
        target = np.flatnonzero(
            target_of(chain, read_vector(args.score, chain, args.numbered), args.level)
        )
    start = (
        None
        if args.start is None
        else [state_number(name, chain, args.numbered) for name in args.start]
    )
    answer["n_target"] = len(set(target.tolist()))
    common = given(args, "num_threads", "progress")
    if args.bound:
        options = given(args, "tol", "rng") | common
        answer["gap"] = stage("gap", lambda: spectral_gap(chain, kind="additive", **options))
    mean = None
    if args.method != "simulate":
        solver = given(args, "tol", "max_iter") | common
        answer["solve"] = solve = stage(
            "solve", lambda: hitting_times(chain, target, gap=answer.get("gap"), **solver)
        )
        mean = solve.mean_from_pi if start is None else solve.mean[start].mean()
        if start is not None:
            answer["start"] = [
                named(chain, x)
                | {"mean": solve.mean[x], "lower": solve.lower[x], "upper": solve.upper[x]}
                for x in start
            ]
    if args.method != "solve":
        walkers = given(args, "n_walkers", "max_steps", "rel_ci", "rng") | common
        answer["sample"] = sample = stage(
            "sample", lambda: simulate_hitting_times(chain, target, start=start, **walkers)
        )
        answer["standard_errors"] = None if mean is None else standard_errors(mean, sample)
    if "solve" not in answer:
        return None
    solve = answer["solve"]
    return {
        "state": state_names(chain),
        **{name: getattr(solve, name) for name in ("mean", "lower", "upper")},
    }


def run_mix(chain: MarkovChain, args: argparse.Namespace, answer: Answer) -> Table:
    from ..equilibrium.structure import require_aperiodic
    from ..mixing.curve import DISTANCES, mixing_curve
    from ..report.facts import most_probable, named, reversible
    from ..spectral.gap import spectral_gap

    start = (
        None
        if args.start is None
        else [state_number(name, chain, args.numbered) for name in args.start]
    )
    require_aperiodic(chain, "convergence to the stationary distribution")
    answer["start"] = [most_probable(chain)] if start is None else [named(chain, x) for x in start]
    common = given(args, "num_threads", "progress")
    if args.bound:
        kind = "absolute" if reversible(chain) else "multiplicative"
        options = given(args, "tol", "rng") | common
        answer["gap"] = stage("gap", lambda: spectral_gap(chain, kind=kind, **options))
    starts = [x["state"] for x in answer["start"]]
    answer["mixing"] = mixing = stage(
        "mixing", lambda: mixing_curve(chain, starts, args.n_steps, gap=answer.get("gap"), **common)
    )
    names = state_names(chain)
    table: dict[str, Any] = {
        "start": np.repeat(starts, len(mixing.steps))
        if isinstance(names, np.ndarray)
        else [str(names[x]) for x in starts for _ in mixing.steps],
        "step": np.tile(mixing.steps, len(starts)),
    }
    for name in DISTANCES:
        table[name] = getattr(mixing, name).ravel()
        table[f"{name}_error"] = mixing.error[name].ravel()
        if name in mixing.bounds:
            table[f"{name}_bound"] = mixing.bounds[name].ravel()
    return table


def run_balance(chain: MarkovChain | None, args: argparse.Namespace, answer: Answer) -> Table:
    if args.counts is not None:
        from ..report.analyze_counts import study

        answer["counts"] = args.counts
        options = given(args, "by", "trajectory", "order", "value", "state", "bins", "skip")
        options |= given(args, "format", "sampling", "n_bootstrap", "rng", "num_threads")
        options |= given(args, "progress")
        groups = stage("groups", lambda: study(args.counts, **options))
        answer["groups"] = [with_options(group, args.spellings) for group in groups]
        return table_of_groups(groups)
    from ..equilibrium.detailed_balance import detailed_balance

    assert chain is not None  # checked by main
    options = given(args, "tol", "num_threads")
    answer["balance"] = found = stage("balance", lambda: detailed_balance(chain, **options))
    return {"state": state_names(chain), "pi": found.pi, "potential": found.potential}


def run_sweep(chain: MarkovChain, args: argparse.Namespace, answer: Answer) -> None:
    from ..report.sweep import sweep

    lines = Lines(args, answer)
    answer["temperatures"] = found = []
    reward = read_vector(args.reward, chain, args.numbered)
    options = given(args, "level", "tol", "rng", "num_threads", "progress")
    for temperature in sweep(chain, reward, args.betas, **options):
        found.append(with_options(temperature, args.spellings))
        lines.add(found[-1], status_of({"temperature": found[-1]}))


def run_tilt(chain: MarkovChain, args: argparse.Namespace, answer: Answer) -> None:
    from ..chains.tilt import tilt
    from ..report.facts import describe

    reward = chain.reward if args.reward is None else read_vector(args.reward, chain, args.numbered)
    if reward is None:
        raise InvalidChainError("the chain has no reward of its own; give --reward FILE")
    tilted = tilt(chain, reward, args.beta, **given(args, "num_threads"))
    with errors_naming(args.output):
        tilted.save(args.output)
    answer |= {
        "output": args.output,
        "tilted": describe(tilted) | {"is_reversible": tilted.is_reversible},
    }


def run_info(chain: MarkovChain, args: argparse.Namespace, answer: Answer) -> None:
    from ..equilibrium.structure import structure
    from ..report.facts import describe, rare

    s = structure(chain)
    answer["info"] = describe(chain) | {
        "is_reversible": chain.is_reversible,
        "n_classes": s.n_classes,
        "n_closed_classes": int(s.closed.sum()),
        "n_transient_states": int(s.size[~s.closed].sum()),
        "period": s.period,
        "rare": None if chain.pi is None else rare(chain.pi),
    }


def run_convert(chain: MarkovChain, args: argparse.Namespace, answer: Answer) -> None:
    from ..io.read import LISTS

    if args.only_class is not None:
        from ..equilibrium.structure import structure

        labels = structure(chain).labels
        chain = chain.restrict(
            labels == labels[state_number(args.only_class, chain, args.numbered)]
        )
        answer["n_states"] = chain.n_states
    output = Path(args.output)
    if args.output.lower().endswith((".npz", ".mtx")):
        _write_matrix(chain, output)
    elif args.output.lower().endswith((*LISTS, ".gz", ".tra")):
        raise InvalidChainError(f"{args.output}: convert writes .npz, .mtx or a folder")
    else:
        with errors_naming(output):
            chain.save(output)
    answer |= {"output": args.output, "labels_kept": chain.labels is None or output.is_dir()}


def _write_matrix(chain: MarkovChain, output: Path) -> None:
    from scipy.io import mmwrite
    from scipy.sparse import save_npz

    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as draft, open(draft, "wb") as file:  # both append suffixes to names
        if output.suffix.lower() == ".npz":
            save_npz(file, chain.to_scipy())
        else:
            checked: Any = _CheckedWriter(file)  # what mmwrite uses of a file
            mmwrite(checked, chain.to_scipy(), precision=17)
            checked.require_written()


class _CheckedWriter:
    """A file for `mmwrite`, whose C++ stream ignores errors of the file that it writes to."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        if self._error is not None:
            raise self._error
        try:
            return self._file.write(data)
        except OSError as error:
            self._error = error
            raise

    def flush(self) -> None:
        self._file.flush()

    def require_written(self) -> None:
        """Raise the first error."""
        if self._error is not None:
            raise self._error


def run_demo(chain: None, args: argparse.Namespace, answer: Answer) -> None:
    from ..report.demo import run

    found = run(
        **given(args, "output", "html", "dataset", "betas", "rng", "num_threads", "progress")
    )
    answer["report"] = found
