"""The files that are mutated: every format as fastebm, SciPy, NumPy or pyarrow writes it."""

import gzip
import io
import json
import warnings

import numpy as np
import scipy.sparse as sp
from scipy.io import mmwrite

import fastebm as fe
from fastebm._runtime.checkpoint import Checkpoint

P = np.array(
    [[0.0, 0.25, 0.75, 0.0], [0.5, 0.0, 0.25, 0.25], [0.125, 0.0, 0.5, 0.375], [0.0, 1.0, 0.0, 0.0]]
)
SYMMETRIC = np.array([[0.0, 2, 1, 0], [2, 0, 0, 3], [1, 0, 4, 1], [0, 3, 1, 0]])
EDGES = [("a", "b", 2), ("b", "c", 1), ("c", "a", 3), ("c", "c", 1), ("b", "a", 0.5)]
SCORE = [0.5, -1.0, 2.0, 0.25]


def matrices():
    """{suffix: list of contents} of files that hold one matrix."""
    npz = []
    for number, form in enumerate(("csr", "csc", "bsr", "coo", "dia")):
        file = io.BytesIO()
        sp.save_npz(file, getattr(sp, f"{form}_array")(P), compressed=bool(number % 2))
        npz.append(file.getvalue())
    mtx = [_mtx(sp.coo_array(P)), _mtx(P), _mtx(sp.coo_array(SYMMETRIC), symmetry="symmetric")]
    mtx.append(_mtx(SYMMETRIC, symmetry="symmetric"))
    mtx.append(_mtx(sp.coo_array((8 * P).astype(int)), comment="counts"))
    mtx.append(_mtx(sp.coo_array(P), field="pattern"))
    i, j = np.nonzero(P)
    lines = [f"{x} {y} {P[x, y]}" for x, y in zip(i, j, strict=True)]
    tra = [
        "\n".join([f"4 {len(lines)}", *lines, ""]),
        "\n".join(["dtmc", "# a model", *(f"{line} go" for line in lines), ""]),
    ]
    table = [",".join(map(str, row)) for row in P]
    names = ["sun", "rain", "snow", "fog"]
    csv = [
        "\n".join(["source,target,weight", *(f"{a},{b},{n}" for a, b, n in EDGES), ""]),
        "\n".join(["# a list", *(",".join(line.split()) for line in lines), ""]),
        'from,to\n"New York, NY",a\na,"say ""hi"""\n"say ""hi""","New York, NY"\n',
        "when,n,to,from\nmon,2,1,0\ntue,3,0,1\nwed,1,1,1\n",
        "\n".join([*table, ""]),
        "\n".join(["," + ",".join(names), *(map(",".join, zip(names, table, strict=True))), ""]),
        "\n".join([",".join(names), *table, ""]),
    ]
    named = [f"{a}\t{b}\t{n}" for a, b, n in EDGES]
    tsv = [
        "\n".join(["% a network", *named, ""]),
        "\n".join(["from\tto\tcount", *named, ""]),
        "\n".join(
            ["\t" + "\t".join(names), *("\t".join(x.split(",")) for x in csv[5].split()[1:])]
        ),
    ]
    snap = "# Directed graph\r\n# FromNodeId\tToNodeId\r\n7\t1\r\n1\t2\r\n2\t7\r\n"
    txt = [snap, "\n".join(["%asym", *lines, ""]), "\n".join(x.replace(",", "  ") for x in table)]
    tra, csv, tsv, txt = ([text.encode() for text in texts] for texts in (tra, csv, tsv, txt))
    return {
        ".npz": npz,
        ".mtx": mtx,
        ".mtx.gz": _zipped(mtx),
        ".tra": tra,
        ".tra.gz": _zipped(tra),
        ".csv": csv,
        ".csv.gz": _zipped(csv),
        ".tsv": tsv,
        ".txt": txt,
        ".txt.gz": _zipped(txt),
        ".parquet": _parquet(),
    }


def _mtx(matrix, **options):
    file = io.BytesIO()
    mmwrite(file, matrix, **options)
    return file.getvalue()


def _zipped(contents):
    return [gzip.compress(content, mtime=0) for content in contents]


