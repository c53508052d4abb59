"""The command ``fastebm pagerank``: PageRank of a graph, whose nodes need no edge out of them."""

import argparse
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from .._runtime.resumable import stage
from .._runtime.types import Labels
from ..errors import InvalidChainError
from . import argument_types
from .inputs import STDIN, load_chain, read_vector, standard_input
from .outputs import Table, state_names
from .status import STATUSES

EPILOG = (
    """\
GRAPH is one of
  FILE.csv[.gz]  .parquet          an edge list (source, target and an optional weight), or a table
                                   with a row and a column for each node
  FILE.npz  .mtx[.gz]  .tra[.gz]   a matrix of weights: those of the edges x -> y in row x
  FOLDER  dataset:NAME             a chain
  -                                standard input: an edge list, a table or Matrix Market
Nodes without an edge out of them are allowed in files.
--personalization and --dangling take a .npy file or a text file: one number per line, or lines
NODE,NUMBER, where nodes that are not listed have the weight 0.

One JSON document goes to stdout, everything else to stderr.
"""
    + STATUSES
)
OWN_OPTIONS: dict[str, dict[str, Any]] = {
    "--damping": {
        "type": argument_types.real,
        "metavar": "A",
        "help": "probability to follow an edge, default 0.85",
    },
    "--personalization": {
        "metavar": "FILE",
        "help": "weights of the nodes at which the surfer starts anew; default: all alike",
    },
    "--dangling": {
        "metavar": "FILE",
        "help": "weights of the nodes to which a node without edges leads; default: as "
        "--personalization",
    },
    "--tol": {"type": argument_types.real, "help": "largest error in L1, default 1e-10"},
}
# Options that are as in the other commands.
SHARED = ("--max-iter", "--numbered", "--output", "--checkpoint", "--threads", "--progress")


class Graph(NamedTuple):
    """What is asked of a chain where states are named."""

    links: Any
    n_states: int
    labels: Labels | None


def add_pagerank(
    commands: Any,
    add: Callable[[argparse._ActionsContainer, dict[str, dict[str, Any]]], dict[str, str]],
    chain_options: dict[str, dict[str, Any]],
    options: dict[str, dict[str, Any]],
) -> None:
    """Declare the command; `add` adds options and gives {parameter name: option}."""
    text = "PageRank of a graph or chain, with a proven error"
    command = commands.add_parser(
        "pagerank",
        help=text,
        description=text,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("graph", metavar="GRAPH")
    read = {name: chain_options[name] for name in ("--symmetric", "--format")}
    own = OWN_OPTIONS | {name: options[name] for name in SHARED}
    spellings = add(command, read) | add(command, own)
    command.set_defaults(run=run_pagerank, spellings=spellings, usage_error=command.error)


def run_pagerank(chain: None, args: argparse.Namespace, answer: dict[str, Any]) -> Table:
    from ..networks.pagerank import pagerank
    from ..report.facts import listed_labels

    graph: Any = _read(args)
    answer |= {"graph": args.graph, "n_states": graph.n_states}
    if (labels := listed_labels(graph)) is not None:
        answer["states"] = labels
    names = ("damping", "tol", "max_iter", "num_threads", "progress")
    options = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    for name in ("personalization", "dangling"):
        options[name] = read_vector(getattr(args, name), graph, args.numbered)
    answer["pagerank"] = found = stage("pagerank", lambda: pagerank(graph.links, **options))
    return {"state": state_names(graph), "pi": found.pi}


def _read(args: argparse.Namespace) -> Graph:
    if args.graph == STDIN:
        with standard_input() as path:
            return _read_graph(path, args)
    return _read_graph(args.graph, args)


def _read_graph(name: str, args: argparse.Namespace) -> Graph:
    from scipy.sparse import triu

    from ..io.read import LISTS, read_form

    if os.path.isdir(name) or name.startswith("dataset:"):
        given = {
            "chain": name,
            "normalize": False,
            "rates": False,
            "lag": None,
            "lazy": None,
            "trust": (),
        }
        chain = load_chain(argparse.Namespace(**vars(args) | given, verify="auto"))
        return Graph(chain, chain.n_states, chain.labels)
    weights, labels, form = read_form(name, args.format)
    if args.symmetric and (form == "table" or not name.lower().endswith(tuple(LISTS))):
        raise InvalidChainError(f"--symmetric is for edge lists; {name} is a table or a matrix")
    if args.symmetric:  # each listed edge in both directions, a self-loop once
        weights = triu(weights) + triu(weights.T, 1)
        weights = weights + triu(weights, 1).T
    return Graph(weights, weights.shape[0], labels)
