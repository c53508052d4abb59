"""One function per command. Each fills the answer that is printed as JSON; modules that only one
command needs are imported by it."""

import argparse
import sys
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .._runtime.whole_file import errors_naming, replacing, require_place
from ..chains.chain import MarkovChain
from ..errors import InvalidChainError
from .inputs import one_line, read_vector, state_number
from .remedies import with_options

Answer: TypeAlias = dict[str, Any]


def _given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The given options as keyword arguments; the others keep the function's defaults."""
    return {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}


def run_analyze(chain: MarkovChain, args: argparse.Namespace, answer: Answer) -> None:
    from ..report.analyze import analyze

    if args.html is not None:  # a missing package or folder is an error before the work, not after
        from ..report import html  # noqa: F401

        require_place(args.html, "page")
    report = analyze(
        chain,
        score=read_vector(args.score, chain, args.numbered),
        **_given(args, "level", "spectrum", "betas", "tol", "n_steps", "n_walkers", "max_steps"),
        **_given(args, "rng", "num_threads", "progress"),
    )
    answer["report"] = report = with_options(report, args.spellings)
    if args.html is not None:
        try:
            report.to_html(args.html, title=args.chain)
        except OSError as error:  # a full disk must not lose the JSON
            answer["error"] = {
                "error": type(error).__name__,
                "text": f"the page was not written: {one_line(error)}",
            }
    if args.summary:
        print(report.summary(), file=sys.stderr)


def run_gap(chain: MarkovChain, args: argparse.Namespace, answer: Answer) -> None:
    from ..spectral.gap import spectral_gap

    answer["gap"] = spectral_gap(
        chain,
        **_given(args, "kind", "tol", "certify", "max_matvecs", "rng", "num_threads", "progress"),
    )


def run_hit(chain: MarkovChain, args: argparse.Namespace, answer: Answer) -> None:
    from ..hitting.times import hitting_times
    from ..report.facts import named, standard_errors, target_of
    from ..simulation.hitting_sample import simulate_hitting_times
    from ..spectral.gap import spectral_gap

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
    common = _given(args, "num_threads", "progress")
    if args.bound:
        answer["gap"] = spectral_gap(chain, kind="additive", **_given(args, "tol", "rng"), **common)
    mean = None
    if args.method != "simulate":
        answer["solve"] = solve = hitting_times(
            chain, target, gap=answer.get("gap"), **_given(args, "tol", "max_iter"), **common
        )
        mean = solve.mean_from_pi if start is None else solve.mean[start].mean()
        if start is not None:
            answer["start"] = [
                named(chain, x)
                | {"mean": solve.mean[x], "lower": solve.lower[x], "upper": solve.upper[x]}
                for x in start
            ]
    if args.method != "solve":
        answer["sample"] = sample = simulate_hitting_times(
            chain,
            target,
            start=start,
            **_given(args, "n_walkers", "max_steps", "rel_ci", "rng"),
            **common,
        )
        answer["standard_errors"] = None if mean is None else standard_errors(mean, sample)


def run_mix(chain: MarkovChain, args: argparse.Namespace, answer: Answer) -> None:
    from ..equilibrium.structure import require_aperiodic
    from ..mixing.curve import mixing_curve
    from ..report.facts import most_probable, named, reversible
    from ..spectral.gap import spectral_gap

    start = (
        None
        if args.start is None
        else [state_number(name, chain, args.numbered) for name in args.start]
    )
    require_aperiodic(chain, "convergence to the stationary distribution")
    answer["start"] = [most_probable(chain)] if start is None else [named(chain, x) for x in start]
    common = _given(args, "num_threads", "progress")
    if args.bound:
        kind = "absolute" if reversible(chain) else "multiplicative"
        answer["gap"] = spectral_gap(chain, kind=kind, **_given(args, "tol", "rng"), **common)
    answer["mixing"] = mixing_curve(
        chain, [x["state"] for x in answer["start"]], args.n_steps, gap=answer.get("gap"), **common
    )


def run_balance(chain: MarkovChain | None, args: argparse.Namespace, answer: Answer) -> None:
    if args.counts is not None:
        from ..report.analyze_counts import study

        answer["counts"] = args.counts
        groups = study(
            args.counts,
            **_given(args, "by", "trajectory", "order", "value", "state", "bins", "skip", "format"),
            **_given(args, "n_bootstrap", "rng", "num_threads", "progress"),
        )
        answer["groups"] = [with_options(group, args.spellings) for group in groups]
        return
    from ..equilibrium.detailed_balance import detailed_balance

    assert chain is not None  # checked by main
    answer["balance"] = detailed_balance(chain, **_given(args, "tol", "num_threads"))


def run_tilt(chain: MarkovChain, args: argparse.Namespace, answer: Answer) -> None:
    from ..chains.tilt import tilt
    from ..report.facts import describe

    reward = chain.reward if args.reward is None else read_vector(args.reward, chain, args.numbered)
    if reward is None:
        raise InvalidChainError("the chain has no reward of its own; give --reward FILE")
    tilted = tilt(chain, reward, args.beta, **_given(args, "num_threads"))
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
            mmwrite(file, chain.to_scipy(), precision=17)


def run_demo(chain: None, args: argparse.Namespace, answer: Answer) -> None:
    from ..report.demo import run

    found = run(
        **_given(args, "output", "html", "dataset", "betas", "rng", "num_threads", "progress")
    )
    answer["report"] = found
