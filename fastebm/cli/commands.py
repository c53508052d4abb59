"""What each command of the command line does."""

import os
import sys
from pathlib import Path

import numpy as np

from ..errors import InvalidChainError
from .inputs import LISTS, _one_line, _state, _vector


def _given(args, *names):
    """The options that were given, as keywords; the rest keep the defaults of the function that
    they are for."""
    return {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}


def _analyze(chain, args, answer):
    from ..report.analyze import analyze

    if args.html is not None:  # a missing package, or folder, is said now and not after the work
        from ..report import html  # noqa: F401
        from ..report.files import require_place

        require_place(args.html, "page")
    answer["report"] = report = analyze(
        chain,
        score=_vector(args.score, chain),
        **_given(
            args,
            "level",
            "spectrum",
            "betas",
            "tol",
            "n_steps",
            "n_walkers",
            "max_steps",
            "rng",
            "num_threads",
            "progress",
        ),
    )
    if args.html is not None:
        try:
            report.to_html(args.html, title=args.chain)
        except OSError as error:  # a full disk must not take the JSON with it
            answer["error"] = {
                "error": type(error).__name__,
                "text": f"the page was not written: {_one_line(error)}",
            }
            print(f"fastebm analyze: error: {answer['error']['text']}", file=sys.stderr)
    if args.summary:
        print(report.summary(), file=sys.stderr)


def _gap(chain, args, answer):
    from ..spectral.gap import spectral_gap

    answer["gap"] = spectral_gap(
        chain,
        **_given(args, "kind", "tol", "certify", "max_matvecs", "rng", "num_threads", "progress"),
    )


def _hit(chain, args, answer):
    from ..hitting.times import hitting_times
    from ..report.facts import named, standard_errors, target_of
    from ..simulation.hitting_sample import simulate_hitting_times
    from ..spectral.gap import spectral_gap

    if args.target is not None:
        target = [_state(name, chain) for name in args.target]
    else:
        target = np.flatnonzero(target_of(chain, _vector(args.score, chain), args.level))
    start = None if args.start is None else [_state(name, chain) for name in args.start]
    answer["n_target"] = len(set(target))
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


def _mix(chain, args, answer):
    from ..equilibrium.structure import require_aperiodic
    from ..mixing.curve import mixing_curve
    from ..report.facts import most_probable, named, reversible
    from ..spectral.gap import spectral_gap

    start = None if args.start is None else [_state(name, chain) for name in args.start]
    require_aperiodic(chain, "convergence to the stationary distribution")
    answer["start"] = [most_probable(chain)] if start is None else [named(chain, x) for x in start]
    common = _given(args, "num_threads", "progress")
    if args.bound:
        kind = "absolute" if reversible(chain) else "multiplicative"
        answer["gap"] = spectral_gap(chain, kind=kind, **_given(args, "tol", "rng"), **common)
    answer["mixing"] = mixing_curve(
        chain, [x["state"] for x in answer["start"]], args.n_steps, gap=answer.get("gap"), **common
    )


def _balance(chain, args, answer):
    if args.counts is not None:
        from ..report.analyze_counts import study

        answer["counts"] = args.counts
        answer["groups"] = study(
            args.counts,
            **_given(
                args,
                "by",
                "trajectory",
                "order",
                "value",
                "state",
                "bins",
                "skip",
                "n_bootstrap",
                "rng",
                "num_threads",
                "progress",
            ),
        )
        return
    from ..equilibrium.detailed_balance import detailed_balance

    answer["balance"] = detailed_balance(chain, **_given(args, "tol", "num_threads"))


def _tilt(chain, args, answer):
    from ..chains.tilt import tilt
    from ..report.facts import describe

    reward = chain.reward if args.reward is None else _vector(args.reward, chain)
    if reward is None:
        raise InvalidChainError("the chain has no reward of its own; give --reward FILE")
    tilted = tilt(chain, reward, args.beta, **_given(args, "num_threads"))
    tilted.save(args.output)
    answer |= {
        "output": args.output,
        "tilted": describe(tilted) | {"is_reversible": tilted.is_reversible},
    }


def _info(chain, args, answer):
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


def _convert(chain, args, answer):
    from scipy.io import mmwrite
    from scipy.sparse import save_npz

    output, lower = Path(args.output), args.output.lower()
    if lower.endswith((".npz", ".mtx")):
        output.parent.mkdir(parents=True, exist_ok=True)
        draft = output.with_name(
            f".{os.getpid()}-{output.stem}{lower[-4:]}"
        )  # both writers insist on their suffix
        try:
            save_npz(draft, chain.to_scipy()) if lower.endswith(".npz") else mmwrite(
                draft, chain.to_scipy(), precision=17
            )
            draft.replace(output)
        finally:
            draft.unlink(missing_ok=True)
    elif lower.endswith((*LISTS, ".gz", ".tra")):
        raise InvalidChainError(f"{args.output}: convert writes .npz, .mtx or a folder")
    else:
        chain.save(output)
    answer |= {"output": args.output, "labels_kept": chain.labels is None or output.is_dir()}


def _demo(chain, args, answer):
    from ..report.demo import run

    found = run(
        **_given(args, "output", "html", "dataset", "betas", "rng", "num_threads", "progress")
    )
    answer["converged"] = found["converged"]


COMMANDS = {
    "analyze": (
        _analyze,
        "everything that applies to the chain",
        "--score --level --spectrum --betas --tol --steps --walkers --max-steps --seed --summary --html --threads --progress",
    ),
    "gap": (
        _gap,
        "a spectral gap with its evidence",
        "--kind --tol --certify --max-matvecs --seed --threads --progress",
    ),
    "hit": (
        _hit,
        "hitting times of a target: solved, simulated, bounded",
        "--score --start --method --bound --tol --max-iter --walkers --max-steps --rel-ci --seed --threads --progress",
    ),
    "mix": (
        _mix,
        "distances to the stationary law, step by step",
        "--start --steps --bound --tol --seed --threads --progress",
    ),
    "balance": (
        _balance,
        "how far a chain, or observed counts, are from detailed balance",
        "--tol --counts --by --trajectory --order --value --state --bins --skip --bootstrap --seed --threads --progress",
    ),
    "tilt": (_tilt, "tilt the chain by a reward and save it", "--reward --beta --output --threads"),
    "info": (_info, "size, storage and classes", ""),
    "convert": (_convert, "write the chain as a folder, .npz or .mtx", ""),
}
