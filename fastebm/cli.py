"""The command line: `fastebm COMMAND CHAIN [options]`, one JSON document on stdout, everything else on stderr."""

import argparse
import csv
import os
import sys
import time
import warnings
from errno import EBADF
from pathlib import Path

import numpy as np

from . import __version__
from .errors import ConvergenceWarning, FastebmError, InvalidChainError, MemoryForecastError

# 0 done; 1 the chain cannot answer or did not converge; 2 bad usage or input; 130 Ctrl-C, as shells count it
DONE, NO_ANSWER, BAD_INPUT, STOPPED = 0, 1, 2, 130

EPILOG = """\
CHAIN is one of
  FILE.npz  .mtx[.gz]  .tra[.gz]   a row-stochastic matrix (SciPy, Matrix Market, PRISM or Storm)
  FILE.csv[.gz]  .parquet          an edge or transition list; each row is divided by its sum
  FOLDER                           a saved chain (chain.save, fastebm convert, fastebm tilt)
  dataset:NAME                     english-trigram or english-phones
States are given by label or number. --score and --reward take a .npy file or a text file of one number a line, or of
lines STATE,NUMBER, where states that are not listed count 0.

One JSON document goes to stdout, everything else to stderr (demo: a readable summary, its JSON goes to a file).
Exit status: 0 done, 1 the chain cannot answer or did not converge, 2 bad usage or input, 130 interrupted."""
LISTS = (".csv", ".csv.gz", ".parquet")


def main(argv=None):
    """Run one command and return its exit status.

    Parameters
    ----------
    argv : list of str, optional
        The arguments; default those of the process.

    Returns
    -------
    int
        0 done, 1 the chain cannot answer or did not converge, 2 bad usage or input, 130 after Ctrl-C. On 1 and 130 the JSON
        holds the error and what was reached.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "walk.csv")
    >>> with open(path, "w") as file:
    ...     _ = file.write("a,b,1\\nb,c,1\\n")
    >>> main(["balance", path, "--symmetric"])  # doctest: +ELLIPSIS
    {
      "fastebm": ...
    }
    0
    """
    try:
        parser = _parser()
        args = parser.parse_args(argv)
        if args.command == "balance" and (args.chain is None) == (args.counts is None):
            parser.error("balance: give a CHAIN or --counts FILE, one of the two")
    except SystemExit as stop:  # argparse has printed what it had to say
        return stop.code
    try:
        return _answer(args)
    except BrokenPipeError:  # the reader has gone
        _silence()
        return NO_ANSWER
    except (FastebmError, OSError, ImportError) as error:
        print(f"fastebm {args.command}: error: {_one_line(error)}", file=sys.stderr)
        return BAD_INPUT