def _parquet():
    import pyarrow as pa
    import pyarrow.parquet as pq

    source, target, weight = zip(*[(a, b, float(n)) for a, b, n in EDGES], strict=True)
    tables = [
        {"source": source, "target": target, "weight": weight},
        {"i": [0, 1, 2, 2], "j": [1, 2, 0, 1]},
        {"a": P[:3, 0], "b": P[:3, 1], "c": P[:3, 2], "__index_level_0__": ["a", "b", "c"]},
    ]
    found = []
    for compression, columns in zip(("none", "snappy", "zstd"), tables, strict=True):
        file = io.BytesIO()
        pq.write_table(pa.table(columns), file, compression=compression)
        found.append(file.getvalue())
    return found


def vectors():
    """{suffix: contents} of one number a state of the chain in `tables`."""
    npy = []
    for values in (np.array(SCORE), np.array(SCORE, np.float32), np.arange(4)):
        file = io.BytesIO()
        np.save(file, values)
        npy.append(file.getvalue())
    lines = "".join(f"{value}\n" for value in SCORE).encode()
    named = "".join(f"{state},{value}\n" for state, value in enumerate(SCORE)).encode()
    return {".npy": npy, ".txt": [lines], ".csv": [named]}


def states():
    """{suffix: contents} of labels and rewards of the states, of PRISM and of Storm."""
    prism = '0="init" 1="deadlock" 2="done"\n0: 0\n1: 1 2\n3: 2\n'
    storm = "#DECLARATION\ninit deadlock done a:b\n#END\n0 init\n2 a:b\n3 done deadlock\n"
    rewards = ["4 3\n0 1\n2 0.5\n3 -2e-3\n", "# of states\n1 0.25\n3 7\n"]
    return {".lab": [prism.encode(), storm.encode()], ".srew": [x.encode() for x in rewards]}


def counts():
    """{suffix: contents} of observations for `balance --counts`."""
    model = {"N0": 20.0, "counts": [[a, b, int(2 * n)] for a, b, n in EDGES]}
    text = json.dumps({"source": "here", "models": {"one": model, "two": model}}, indent=1)
    return {".json": [text.encode()]}


def trajectories():
    """{suffix: contents} of tables of transitions and trajectories for `count_transitions`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    states = [0, 1, 2, 0, 2, 1, 0, 0, 1, 2]
    rows = [f"{k // 5},{k},{x}" for k, x in enumerate(states)]
    edges = [f"{a},{b},{n}" for a, b, n in EDGES]
    csv = [
        "\n".join(["trajectory,time,state", *rows, ""]),
        "\n".join(["source,target,count", *edges, ""]),
    ]
    file = io.BytesIO()
    pq.write_table(pa.table({"run": [k // 5 for k in range(10)], "state": states}), file)
    contents = [text.encode() for text in csv]
    return {".csv": contents, ".csv.gz": _zipped(contents), ".parquet": [file.getvalue()]}


def folders(place):
    """Saved chains of every class, made by `save`: {name: path}."""
    plain = fe.MarkovChain(P, labels=["sun", "rain", "snow", "fog"], reward=SCORE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chains = {
            "plain": plain,
            "uniform": fe.MarkovChain.from_edges([0, 1, 1], [1, 2, 2], symmetric=True),
            "tilted": fe.tilt(plain, np.array(SCORE), 0.5),
            "lattice": fe.Hypercube(3),
            "tilted_lattice": fe.tilt(fe.Hypercube(3), np.arange(8.0), 2.0),
            "lazy": plain.lazy(0.25),
        }
        for name, chain in chains.items():
            chain.save(place / name)
    return {name: place / name for name in chains}


def checkpoint(place):
    """A checkpoint: (its path, its arrays, a new `Checkpoint` of it)."""
    path = place / "walk.npz"
    arrays = {"step": np.array(7), "curve": np.linspace(0, 1, 9), "flags": np.arange(4) > 1}

    def made(at):
        return Checkpoint(at, "mixing_curve", lambda: "identity")

    made(path).save(lambda: arrays, now=True)
    return path, arrays, made
