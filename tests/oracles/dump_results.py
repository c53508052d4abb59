"""Every public analysis on many chains, written to a file; two files compared bit by bit.

    python tests/oracles/dump_results.py write OUT       about three minutes on one core
    python tests/oracles/dump_results.py compare A B     exit status 1 if any value differs

Proves that a change of the sources changes no result: write with both, then compare. Only public
names are used. A file is a pickle of {(case, call): {field: value}} with plain Python and NumPy
values, which are compared by their bits. Texts that may be reworded (of errors and warnings) are
compared apart and counted, as are fields that one side lacks. Timings are left out. What is not run
is in the file too, with the reason."""

# ruff: noqa: E402, I001 - threads and the path are set before the imports

import os

for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # it decides the order of sums in dense products

import dataclasses
import pickle
import re
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse as sp

TESTS = Path(__file__).resolve().parents[1]
HELPERS = {
    path.parent for name in ("gallery", "example_rules") for path in TESTS.rglob(name + ".py")
}
sys.path[:0] = [str(folder) for folder in (TESTS.parent, *sorted(HELPERS))]

import fastebm

import dump_cases as cases

UNTIMED = {"wall_s", "steps_per_second", "timings", "version", "versions"}
REWORDED = re.compile(r"(message|warning_texts|skipped|(.*\.)?(errors|failures)(\.[^.]*)?)$")
NOT_RUN = {"get_include": "a path"}


def flatten(value, path, out):
    """Put every leaf of a result into `out` under its dotted name."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, float, complex, str)):
        out[path] = value
    elif isinstance(value, np.ndarray):
        out[path] = np.array(value)
    elif isinstance(value, fastebm.MarkovChain):
        parts = ("dtype", "nnz", "log_pi", "reward", "labels", "rate", "is_reversible", "beta")
        parts = {name: getattr(value, name, None) for name in parts}
        flatten({**parts, "dtype": str(value.dtype), "P": value.to_scipy()}, path, out)
    elif sp.issparse(value):
        value = sp.csr_array(value)
        flatten([value.shape, value.indptr, value.indices, value.data], path, out)
    elif dataclasses.is_dataclass(value) and not isinstance(value, Sequence):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        flatten(value, path, out)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key not in UNTIMED:
                flatten(item, f"{path}.{key}" if path else str(key), out)
    elif isinstance(value, Sequence):
        value = [item.item() if isinstance(item, np.generic) else item for item in value]
        if value and not all(isinstance(item, (bool, int, float, str)) for item in value):
            for i, item in enumerate(value):
                flatten(item, f"{path}[{i}]", out)
        else:
            out[path] = value
    else:
        raise TypeError(f"{path}: what to store of a {type(value).__name__}?")


def call(function, *args):
    """The fields of what a function returns, or its error, and its warnings."""
    out = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = function(*args)
            out["outcome"] = "returned"
        except Exception as error:
            out["outcome"], out["message"] = type(error).__name__, str(error)
            value = {}
    # numpy's own warnings depend on how an expression is written, not on what it gives
    own = (fastebm.ConvergenceWarning, fastebm.SelectionWarning)
    told = [w for w in caught if issubclass(w.category, own)]
    out["warnings"] = sorted(w.category.__name__ for w in told)
    out["warning_texts"] = sorted(str(w.message) for w in told)
    flatten(value if isinstance(value, Mapping) else {"": value}, "", out)
    return out


def questions(make, threads):
    """The names in cases.CHAINS and SPLITTING: a chain made anew and what is asked of it."""
    c, k = make(), {"num_threads": threads}
    n, r = c.n_states, {"rng": 7, **k}
    walk, split = {"n_walkers": 64, "max_steps": 300}, {"n_particles": 16, "n_replicas": 2}
    f, a, b = np.sin(1.0 + np.arange(n)), [n - 1, n // 2], [0]
    own = {"c": c, "n": n, "k": k, "r": r, "f": f, "a": a, "b": b}
    return {**own, "walk": {**r, **walk}, "split": {**r, **split}}


def eval_anew(line, names):
    return eval(line, vars(cases) | names())


def run(found, case, table, names, n=0):
    """Put the fields of every call of a table into `found`; names() makes its variables anew."""
    limit = np.inf
    for line in table.strip().split("\n"):
        if line.startswith("<= "):
            limit = int(line[3:])
        elif n > limit:
            found[case, line] = {"skipped": f"slow on more than {limit} states"}
        else:
            found[case, line] = call(eval_anew, line, names)


def write(path):
    begin, found = time.perf_counter(), {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, make in cases.chains(folder):
            n = make().n_states
            for threads in (1, 2):
                case, names = f"{name}, {threads} threads", partial(questions, make, threads)
                if threads == 2 and 100 < n < 2000:
                    found[case, "all"] = {"skipped": "one block of states, as are smaller chains"}
                    continue
                run(found, case, cases.CHAINS, names, n)
                if re.sub(r"^\d\d ", "", name) in cases.QUICK:
                    run(found, case, cases.SPLITTING, names)
                else:
                    found[case, "splitting"] = {"skipped": "its walkers have no limit of steps"}
        for k in (1, 2):
            for n in (4, 30):
                names = partial(cases.data, n, k, folder)
                run(found, f"data of {n} states, {k} threads", cases.DATA, names)
            for logit in (False, True):
                names = partial(cases.formulas, logit, k)
                run(found, f"rlvr, logit={logit}, {k} threads", cases.FORMULAS, names)
    for used, public in ((cases.fe, fastebm.__all__), (cases.rlvr, dir(fastebm.rlvr))):
        for name in sorted(set(public) - used.names):
            value = getattr(used, name)
            if callable(value) and not isinstance(value, type):
                found["never called", name] = {"skipped": NOT_RUN.get(name, "forgotten")}
    with open(path, "wb") as file:
        pickle.dump(found, file)
    skipped = Counter(fields["skipped"] for fields in found.values() if "skipped" in fields)
    outcomes = Counter(fields["outcome"] for fields in found.values() if "outcome" in fields)
    n_fields = sum(map(len, found.values()))
    print(f"{len(found) - skipped.total()} calls, {n_fields} fields, of {fastebm.__file__}")
    print(f"outcomes {dict(outcomes)}, skipped {dict(skipped)}")
    print(f"{time.perf_counter() - begin:.0f} s")


def bits(value):
    """What two values have in common if and only if they are the same."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return repr(
        value
    )  # the shortest digits that give a double, which tell every double from others


