"""Slow, strict readings of every format, independent of fastebm: what an accepted file must mean.

Each returns {(source, target): sum of the weights}, with the names or numbers of the states, and
raises `Unreadable` where the format does not say what the file means.
"""

import gzip
import io
import json
import math
import re
import sys
import zipfile
from collections import defaultdict
from itertools import pairwise

import numpy as np

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
WHOLE = re.compile(r"-?\d+", re.ASCII)
SOURCE, TARGET = ("source", "src", "from", "i"), ("target", "tgt", "to", "j")
RUN, STATE = ("trajectory", "trajectory_id", "traj", "chain", "run", "id"), ("state", "states", "x")
WEIGHT = ("weight", "wt", "w", "p", "prob", "probability", "count", "n")


# The members of an .npz that say what the matrix is.
ARRAYS = {
    f"{name}.npy" for name in "format shape data indices indptr row col coords offsets".split()
}


class Unreadable(Exception):
    """The file has no meaning."""


def need(condition, what):
    if not condition:
        raise Unreadable(what)


def number(text, most=sys.float_info.max):
    need(NUMBER.fullmatch(text), f"{text[:40]!r} is no number")
    value = float(text)
    need(abs(value) <= most, f"{text[:40]!r} is too large")
    return value


def weight(text):
    value = number(text)
    need(value >= 0, f"weight {text}")
    return value


def whole(text):
    need(WHOLE.fullmatch(text) and len(text) < 100, f"{text[:40]!r} is no integer")
    return int(text)


def summed(entries):
    found = defaultdict(list)
    for source, target, value in entries:
        found[source, target].append(value)
    return {pair: total for pair, values in found.items() if (total := math.fsum(values)) != 0}


def text_of(path, encoding="utf-8-sig"):
    data = path.read_bytes()
    if path.name.endswith(".gz"):
        data = gzip.decompress(data)
    need(0 not in data or encoding == "latin-1", "a NUL byte")
    return data.decode(encoding)


# --- text -----------------------------------------------------------------------------------------


def mtx(path):
    # comments may hold any bytes
    lines = [line.strip(" \t\r") for line in text_of(path, "latin-1").split("\n")]
    words = lines[0].lower().split()
    need(words[:2] == ["%%matrixmarket", "matrix"] and len(words) == 5, "banner")
    _, _, layout, field, symmetry = words
    need(symmetry in ("general", "symmetric"), symmetry)
    need(field in ("real", "double", "integer", "unsigned-integer", "pattern"), field)
    head = next((k for k, x in enumerate(lines) if k and x and not x.startswith("%")), None)
    need(head is not None, "no sizes")
    sizes = [whole(word) for word in lines[head].split()]
    rows = [line.split() for line in lines[head + 1 :] if line]
    entries = []
    if layout == "coordinate":
        need(len(sizes) == 3 and len(rows) == sizes[2], "number of entries")
        for row in rows:
            need(len(row) == (2 if field == "pattern" else 3), "fields")
            i, j = whole(row[0]) - 1, whole(row[1]) - 1
            need(0 <= i < sizes[0] and 0 <= j < sizes[1], "range")
            entries.append((i, j, 1.0 if field == "pattern" else number(row[2])))
    else:
        need(layout == "array" and field != "pattern" and len(sizes) == 2, "layout")
        order = [
            (i, j)
            for j in range(sizes[1])
            for i in range(j if symmetry == "symmetric" else 0, sizes[0])
        ]
        need(len(rows) == len(order) and all(len(row) == 1 for row in rows), "entries")
        entries = [(i, j, number(row[0])) for (i, j), row in zip(order, rows, strict=True)]
    if symmetry == "symmetric":
        need(sizes[0] == sizes[1], "square")
        mirrored = [(j, i, value) for i, j, value in entries if i != j]
        pairs = [(i, j) for i, j, _ in entries + mirrored]
        need(len(set(pairs)) == len(pairs), "an entry twice")
        entries += mirrored
    need(sizes[0] == sizes[1], "square")
    return summed(entries), sizes[0]


