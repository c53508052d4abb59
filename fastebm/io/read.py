"""`read`: the suffix of a file chooses its reader. A new format is one more line of `READERS`."""

import os
from collections.abc import Callable
from typing import Any, TypeAlias

import scipy.sparse as sp

from .._runtime import validate
from .._runtime.types import Path
from ..errors import InvalidChainError
from .edge_lists import Form, Listed, read_csv, read_parquet, read_tsv, read_txt
from .graphs import read_graphml
from .matrix_market import read_mtx
from .npz import read_npz
from .opening import file_too_large, malformed
from .prism import read_tra

#: (path) -> (a sparse or dense matrix, the names of the states or None where they are numbered).
Reader: TypeAlias = Callable[[str], tuple[Any, tuple[str, ...] | None]]

READERS: dict[str, Reader] = {
    ".npz": read_npz,
    ".mtx": read_mtx,
    ".mtx.gz": read_mtx,
    ".tra": read_tra,
    ".tra.gz": read_tra,
    ".graphml": read_graphml,
    ".graphml.gz": read_graphml,
}
# Files whose suffix does not say whether they hold an edge list or a table.
LISTS = {
    ".csv": read_csv,
    ".csv.gz": read_csv,
    ".tsv": read_tsv,
    ".tsv.gz": read_tsv,
    ".txt": read_txt,
    ".txt.gz": read_txt,
    ".parquet": read_parquet,
}


def read(path: Path, *, format: Form | None = None) -> tuple[sp.csr_array, tuple[str, ...] | None]:
    """Read a matrix of transitions, weights or counts.

    The suffix, in upper or lower case, names the format:

    .npz
        What `scipy.sparse.save_npz` writes.
    .mtx, .mtx.gz
        Matrix Market; a symmetric file gives both triangles.
    .tra, .tra.gz
        Transitions of a discrete-time chain as PRISM (first line ``n_states n_transitions``) or
        Storm (first line ``dtmc``) write them: lines ``from to probability [action]``, states from
        0. ``#`` starts a comment.
    .csv, .csv.gz
        Edge list in UTF-8: source, target and optionally weight (default 1), in this order. Edges
        are directed. A first line that names a source column (source, src, from, i) and a target
        column (target, tgt, to, j) is a header. The columns are then found by name, the weight as
        weight, wt, w, p, prob, probability, count or n; columns with other names are ignored if
        there is a weight.
        Lines that start with ``#`` are comments if they come before every other line.

        Or a table of weights with a row and a column for each state: n rows of n numbers, with a
        header of n names, a first column of n names, or both, with the same names in any order. The
        states are then in the order of the rows. A file that may be read either way is refused
        unless `format` says which it is; only those of at most four lines and three columns may.
    .tsv, .tsv.gz; .txt, .txt.gz
        The same with fields separated by tabs or by white space, as SNAP and KONECT publish
        networks and `numpy.savetxt` writes arrays. Comments before every other line start with
        ``#`` or ``%``.
    .graphml, .graphml.gz
        A graph with its edge attribute "weight"; needs networkx. The names of the states are the
        identifiers of the nodes.
    .parquet
        Edge list whose columns have those names, or a table; needs pyarrow.

    If all state names of an edge list are integers, they number the states: 0 to n_states - 1 are
    used as they are, other integers in increasing order. Otherwise the names are words in sorted
    order ("null" and "nan" are words, too). In .tra files and lists repeated transitions add up,
    and transitions of weight 0 are dropped, but their states are kept.

    Parameters
    ----------
    path : str or os.PathLike
    format : "edges" | "table", optional
        What a .csv, .tsv, .txt or .parquet file holds. Default: found out.

    Returns
    -------
    matrix : scipy.sparse.csr_array of float64, shape (n_states, n_states)
        The entries as they are in the file; nothing is normalised.
    labels : tuple of str, length n_states, or None
        The names of the states; None if the file numbers them 0 to n_states - 1.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    InvalidChainError
        The suffix is unknown or the file is malformed; the text names the line and the remedy.
    InputTooLargeError
        The file asks for more memory than is free.
    ImportError
        The file is .parquet and pyarrow is missing, or .graphml and networkx is.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "weather.csv")
    >>> with open(path, "w") as file:
    ...     _ = file.write("from,to,count\\nsun,sun,8\\nsun,rain,2\\nrain,sun,3\\n")
    >>> matrix, labels = read(path)
    >>> labels, matrix.toarray().tolist()
    (('rain', 'sun'), [[0.0, 3.0], [2.0, 8.0]])
    """
    return read_form(path, format)[:2]


def read_form(path: Path, form: Form | None) -> Listed:
    """(matrix, labels, "edges" or "table") of a file, as `read` reads it."""
    with file_too_large():
        return _read(os.fsdecode(path), form)


def _read(path: str, form: Form | None) -> Listed:
    validate.choice(form, "format", (None, "edges", "table"))
    found: Form = "table"
    for suffix, reader in READERS.items():
        if path.lower().endswith(suffix):
            if form is not None:
                raise InvalidChainError(f"{path}: holds one matrix in one form; leave format= out")
            matrix, labels = reader(path)
            break
    else:
        for suffix, list_reader in LISTS.items():
            if path.lower().endswith(suffix):
                matrix, labels, found = list_reader(path, form)
                break
        else:
            known = ", ".join([*READERS, *LISTS])
            raise InvalidChainError(f"{path}: unknown suffix; fastebm reads {known}")
    if len(matrix.shape) != 2 or matrix.shape[0] != matrix.shape[1]:
        raise malformed(
            path, f"a matrix of shape {matrix.shape}", "it needs a row and a column for every state"
        )
    if matrix.dtype.kind == "c":
        raise malformed(path, "complex entries", "transitions are real")
    matrix = matrix if sp.issparse(matrix) else sp.csr_array(matrix)
    return validate.sparse_float64(matrix, path), labels, found