def difference(a, b):
    """In words: where two values differ, both there, and their relative difference."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"{a.dtype} {a.shape} -> {b.dtype} {b.shape}"
        view = [np.ascontiguousarray(x).reshape(-1) for x in (a, b)]
        unequal = view[0] != view[1]
        if not unequal.any():
            return "only in the signs of zeros or in nan"
        with np.errstate(all="ignore"):
            gap = np.abs(np.subtract(*view, dtype=complex)) / np.maximum(*map(np.abs, view))
        at = int(np.nanargmax(np.where(unequal, np.nan_to_num(gap, nan=0.0), -1.0)))
        pair = f"{view[0][at]!r} -> {view[1][at]!r}"
        return f"{unequal.sum()} of {a.size}, most at [{at}]: {pair}, relative {gap[at]:.3g}"
    relative = ""
    if all(isinstance(x, (int, float, complex)) for x in (a, b)) and a != b:
        relative = f", relative {abs(a - b) / max(abs(a), abs(b)):.3g}"
    return f"{a!r:.200} -> {b!r:.200}{relative}"


def compare(*paths):
    """Print what differs; whether any value does, or a call is missing."""
    first, second = (pickle.loads(Path(path).read_bytes()) for path in paths)
    kinds, worst = Counter(), Counter()
    for key in sorted(first.keys() | second.keys()):
        if key not in first or key not in second:
            kinds["calls of one side only"] += 1
            print("ONE SIDE ONLY", *key)
            continue
        a, b = first[key], second[key]
        for field in sorted(a.keys() | b.keys()):
            if field not in a or field not in b:
                kind = "missing fields" if field in a else "new fields"
                print(kind.upper(), *key, field)
            elif bits(a[field]) == bits(b[field]):
                kind = "equal values"
            elif REWORDED.match(field):
                kind = "other words"
            else:
                kind = "other values"
                worst[key[1]] += 1
                if worst[key[1]] <= 20:
                    print("DIFFERS", *key, field, difference(a[field], b[field]), sep=" | ")
            kinds[kind] += 1
    for item in worst.most_common():
        print("other values:", *item)
    print(dict(kinds))
    print("IDENTICAL" if set(kinds) <= {"equal values"} else "NOT IDENTICAL")
    return kinds["other values"] + kinds["calls of one side only"] > 0


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "write":
        write(sys.argv[2])
    elif len(sys.argv) == 4 and sys.argv[1] == "compare":
        sys.exit(int(compare(*sys.argv[2:])))
    else:
        sys.exit(__doc__)
