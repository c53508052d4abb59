"""What the command line reads: chains, states and vectors."""

import argparse
import csv
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import islice
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from .._runtime.checkpoint import fingerprint
from .._runtime.npy import read_array
from ..chains.chain import MarkovChain
from ..errors import InputTooLargeError, InvalidChainError
from ..io.opening import file_size, file_too_large, malformed, opened, opened_text
from ..io.transitions import real

# Labels that are compared with a name that is none of them.
MAX_COMPARED = 20_000
STDIN = "-"  # as CHAIN
_LONGEST_SNIFFED = 1 << 16
_FORMAT = "see --help for the format"


def one_line(error: BaseException) -> str:
    """The text of an error in one line; an error of the system is shown without its number."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = str(error)
    return " ".join(text.split())


def load_chain(args: argparse.Namespace) -> MarkovChain:
    """The chain that CHAIN names, with the options --symmetric, --normalize, --lag and --lazy."""
    if args.chain == STDIN:
        with standard_input() as path:
            chain = _read_chain(path, args)
    else:
        chain = _read_chain(args.chain, args)
    if args.lag is not None:
        chain.lag = args.lag
    return chain if args.lazy is None else chain.lazy(args.lazy)


@contextmanager
def standard_input() -> Iterator[str]:
    """A temporary file with the lines of standard input, whose suffix says what they are. Errors of
    the block name the standard input instead."""
    if sys.stdin is None:
        raise InvalidChainError("standard input is closed; name a file")
    with TemporaryDirectory(prefix="fastebm-") as folder:
        copy = os.path.join(folder, "stdin")
        with open(copy, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        path = copy + _suffix_of(copy)
        os.rename(copy, path)
        try:
            yield path
        except (InvalidChainError, InputTooLargeError) as error:
            raise type(error)(str(error).replace(path, "standard input")) from None


def _suffix_of(path: str) -> str:
    """By its first line that is no comment: Matrix Market, or fields separated by commas, tabs or
    spaces."""
    with open(path, "rb") as file:
        line = file.readline(_LONGEST_SNIFFED)
        if line.startswith(b"%%MatrixMarket"):
            return ".mtx"
        while line.startswith((b"#", b"%")) or (line and not line.strip()):
            line = file.readline(_LONGEST_SNIFFED)
    return ".csv" if b"," in line else ".tsv" if b"\t" in line else ".txt"


def _read_chain(name: str, args: argparse.Namespace) -> MarkovChain:
    from .. import datasets
    from ..chains.store import load
    from ..io import read
    from ..io.prism import has_rates
    from ..io.read import LISTS, read_form

    options = [x for x in ("symmetric", "normalize", "rates", "format", "lag") if getattr(args, x)]
    dataset = name.removeprefix("dataset:")
    if dataset != name or os.path.isdir(name):
        if options:
            raise InvalidChainError(f"--{options[0]} is for files; {name} is a chain already")
        if dataset != name and dataset not in datasets.names():
            raise InvalidChainError(f"no dataset {dataset!r}; known: {', '.join(datasets.names())}")
        if dataset != name:
            return datasets.load(dataset)
        return load(name, verify=args.verify, trust=args.trust)
    is_list = name.lower().endswith(tuple(LISTS))
    is_tra = name.lower().endswith((".tra", ".tra.gz"))
    if args.rates or (is_tra and has_rates(name)):
        if args.symmetric or args.normalize or args.lag is not None:
            given = next(x for x in ("symmetric", "normalize", "lag") if getattr(args, x))
            raise InvalidChainError(f"--{given} has no meaning for rates; leave it out")
        rates, labels = read(name, format=args.format)
        return MarkovChain.from_rates(rates, labels=labels)
    if args.symmetric and not is_list:
        raise InvalidChainError(
            f"--symmetric is for edge lists ({', '.join(LISTS)}), not for {name}"
        )
    if args.symmetric:
        matrix, labels, form = read_form(name, args.format)
        if form == "table":
            raise InvalidChainError(f"--symmetric is for edge lists; {name} is a table")
        edges = matrix.tocoo()
        return MarkovChain.from_edges(
            edges.row,
            edges.col,
            edges.data,
            n_states=matrix.shape[0],
            symmetric=True,
            labels=labels,
        )
    matrix, labels = read(name, format=args.format)
    weights = is_list or name.lower().endswith((".graphml", ".graphml.gz"))
    return MarkovChain(matrix, labels=labels, normalize=weights or args.normalize)


# The options that change no result, and what the parser adds.
FREE = (
    *("output", "html", "save", "summary", "json_lines", "checkpoint", "num_threads", "progress"),
    *("verify", "trust", "run", "spellings", "usage_error"),
)
# The options, and the argument of `pagerank`, that name files to read.
INPUTS = (
    *("graph", "counts", "score", "reward", "personalization", "dangling", "state_labels"),
    "words",
)
# How a chain was read, which its own fingerprint covers.
COVERED = ("chain", "symmetric", "normalize", "rates", "format", "lazy")


def identity(args: argparse.Namespace, chain: MarkovChain | None) -> str:
    """What the results of a command depend on: its options, the contents of its files, the chain
    with its reward and the names of its states."""
    left_out = FREE if chain is None else (*FREE, *COVERED)
    options = {name: x for name, x in vars(args).items() if name not in left_out}
    parts: list[object] = [options]
    for name in INPUTS:
        if (path := options.get(name)) is not None:
            if not os.path.isfile(path):
                raise InvalidChainError(
                    f"{path} is no regular file; --checkpoint needs inputs that can be read again"
                )
            parts.append(np.fromfile(path, np.uint8))
    if chain is None:
        return fingerprint(*parts)
    reward: Any = chain.reward
    stored = [reward] if isinstance(reward, np.ndarray) or reward is None else []
    if not stored:
        stored = [reward.data, reward.indices, reward.indptr]
    names = hashlib.blake2b(digest_size=16)
    for label in chain.labels or ():
        names.update(f"{label}\0".encode(errors="surrogatepass"))
    return fingerprint(
        *parts, chain.fingerprint(), chain.rate, chain.lag, *stored, names.hexdigest()
    )


def state_number(name: str, chain: MarkovChain, numbered: bool) -> int:
    """The number of the state with this label. The name is that number if the chain has no labels,
    or with `numbered`."""
    if chain.labels is None or numbered:
        if not _is_number(name) or int(name) >= chain.n_states:
            raise InvalidChainError(
                f"no state {name!r}: states are numbered 0 to {chain.n_states - 1}"
            )
        return int(name)
    labels: Any = chain.labels
    try:
        found = int(labels.index(name))
    except ValueError:
        raise InvalidChainError(_unknown(name, chain)) from None
    if isinstance(labels, (list, tuple)) and labels.count(name) > 1:
        again = labels.index(name, found + 1)
        raise InvalidChainError(
            f"{name!r} is the label of the states {found} and {again}; give --numbered and the "
            "number of one of them"
        )
    return found


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) <= 18


def _unknown(name: str, chain: MarkovChain) -> str:
    """The error about a name that is no label."""
    assert chain.labels is not None
    text = f"no state {name!r}: it is not a label"
    near = get_close_matches(name, islice(chain.labels, MAX_COMPARED), cutoff=0.5)
    near = near or [*islice(chain.labels, 3)]
    text += f"; labels are {', '.join(map(repr, near))}" + ", ..." * (chain.n_states > len(near))
    if _is_number(name) and int(name) < chain.n_states:
        text += f"; for the state of number {name} (labelled {chain.labels[int(name)]!r}) give "
        text += "--numbered"
    return text


def read_vector(
    path: str | None, chain: MarkovChain, numbered: bool
) -> npt.NDArray[np.generic] | None:
    """One number per state from a file; None for None."""
    if path is None:
        return None
    if path.lower().endswith(".npy"):
        with file_too_large(), opened(path) as file:
            values = read_array(file, file_size(path), path)
    else:
        values = _text_vector(path, chain, numbered)
    if values.dtype.kind not in "biuf":
        raise InvalidChainError(f"{path}: dtype {values.dtype}; save real numbers")
    if values.shape != (chain.n_states,) or np.isnan(values).any():
        raise malformed(
            path,
            f"shape {values.shape}, with {np.isnan(values).sum()} times nan",
            f"give one number for each of the {chain.n_states} states",
        )
    return values


def _text_vector(path: str, chain: MarkovChain, numbered: bool) -> npt.NDArray[np.generic]:
    values = np.zeros(chain.n_states)
    rows: list[tuple[int, list[str]]] = []
    with opened_text(path) as file:
        reader = csv.reader(file)
        try:
            for row in reader:
                if row:
                    rows.append((reader.line_num, row))
                if len(rows) > chain.n_states:
                    raise malformed(path, f"more lines than the {chain.n_states} states", _FORMAT)
        except csv.Error as error:
            raise malformed(path, f"line {reader.line_num}: {error}", _FORMAT) from error
    width = len(rows[0][1]) if rows else 0
    if width not in (1, 2) or (width == 1 and len(rows) != chain.n_states):
        raise malformed(
            path, f"{len(rows)} lines of {width} fields for {chain.n_states} states", _FORMAT
        )
    numbers: dict[str, int] = {}
    if width == 2 and chain.labels is not None and not numbered:
        # the first state of a label that occurs twice is reported by state_number
        numbers = {str(label): state for state, label in enumerate(chain.labels)}
        numbers = numbers if len(numbers) == chain.n_states else {}
    seen: set[int] = set()
    for at, (line, row) in enumerate(rows):
        try:
            if len(row) != width:
                raise ValueError(f"{len(row)} fields instead of {width}")
            if width == 2:
                name = row[0].strip()
                at = numbers[name] if name in numbers else state_number(name, chain, numbered)
                if at in seen:
                    raise ValueError(f"the state {name!r} has a value already")
                seen.add(at)
            values[at] = real(row[-1])
        except ValueError as error:
            raise malformed(path, f"line {line}: {error}", _FORMAT) from None
    return values