def tra(path):
    text = text_of(path)
    lines = [line.split("#")[0].split() for line in re.split("\r\n|\r|\n", text)]
    lines = [line for line in lines if line]
    need(lines, "empty")
    if len(lines[0]) == 1:
        need(lines[0][0].lower() == "dtmc", "header")
        sizes = None
    else:
        need(len(lines[0]) == 2, "header")
        sizes = [whole(word) for word in lines[0]]
        need(len(lines) - 1 == sizes[1], "number of transitions")
    entries = []
    for line in lines[1:]:
        need(len(line) in (3, 4), "fields")
        i, j = whole(line[0]), whole(line[1])
        need(min(i, j) >= 0 and (sizes is None or max(i, j) < sizes[0]), "range")
        entries.append((i, j, weight(line[2])))
    n_states = max(max(i, j) for i, j, _ in entries) + 1 if sizes is None else sizes[0]
    return summed(entries), n_states


def state_lines(path):
    lines = re.split("\r\n|\r|\n", text_of(path))
    return [line.strip() for line in lines if line.strip()]


def a_state(text, n_states):
    state = whole(text)
    need(0 <= state < n_states, "range")
    return state


def labels(path, n_states):
    """{label: set of states}."""
    lines = state_lines(path)
    need(lines, "empty")
    if lines[0] == "#DECLARATION":
        need("#END" in lines, "no end")
        end = lines.index("#END")
        declared = {word: word for line in lines[1:end] for word in line.split()}
    else:
        pairs = re.findall(r'([0-9]+)="([^"]*)"', lines[0])
        need(pairs and not re.sub(r'[0-9]+="[^"]*"', "", lines[0]).strip(), "declaration")
        end, declared = 0, dict(pairs)
        need(len(declared) == len(pairs) == len(set(declared.values())), "declared twice")
    found = {label: set() for label in declared.values()}
    for line in lines[end + 1 :]:
        words = re.sub(r"^(\S*?):", r"\1 ", line).split()
        need(set(words[1:]) <= set(declared), "an unknown label")
        for word in words[1:]:
            found[declared[word]].add(a_state(words[0], n_states))
        a_state(words[0], n_states)
    return found


def rewards(path, n_states):
    """{state: reward}."""
    lines = [line.split("#")[0].split() for line in state_lines(path)]
    lines = [line for line in lines if line]
    need(all(len(line) == 2 for line in lines), "fields")
    if lines and lines[0][0] == str(n_states):
        need(len(lines) - 1 == whole(lines.pop(0)[1]), "number of rewards")
    found = [(a_state(state, n_states), number(value)) for state, value in lines]
    need(len(dict(found)) == len(found), "a state twice")
    return dict(found)


def csv_rows(text):
    """The records that are not empty, by the rules of RFC 4180 with spaces around the fields."""
    rows, row, field, at = [], [], "", 0
    quoted = was_quoted = False
    while at < len(text):
        char = text[at]
        at += 1
        if quoted:
            if char != '"':
                field += char
            elif text[at : at + 1] == '"':
                field, at = field + '"', at + 1
            else:
                quoted = False
        elif char == '"' and not field and not was_quoted:
            quoted = was_quoted = True
        elif char in ",\r\n":
            row.append(field.strip())
            field, was_quoted = "", False
            if char != ",":  # "\r\n" ends an empty record, too, which is left out
                rows, row = [*rows, row], []
        elif char == " " and not field and not was_quoted:
            pass
        else:
            need(not was_quoted, "text after a quoted field")
            field += char
    need(not quoted, "an open quote")
    rows.append([*row, field.strip()])
    return [row for row in rows if any(row)]


def csv_edges(path):
    return edges(without_comments(csv_rows(text_of(path))))


def csv_table(path):
    return table(without_comments(csv_rows(text_of(path))))