def _answer(args):
    """Run the command and print what it found; the exit status."""
    begin = time.perf_counter()
    answer = {"fastebm": __version__, "command": args.command, "converged": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # said by `converged` and by the exit status
            code = _run(args, answer)
    except KeyboardInterrupt as stop:
        code, partial = STOPPED, getattr(stop, "partial", None)
        answer |= {"interrupted": str(stop) or "before there was a result",
                   "partial_kind": None if partial is None else type(partial).__name__, "partial": partial}
    if args.command != "demo" or code == STOPPED:  # a demo that is done has printed its own summary
        from .report_files import plain, write_json

        _print(write_json(plain(answer | {"wall_s": time.perf_counter() - begin})))
    return code


def _print(text):
    """`text` to stdout, or OSError."""
    if sys.stdout is None:
        raise OSError(EBADF, "standard output is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        _silence()
        raise


def _silence():
    """What is still buffered for a stdout that takes nothing more must not raise again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(args, answer):
    """Fill `answer` and return the exit status; input that cannot be used is raised."""
    from .report_facts import seeded

    chain = None
    try:
        if getattr(args, "chain", None) is not None:
            chain = _load(args)
            answer |= {"chain": args.chain, "n_states": chain.n_states}
        if "rng" in args:
            args.rng, _ = seeded(args.rng)
            answer["seed"] = args.rng
        args.run(chain, args, answer)
    except FastebmError as error:
        if isinstance(error, InvalidChainError):
            raise
        answer["error"] = {"error": type(error).__name__, "text": str(error)}
        return NO_ANSWER
    parts = list(answer.values())
    answer["converged"] = all(getattr(part, "converged", True) for part in parts)
    return DONE if answer["converged"] and "error" not in answer and not any(getattr(part, "errors", ()) for part in parts) else NO_ANSWER


def _one_line(error):
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())


def _load(args):
    """The chain that the argument CHAIN names."""
    from . import MarkovChain, datasets, io, load

    name, options = args.chain, [option for option in ("symmetric", "normalize") if getattr(args, option)]
    dataset = name.removeprefix("dataset:")
    if dataset != name or os.path.isdir(name):
        if options:
            raise InvalidChainError(f"--{options[0]} is for files; {name} is a chain already")
        if dataset != name and dataset not in datasets.names():
            raise InvalidChainError(f"no dataset {dataset!r}; known: {', '.join(datasets.names())}")
        return load(name) if dataset == name else datasets.load(dataset)
    is_list = name.lower().endswith(LISTS)
    if args.symmetric and not is_list:
        raise InvalidChainError(f"--symmetric is for edge lists ({', '.join(LISTS)}), not for {name}")
    matrix, labels = io.read(name)
    if args.symmetric:
        edges = matrix.tocoo()
        return MarkovChain.from_edges(edges.row, edges.col, edges.data, n_states=matrix.shape[0], symmetric=True, labels=labels)
    return MarkovChain(matrix, labels=labels, normalize=is_list or args.normalize)


def _state(name, chain):
    """The number of the state of that label, or else of that number."""
    try:
        return chain.labels.index(name)
    except (AttributeError, ValueError):  # no labels, or not among them
        pass
    if not name.isdecimal() or int(name) >= chain.n_states:
        kind = "states are" if chain.labels is None else "it is no label, and states are"
        raise InvalidChainError(f"no state {name!r}: {kind} numbered 0 to {chain.n_states - 1}")
    return int(name)


def _vector(path, chain):
    """One number a state from a file; None for None."""
    if path is None:
        return None
    try:
        values = np.load(path, allow_pickle=False) if path.endswith(".npy") else _text_vector(path, chain)
    except (ValueError, TypeError, EOFError, csv.Error) as error:
        raise InvalidChainError(f"{path}: {error}; --help says what such a file holds") from error
    if values.dtype.kind not in "biuf":
        raise InvalidChainError(f"{path}: dtype {values.dtype}; save real numbers")
    return values


def _text_vector(path, chain):
    values = np.zeros(chain.n_states)
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        rows = [(reader.line_num, row) for row in reader if row]
    width = len(rows[0][1]) if rows else 0
    if width not in (1, 2) or (width == 1 and len(rows) != chain.n_states):
        raise InvalidChainError(f"{len(rows)} lines of {width} fields for {chain.n_states} states")
    numbers = {} if chain.labels is None or width == 1 else {str(label): state for state, label in enumerate(chain.labels)}
    for at, (line, row) in enumerate(rows):
        try:
            *name, value = row
            if width == 2:
                at = numbers[name[0]] if name[0] in numbers else _state(name[0], chain)
            values[at] = float(value)
        except (ValueError, IndexError) as error:
            raise InvalidChainError(f"line {line}: {error}") from None
    return values


def _given(args, *names):
    """The options that were given, as keywords; the rest keep the defaults of the function that they are for."""
    return {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}


def _analyze(chain, args, answer):
    from .report import analyze

    if args.html is not None:  # a missing package, or folder, is said now and not after the work
        from . import report_html  # noqa: F401
        from .report_files import require_place

        require_place(args.html, "page")
    answer["report"] = report = analyze(chain, score=_vector(args.score, chain), **_given(
        args, "level", "spectrum", "betas", "tol", "n_steps", "n_walkers", "max_steps", "rng", "num_threads", "progress"))
    if args.html is not None:
        try:
            report.to_html(args.html, title=args.chain)
        except OSError as error:  # a full disk must not take the JSON with it
            answer["error"] = {"error": type(error).__name__, "text": f"the page was not written: {_one_line(error)}"}
            print(f"fastebm analyze: error: {answer['error']['text']}", file=sys.stderr)
    if args.summary:
        print(report.summary(), file=sys.stderr)


def _gap(chain, args, answer):
    from .spectral import spectral_gap

    answer["gap"] = spectral_gap(chain, **_given(args, "kind", "tol", "certify", "max_matvecs", "rng", "num_threads", "progress"))


def _hit(chain, args, answer):
    from .hitting import hitting_times
    from .report_facts import named, standard_errors, target_of
    from .spectral import spectral_gap
    from .walk import simulate_hitting_times

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
        answer["solve"] = solve = hitting_times(chain, target, gap=answer.get("gap"), **_given(args, "tol", "max_iter"), **common)
        mean = solve.mean_from_pi if start is None else solve.mean[start].mean()
        if start is not None:
            answer["start"] = [named(chain, x) | {"mean": solve.mean[x], "lower": solve.lower[x], "upper": solve.upper[x]} for x in start]
    if args.method != "solve":
        answer["sample"] = sample = simulate_hitting_times(
            chain, target, start=start, **_given(args, "n_walkers", "max_steps", "rel_ci", "rng"), **common)
        answer["standard_errors"] = None if mean is None else standard_errors(mean, sample)


def _mix(chain, args, answer):
    from .mixing import mixing_curve
    from .report_facts import most_probable, named, reversible
    from .spectral import spectral_gap
    from .structure import require_aperiodic

    start = None if args.start is None else [_state(name, chain) for name in args.start]
    require_aperiodic(chain, "convergence to the stationary distribution")
    answer["start"] = [most_probable(chain)] if start is None else [named(chain, x) for x in start]
    common = _given(args, "num_threads", "progress")
    if args.bound:
        kind = "absolute" if reversible(chain) else "multiplicative"
        answer["gap"] = spectral_gap(chain, kind=kind, **_given(args, "tol", "rng"), **common)
    answer["mixing"] = mixing_curve(chain, [x["state"] for x in answer["start"]], args.n_steps, gap=answer.get("gap"), **common)


def _balance(chain, args, answer):
    if args.counts is not None:
        from .study import study

        answer["counts"] = args.counts
        answer["groups"] = study(args.counts, **_given(
            args, "by", "trajectory", "order", "value", "state", "bins", "skip", "n_bootstrap", "rng", "num_threads", "progress"))
        return
    from .balance import detailed_balance

    answer["balance"] = detailed_balance(chain, **_given(args, "tol", "num_threads"))


def _tilt(chain, args, answer):
    from .report_facts import describe
    from .tilt import tilt

    reward = chain.reward if args.reward is None else _vector(args.reward, chain)
    if reward is None:
        raise InvalidChainError("the chain has no reward of its own; give --reward FILE")
    tilted = tilt(chain, reward, args.beta, **_given(args, "num_threads"))
    tilted.save(args.output)
    answer |= {"output": args.output, "tilted": describe(tilted) | {"is_reversible": tilted.is_reversible}}


def _info(chain, args, answer):
    from .report_facts import describe, rare
    from .structure import structure

    s = structure(chain)
    answer["info"] = describe(chain) | {
        "is_reversible": chain.is_reversible, "n_classes": s.n_classes, "n_closed_classes": int(s.closed.sum()),
        "n_transient_states": int(s.size[~s.closed].sum()), "period": s.period,
        "rare": None if chain.pi is None else rare(chain.pi),
    }


def _convert(chain, args, answer):
    from scipy.io import mmwrite
    from scipy.sparse import save_npz

    output, lower = Path(args.output), args.output.lower()
    if lower.endswith((".npz", ".mtx")):
        output.parent.mkdir(parents=True, exist_ok=True)
        draft = output.with_name(f".{os.getpid()}-{output.stem}{lower[-4:]}")  # both writers insist on their suffix
        try:
            save_npz(draft, chain.to_scipy()) if lower.endswith(".npz") else mmwrite(draft, chain.to_scipy(), precision=17)
            draft.replace(output)
        finally:
            draft.unlink(missing_ok=True)
    elif lower.endswith((*LISTS, ".gz", ".tra")):
        raise InvalidChainError(f"{args.output}: convert writes .npz, .mtx or a folder")
    else:
        chain.save(output)
    answer |= {"output": args.output, "labels_kept": chain.labels is None or output.is_dir()}


def _demo(chain, args, answer):
    from .demo import run

    found = run(**_given(args, "output", "html", "dataset", "betas", "rng", "num_threads", "progress"))
    answer["converged"] = found["converged"]


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def _columns(text):
    return [name.strip() for name in text.split(",")]


def _seed(text):
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("a seed is not negative")
    return value


OPTIONS = {
    "--tol": {"type": float, "help": "relative accuracy (balance: the flux violation up to which the chain counts as reversible)"},
    "--seed": {"dest": "rng", "type": _seed, "metavar": "N", "help": "of everything random; drawn, and reported, by default"},
    "--threads": {"dest": "num_threads", "type": _positive, "metavar": "N", "help": "default: the CPUs this process may use"},
    "--progress": {"action": "store_true", "help": "a bar on stderr"},
    "--kind": {"choices": ("spectral", "absolute", "multiplicative", "additive"), "help": "which gap, default spectral"},
    "--certify": {"action": "store_true", "help": "form the vector for a rigorous upper bound"},
    "--max-matvecs": {"type": _positive, "metavar": "N", "help": "largest number of products"},
    "--max-iter": {"type": _positive, "metavar": "N", "help": "largest number of products of the solve"},
    "--score": {"metavar": "FILE", "help": "scores of the states; default: the chain's own reward"},
    "--level": {"type": float, "help": "states of score >= LEVEL are the target"},
    "--target": {"nargs": "+", "metavar": "STATE", "help": "the target, instead of --level"},
    "--start": {"nargs": "+", "metavar": "STATE", "help": "where to start (default hit: drawn from pi; mix: the most probable state)"},
    "--steps": {"dest": "n_steps", "type": int, "metavar": "N", "help": "length of the mixing curve"},
    "--walkers": {"dest": "n_walkers", "type": _positive, "metavar": "N", "help": "of the Monte Carlo"},
    "--max-steps": {"type": _positive, "metavar": "N", "help": "a walker stops after so many steps"},
    "--rel-ci": {"type": float, "metavar": "X", "help": "stop the Monte Carlo at this relative half width of the interval"},
    "--counts": {"metavar": "FILE", "help": "instead of CHAIN: observed counts (edge list, matrix, or .json of models) or, with --value or "
                 "--state, a table of trajectories; tests detailed balance with bootstrap p-values"},
    "--by": {"type": _columns, "metavar": "COLUMNS", "help": "of the table, comma-separated: a group for each combination of their values"},
    "--trajectory": {"type": _columns, "metavar": "COLUMNS", "help": "of the table: what tells trajectories of a group apart"},
    "--order": {"metavar": "COLUMN", "help": "of the table: the time; default the order of the rows"},
    "--value": {"metavar": "COLUMN", "help": "of the table: the number observed, cut into --bins quantile bins"},
    "--state": {"metavar": "COLUMN", "help": "of the table: the state observed, by name"},
    "--bins": {"type": _positive, "metavar": "N", "help": "quantile bins of --value, default 20"},
    "--skip": {"type": float, "metavar": "T", "help": "leave out observations of time below T"},
    "--bootstrap": {"dest": "n_bootstrap", "type": _positive, "metavar": "N", "help": "replicates of the p-values, default 999"},
    "--method": {"choices": ("solve", "simulate", "both"), "default": "solve", "help": "default solve"},
    "--bound": {"action": "store_true", "help": "compute the gap and the bound that it gives"},
    "--html": {"metavar": "FILE", "help": "also write the report as a page with figures, one file (needs the extra plot)"},
    "--spectrum": {"type": int, "metavar": "K", "help": "leading eigenpairs of the report, 0 for none; default 6 up to 5000 states, else "
                   "none: takes tens of times as long as a gap, memory 4 K + 33 vectors, twice that without detailed balance"},
    "--betas": {"nargs": "+", "type": float, "metavar": "B", "help": "temperatures at which the reward tilts the chain, for the gap of "
                "each (a tilted chain: of its reference); inf is without tilt; each takes the time of one gap or more"},
    "--summary": {"action": "store_true", "help": "the report in words, on stderr"},
    "--reward": {"metavar": "FILE", "help": "rewards of the states; default: the chain's own"},
    "--beta": {"type": float, "required": True, "help": "the KL coefficient, above 0; inf gives the chain itself"},
    "--output": {"required": True, "metavar": "FOLDER", "help": "where to save the tilted chain"},
}
COMMANDS = {
    "analyze": (_analyze, "everything that applies to the chain",
                "--score --level --spectrum --betas --tol --steps --walkers --max-steps --seed --summary --html --threads --progress"),
    "gap": (_gap, "a spectral gap with its evidence", "--kind --tol --certify --max-matvecs --seed --threads --progress"),
    "hit": (_hit, "hitting times of a target: solved, simulated, bounded",
            "--score --start --method --bound --tol --max-iter --walkers --max-steps --rel-ci --seed --threads --progress"),
    "mix": (_mix, "distances to the stationary law, step by step", "--start --steps --bound --tol --seed --threads --progress"),
    "balance": (_balance, "how far a chain, or observed counts, are from detailed balance",
                "--tol --counts --by --trajectory --order --value --state --bins --skip --bootstrap --seed --threads --progress"),
    "tilt": (_tilt, "tilt the chain by a reward and save it", "--reward --beta --output --threads"),
    "info": (_info, "size, storage and classes", ""),
    "convert": (_convert, "write the chain as a folder, .npz or .mtx", ""),
}


def _parser():
    parser = argparse.ArgumentParser(prog="fastebm", description="Numerical analysis of very large sparse Markov chains.",
                                     epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"fastebm {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (run, text, options) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, epilog=EPILOG, formatter_class=parser.formatter_class)
        command.set_defaults(run=run)
        command.add_argument("chain", metavar="CHAIN", nargs="?" if "--counts" in options else None)
        command.add_argument("--symmetric", action="store_true", help="each edge of a list counts in both directions")
        command.add_argument("--normalize", action="store_true", help="divide each row by its sum (lists: always)")
        for option in options.split():
            command.add_argument(option, **OPTIONS[option])
    target = commands.choices["hit"].add_mutually_exclusive_group(required=True)
    for option in ("--target", "--level"):
        target.add_argument(option, **OPTIONS[option])
    commands.choices["mix"].set_defaults(n_steps=100)
    commands.choices["convert"].add_argument("output", metavar="OUTPUT")
    demo = commands.add_parser("demo", help="the whole analysis on a real language model")
    demo.set_defaults(run=_demo)
    demo.add_argument("--output", default="report.json", metavar="FILE", help="default report.json")
    demo.add_argument("--html", **OPTIONS["--html"])
    demo.add_argument("--dataset", help="default english-trigram")
    demo.add_argument("--betas", nargs="+", type=float, metavar="B", help="temperatures of the sweep; inf: the reference")
    demo.add_argument("--seed", dest="rng", type=_seed, default=0, metavar="N", help="default 0")
    for option in ("--threads", "--progress"):
        demo.add_argument(option, **OPTIONS[option])
    return parser
