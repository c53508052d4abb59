"""What the command line reads: chains, states and vectors."""

import argparse
import csv
import os

import numpy as np
import numpy.typing as npt

from ..chains.chain import MarkovChain
from ..errors import InvalidChainError

LISTS = (".csv", ".csv.gz", ".parquet")


def one_line(error: BaseException) -> str:
    """The text of an error in one line; an error of the system is shown without its number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())


def load_chain(args: argparse.Namespace) -> MarkovChain:
    """The chain that CHAIN names, with the options --symmetric, --normalize and --lazy."""
    chain = _read_chain(args)
    return chain if args.lazy is None else chain.lazy(args.lazy)


def _read_chain(args: argparse.Namespace) -> MarkovChain:
    from .. import datasets
    from ..chains.store import load
    from ..io import read

    name = args.chain
    options = [option for option in ("symmetric", "normalize") if getattr(args, option)]
    dataset = name.removeprefix("dataset:")
    if dataset != name or os.path.isdir(name):
        if options:
            raise InvalidChainError(f"--{options[0]} is for files; {name} is a chain already")
        if dataset != name and dataset not in datasets.names():
            raise InvalidChainError(f"no dataset {dataset!r}; known: {', '.join(datasets.names())}")
        return load(name) if dataset == name else datasets.load(dataset)
    is_list = name.lower().endswith(LISTS)
    if args.symmetric and not is_list:
        raise InvalidChainError(
            f"--symmetric is for edge lists ({', '.join(LISTS)}), not for {name}"
        )
    matrix, labels = read(name)
    if args.symmetric:
        edges = matrix.tocoo()
        return MarkovChain.from_edges(
            edges.row,
            edges.col,
            edges.data,
            n_states=matrix.shape[0],
            symmetric=True,
            labels=labels,
        )
    return MarkovChain(matrix, labels=labels, normalize=is_list or args.normalize)


def state_number(name: str, chain: MarkovChain) -> int:
    """The number of the state with this label, or else with this number."""
    try:
        return int(chain.labels.index(name))  # type: ignore[union-attr]  # None raises
    except (AttributeError, ValueError):  # no labels, or not one of them
        pass
    if not name.isdecimal() or int(name) >= chain.n_states:
        kind = "states are" if chain.labels is None else "it is not a label, and states are"
        raise InvalidChainError(f"no state {name!r}: {kind} numbered 0 to {chain.n_states - 1}")
    return int(name)


def read_vector(path: str | None, chain: MarkovChain) -> npt.NDArray[np.generic] | None:
    """One number per state from a file; None for None."""
    if path is None:
        return None
    try:
        values = (
            np.load(path, allow_pickle=False)
            if path.endswith(".npy")
            else _text_vector(path, chain)
        )
    except (ValueError, TypeError, EOFError, csv.Error) as error:
        raise InvalidChainError(f"{path}: {error}; see --help for the format") from error
    if values.dtype.kind not in "biuf":
        raise InvalidChainError(f"{path}: dtype {values.dtype}; save real numbers")
    return values


def _text_vector(path: str, chain: MarkovChain) -> npt.NDArray[np.generic]:
    values = np.zeros(chain.n_states)
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        rows = [(reader.line_num, row) for row in reader if row]
    width = len(rows[0][1]) if rows else 0
    if width not in (1, 2) or (width == 1 and len(rows) != chain.n_states):
        raise InvalidChainError(f"{len(rows)} lines of {width} fields for {chain.n_states} states")
    numbers = (
        {}
        if chain.labels is None or width == 1
        else {str(label): state for state, label in enumerate(chain.labels)}
    )
    for at, (line, row) in enumerate(rows):
        try:
            if len(row) != width:
                raise InvalidChainError(f"{len(row)} fields instead of {width}")
            if width == 2:
                at = numbers[row[0]] if row[0] in numbers else state_number(row[0], chain)
            values[at] = float(row[-1])
        except ValueError as error:
            raise InvalidChainError(f"line {line}: {error}") from None
    return values