def tsv_rows(path):
    rows = csv_rows(text_of(path).replace(",", "\0").replace("\t", ","))
    return without_comments([[x.replace("\0", ",") for x in row] for row in rows], "#%")


def tsv_edges(path):
    return edges(tsv_rows(path))


def tsv_table(path):
    return table(tsv_rows(path))


def txt_rows(path):
    lines = text_of(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return without_comments([line.split() for line in lines if line.split()], "#%")


def txt_edges(path):
    return edges(txt_rows(path))


def txt_table(path):
    return table(txt_rows(path))


def without_comments(rows, marks="#"):
    while rows and rows[0][0].startswith(tuple(marks)):
        rows = rows[1:]
    return rows


def edges(rows, n_columns=None):
    """Of records of text, with a header or without one."""
    need(rows, "empty")
    lower = [name.lower() for name in rows[0]]
    places = [next((lower.index(name) for name in names if name in lower), None)
              for names in (SOURCE, TARGET, WEIGHT)]  # fmt: skip
    has_header = None not in places[:2]
    if not has_header:
        need(len(rows[0]) in (2, 3), "columns")
        places = [0, 1, 2 if len(rows[0]) == 3 else None]
    else:
        need(places[2] is not None or len(rows[0]) == 2, "no weight")
        need(rows[0] not in rows[1:], "the header twice")
    entries = []
    for row in rows[has_header:]:
        need(len(row) == len(rows[0]), "fields")
        source, target = row[places[0]], row[places[1]]
        need(source and target, "a state without a name")
        entries.append((source, target, 1.0 if places[2] is None else weight(row[places[2]])))
    names = {name for entry in entries for name in entry[:2]}
    return summed(entries), names


def table(rows):
    """Of n rows of n numbers, with a header, a column of names, or both."""
    width = max(map(len, rows))
    height = len(rows)
    need(all(len(row) == width for row in rows[1:]), "ragged")
    numbers = [[bool(NUMBER.fullmatch(field)) for field in row] for row in rows]
    first_row = not all(numbers[0][-(width - 1) :]) or len(rows[0]) < width or height == width + 1
    first_column = height - first_row < width
    n = width - first_column
    need(height - first_row == n, "not square")
    body = [[weight(field) for field in row[first_column:]] for row in rows[first_row:]]
    names = [row[0] for row in rows[first_row:]] if first_column else None
    columns = rows[0][-n:] if first_row else names
    names = names or columns or [str(state) for state in range(n)]
    columns = columns or names
    need(sorted(names) == sorted(columns) and len(set(names)) == n, "names")
    entries = [
        (names[i], columns[j], body[i][j]) for i in range(n) for j in range(n)
    ]  # fmt: skip
    return summed(entries), set(names)


def vector(path):
    """Lines of a number, or of a state and a number: {state or line: number}."""
    if path.suffix == ".npy":
        array = np.load(path, allow_pickle=False)
        need(array.ndim == 1 and array.dtype.kind in "biuf", "numbers")
        return dict(enumerate(array.astype(float).tolist()))
    rows = csv_rows(text_of(path))
    found = {}
    for line, row in enumerate(rows):
        need(len(row) == len(rows[0]) and len(row) in (1, 2), "fields")
        key = row[0] if len(row) == 2 else line
        need(key not in found, "a state twice")
        is_infinite = row[-1].lower() in ("inf", "-inf")
        found[key] = float(row[-1]) if is_infinite else number(row[-1], most=math.inf)
    return found


# --- binary ---------------------------------------------------------------------------------------


def npz(path):
    """The arrays as NumPy decodes them, followed in pure Python."""
    with zipfile.ZipFile(path) as archive:
        arrays = {
            name.removesuffix(".npy"): np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
            for name in {*archive.namelist()} & ARRAYS
        }
    form = arrays["format"].item()
    if "coords" in arrays:
        arrays["row"], arrays["col"] = arrays["coords"]
    return stored(form.decode() if isinstance(form, bytes) else form, arrays)


def stored(form, arrays):
    """Of the arrays of a sparse matrix under the names of SciPy."""
    shape, data = [int(size) for size in arrays["shape"]], arrays["data"]
    need(len(shape) == 2 and shape[0] == shape[1], "square")
    entries = []
    if form == "coo":
        need(len(arrays["row"]) == len(arrays["col"]) == len(data), "lengths")
        entries = zip(arrays["row"].tolist(), arrays["col"].tolist(), data.tolist(), strict=True)
    elif form == "dia":
        need(len(arrays["offsets"]) == len(data), "lengths")
        entries = [
            (j - int(offset), j, float(diagonal[j]))
            for offset, diagonal in zip(arrays["offsets"], data, strict=True)
            for j in range(min(len(diagonal), shape[1]))
            if 0 <= j - int(offset) < shape[0]
        ]
    elif form == "lil":
        need(len(arrays["rows"]) == len(data) == shape[0], "lengths")
        for i, (columns, values) in enumerate(zip(arrays["rows"], data, strict=True)):
            need(len(columns) == len(values), "lengths")
            entries += [(i, j, float(x)) for j, x in zip(columns, values, strict=True)]
    elif form == "dok":
        entries = [(i, j, float(x)) for (i, j), x in data.items()]
    else:
        need(form in ("csr", "csc", "bsr"), form)
        indptr, indices = (arrays[name].tolist() for name in ("indptr", "indices"))
        height, width = data.shape[1:] if form == "bsr" else (1, 1)
        need(len(indptr) - 1 == shape[0] // height and indptr[0] == 0, "indptr")
        for major, (begin, end) in enumerate(pairwise(indptr)):
            need(0 <= begin <= end <= min(len(indices), len(data)), "indptr")
            for k in range(begin, end):
                minor = indices[k]
                if form == "bsr":
                    for (r, c), value in np.ndenumerate(data[k]):
                        entries.append((major * height + r, minor * width + c, float(value)))
                else:
                    pair = (major, minor) if form == "csr" else (minor, major)
                    entries.append((*pair, float(data[k])))
    entries = [*entries]
    need(all(0 <= i < shape[0] and 0 <= j < shape[1] for i, j, _ in entries), "range")
    return summed(entries), shape[0]


def counted_json(path):
    """{model: its counts} of a .json of models."""
    models = json.loads(path.read_bytes())["models"]
    found = {}
    for name, model in models.items():
        need(all(type(x) in (int, float) and x >= 0 for *_, x in model["counts"]), "a count")
        found[name] = summed((a, b, float(x)) for a, b, x in model["counts"])
    return found


def transitions(path):
    """Counts at lag 1 of a table of transitions or trajectories."""
    rows = parquet_rows(path) if path.suffix == ".parquet" else csv_rows(text_of(path))
    lower = [name.lower() for name in rows[0]]
    need(len(set(lower)) == len(lower), "a column twice")
    if {*lower} & {*SOURCE} and {*lower} & {*TARGET}:
        return edges(rows)[0]
    ids, state = (
        next(lower.index(name) for name in names if name in lower) for names in (RUN, STATE)
    )
    need(all(len(row) == len(rows[0]) for row in rows), "fields")
    return summed(
        (one[state], other[state], 1.0)
        for one, other in pairwise(rows[1:])
        if one[ids] == other[ids]
    )


def parquet_rows(path):
    import pyarrow.parquet as pq

    columns = pq.read_table(path).to_pydict()
    cells = [["" if x is None else str(x) for x in column] for column in columns.values()]
    return [list(columns), *map(list, zip(*cells, strict=True))]


def parquet_edges(path):
    return edges(parquet_rows(path))


def parquet_table(path):
    rows = parquet_rows(path)
    if "__index_level_0__" in rows[0]:
        at = rows[0].index("__index_level_0__")
        rows = [[row[at], *row[:at], *row[at + 1 :]] for row in rows]
    return table(rows)
