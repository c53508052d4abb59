"""What fastebm makes of a file or a command line, and whether that is right."""

import contextlib
import dataclasses
import io
import json
import math
import warnings

import numpy as np

import fastebm as fe
from fastebm.cli import main
from fastebm.cli.inputs import read_vector
from fastebm.errors import FastebmError, InvalidChainError
from fastebm.io import read_state_labels, read_state_rewards
from fastebm.io.read import read_form
from fastebm.report.observations import counted

from . import strict

RIGHT = "right"  # read as the strict reading does
REFUSED = "refused"  # an error in one line that names the file
WRONG = "wrong"  # read as something else
TRACEBACK = "traceback"  # another error, or more than one line
DEATH = "death"  # of the process
TIMEOUT = "timeout"
VERDICTS = (RIGHT, REFUSED, WRONG, TRACEBACK, DEATH, TIMEOUT)
BAD = (WRONG, TRACEBACK, DEATH, TIMEOUT)

NEAR = 1e-12  # sums of weights in another order
# Advice to unpickle, and texts of errors of other packages that say nothing of the file.
FORBIDDEN = ("allow_pickle", "Traceback", "unsafely")


@dataclasses.dataclass(frozen=True)
class Verdict:
    outcome: str
    detail: str = ""


def judged(read, check, path):
    """The verdict of read() -> what was read, and check(what was read) -> what is wrong with it, or
    None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", fe.SelectionWarning)
            found = read()
    except (InvalidChainError, fe.MemoryForecastError, FileNotFoundError) as error:
        text = str(error)
        if "\n" in text.replace(str(path), "") or any(word in text for word in FORBIDDEN):
            return Verdict(TRACEBACK, f"text of the error: {text}")
        return Verdict(REFUSED, text)
    except Exception as error:
        if isinstance(error, TypeError) and " must " in str(error):
            return Verdict(REFUSED, str(error))
        return Verdict(TRACEBACK, f"{type(error).__name__}: {error}")
    try:
        fault = check(found)
    except Exception as error:  # the strict reading refuses what was read
        return Verdict(WRONG, f"read, although {type(error).__name__}: {error}")
    return Verdict(RIGHT) if fault is None else Verdict(WRONG, fault)


def command(arguments, path=None):
    """The verdict of a command line: one line and status 2, or a JSON document."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("default")
            status = main(arguments)
    except BaseException as error:
        return Verdict(TRACEBACK, f"{' '.join(arguments)[:200]}: {type(error).__name__}: {error}")
    lines = err.getvalue().splitlines()
    detail = f"{' '.join(arguments)[:200]}: status {status}, {lines}"
    if any(word in err.getvalue() for word in (*FORBIDDEN, "Warning:")):
        return Verdict(TRACEBACK, detail)
    if status == 2:
        named = path is None or str(path) in err.getvalue()
        if len(lines) != 1 or out.getvalue() or not lines[0].startswith("fastebm") or not named:
            return Verdict(TRACEBACK, detail)
        return Verdict(REFUSED, detail)
    if status not in (0, 1) or (status == 1 and not lines):
        return Verdict(TRACEBACK, detail)
    if out.getvalue().startswith("{"):
        try:
            json.loads(out.getvalue(), parse_constant=_no_constant)
        except ValueError as error:
            return Verdict(TRACEBACK, f"{detail}: {error}")
    return Verdict(RIGHT, detail)


def _no_constant(name):
    raise ValueError(f"{name} is no JSON")


def both(library, line):
    """What the library made of a file, unless the command line is worse."""
    return line if line.outcome in BAD and library.outcome not in BAD else library


def differing(found, wanted):
    """The first entry in which two matrices {(i, j): value} differ, or None."""
    for pair in found.keys() | wanted.keys():
        one, other = found.get(pair, 0.0), wanted.get(pair, 0.0)
        both_nan = math.isnan(one) and math.isnan(other)
        if not both_nan and not math.isclose(one, other, rel_tol=NEAR):
            return f"{pair} is {one!r}, not {other!r}"
    return None


def entries(matrix, labels=None, name=lambda state: state):
    """{(i, j): value} of a sparse matrix, by the names of the states."""
    coo = matrix.tocoo()
    names = [name(x) for x in range(matrix.shape[0])] if labels is None else labels
    found = zip(coo.row, coo.col, coo.data, strict=True)
    return {(names[i], names[j]): float(x) for i, j, x in found if x != 0}


# --- formats --------------------------------------------------------------------------------------


def matrix(path, rng):
    suffix = "".join(path.suffixes).removesuffix(".gz")
    reading = {".mtx": strict.mtx, ".tra": strict.tra, ".npz": strict.npz}.get(suffix)

    def check(found):
        matrix, labels, form = found
        if reading is not None:
            wanted, n_states = reading(path)
            got = entries(matrix)
        else:
            wanted, names = getattr(strict, f"{suffix[1:]}_{form}")(path)
            n_states, got = len(names), entries(matrix, labels, str)
        if matrix.shape[0] != n_states:
            return f"{matrix.shape[0]} states, not {n_states}"
        return differing(got, wanted)

    options = ["--normalize"] if rng.random() < 0.7 else []
    options += ["--symmetric"] if rng.random() < 0.1 and reading is None else []
    return both(
        judged(lambda: read_form(path, None), check, path), command(["info", str(path), *options])
    )


def vector(path, rng, chain, chain_path):
    def check(found):
        wanted = strict.vector(path)
        wanted = {int(state): value for state, value in wanted.items()}
        got = {state: float(value) for state, value in enumerate(found)}
        return differing(
            {(k, 0): x for k, x in got.items()}, {(k, 0): x for k, x in wanted.items()}
        )

    output = str(path.with_name("tilted"))
    options = ["--reward", str(path), "--beta", "1", "--output", output]
    return both(
        judged(lambda: read_vector(str(path), chain, False), check, path),
        command(["tilt", str(chain_path), *options]),
    )


def state_labels(path, rng, chain_path):
    def check(found):
        states = {label: set(np.flatnonzero(mask).tolist()) for label, mask in found.items()}
        wanted = strict.labels(path, 4)
        return None if states == wanted else f"{states}, not {wanted}"

    options = ["--target", "done", "--within", "3", "--state-labels", str(path)]
    verdict = judged(lambda: read_state_labels(path, 4), check, path)
    line = command(["reach", str(chain_path), *options])
    return both(verdict, line)


def state_rewards(path, rng, chain_path):
    def check(found):
        got = {(state, 0): float(value) for state, value in enumerate(found)}
        return differing(got, {(k, 0): x for k, x in strict.rewards(path, 4).items()})

    options = ["--target", "3", "--reward", str(path), "--long-run"]
    verdict = judged(lambda: read_state_rewards(path, 4), check, path)
    return both(verdict, command(["reach", str(chain_path), *options]))


def models(path, rng):
    def read():
        return [
            (group.name, entries(group.counts.counts, group.counts.labels))
            for group in counted(str(path), None)
        ]

    def check(found):
        wanted = strict.counted_json(path)
        if [name for name, _ in found] != [*wanted]:
            return "other models"
        return next(filter(None, (differing(got, wanted[name]) for name, got in found)), None)

    arguments = ["balance", "--counts", str(path), "--bootstrap", "3", "--seed", "1"]
    return both(judged(read, check, path), command(arguments, path=None))


def table(path, rng):
    def check(found):
        return differing(entries(found.counts, found.labels, str), strict.transitions(path))

    columns = ["--trajectory", "trajectory", "--state", "state"]
    arguments = ["balance", "--counts", str(path), *columns, "--bootstrap", "3", "--seed", "1"]
    verdict = judged(lambda: fe.count_transitions(path), check, path)
    return both(verdict, command(arguments)) if rng.random() < 0.3 else verdict


def folder(path, rng, whole):
    """`whole` is the chain that was saved."""

    def check(found):
        if found.n_states != whole.n_states or found.lag != whole.lag:
            return f"{found.n_states} states of lag {found.lag}"
        labels = [None if x.labels is None else [*x.labels] for x in (found, whole)]
        if labels[0] != labels[1]:
            return "other labels"
        for name in ("reward", "pi"):
            one, other = getattr(found, name), getattr(whole, name)
            if (one is None) != (other is None) or (
                one is not None and not np.allclose(one, other, rtol=1e-9, atol=1e-14)
            ):
                return f"another {name}"
        return differing(entries(found.to_scipy()), entries(whole.to_scipy()))

    return both(judged(lambda: fe.load(path), check, path), command(["info", str(path)]))


def checkpoint(path, rng, arrays, made):
    def check(found):
        if found is None or found.keys() != arrays.keys():
            return f"arrays {None if found is None else [*found]}"
        same = all(np.array_equal(found[name], arrays[name]) for name in arrays)
        return None if same else "other arrays"

    return judged(lambda: made(path).load(), check, path)


def in_memory(matrix, arrays, rng):
    """A matrix of SciPy whose arrays were changed in place, to every constructor."""

    def check(found):
        wanted, _ = strict.stored(matrix.format, arrays)
        sums = {}
        for (i, _), value in wanted.items():
            sums[i] = sums.get(i, 0.0) + value
        return differing(
            entries(found.to_scipy()), {(i, j): x / sums[i] for (i, j), x in wanted.items()}
        )

    makers = [
        lambda: fe.MarkovChain(matrix, normalize=True),
        lambda: fe.MarkovChain.from_counts(matrix),
    ]
    verdict = judged(makers[int(rng.integers(2))], check, "")
    others = [
        lambda: fe.MarkovChain.from_generator(matrix),
        lambda: fe.connected_set(matrix),
        lambda: fe.MarkovChain.from_counts(matrix, reversible=True),
    ]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            others[int(rng.integers(3))]()
    except Exception as error:
        if isinstance(error, FastebmError) or " must " in str(error):
            return verdict
        return Verdict(TRACEBACK, f"{type(error).__name__}: {error}")
    return verdict
