"""Models as PRISM and Storm export them: a die, a queue in continuous time, crowds."""

import numpy as np
import scipy.sparse as sp

# Knuth and Yao's die: states 7 to 12 are its faces.
DIE = [(0, 1), (0, 2), (1, 3), (1, 4), (2, 5), (2, 6), (3, 1), (3, 7), (4, 8), (4, 9), (5, 10),
       (5, 11), (6, 2), (6, 12)]  # fmt: skip


def write_model(folder, name, matrix, labels, rewards=None, header=None):
    """The files of a model, as PRISM exports them; with a header as Storm does."""
    entries = sp.coo_array(matrix)
    parts = (entries.row.tolist(), entries.col.tolist(), entries.data.tolist())
    rows = [f"{x} {y} {p!r}" for x, y, p in zip(*parts, strict=True)]
    head = header or f"{entries.shape[0]} {entries.nnz}"
    (folder / f"{name}.tra").write_text("\n".join([head, *rows]) + "\n")
    if header:
        text = ["#DECLARATION", " ".join(labels), "#END"]
        states = sorted({x for own in labels.values() for x in own})
        text += [" ".join([str(x), *(k for k, own in labels.items() if x in own)]) for x in states]
    else:
        text = [" ".join(f'{i}="{label}"' for i, label in enumerate(labels))]
        of_state = {}
        for i, own in enumerate(labels.values()):
            for x in own:
                of_state.setdefault(x, []).append(str(i))
        text += [f"{x}: {' '.join(of_state[x])}" for x in sorted(of_state)]
    (folder / f"{name}.lab").write_text("\n".join(text) + "\n")
    if rewards is not None:
        listed = np.flatnonzero(rewards)
        lines = [f"{x} {float(rewards[x])!r}" for x in listed.tolist()]
        head = [] if header else [f"{len(rewards)} {len(listed)}"]
        (folder / f"{name}.srew").write_text("\n".join([*head, *lines]) + "\n")
    return folder / f"{name}.tra"


def die(folder, header=None):
    P = np.zeros((13, 13))
    P[tuple(np.array(DIE).T)] = 0.5
    P[range(7, 13), range(7, 13)] = 1.0
    labels = {"init": [0], "done": list(range(7, 13)), "six": [12]}
    return write_model(
        folder, "die", P, labels, np.r_[np.ones(7), np.zeros(6)].astype(float), header
    )


def queue(folder, header=None, size=20):
    """M/M/1 with arrivals of rate 1, services of rate 1.25, up to `size` customers."""
    x = np.arange(size)
    rates = np.zeros((size + 1, size + 1))
    rates[x, x + 1], rates[x + 1, x] = 1.0, 1.25
    labels = {"init": [0], "full": [size], "empty": [0]}
    return write_model(folder, "queue", rates, labels, np.arange(size + 1.0), header)


def crowds(folder, header=None, *, members=5, bad=1, rounds=3, forward=0.8):
    """The crowds protocol (Reiter & Rubin 1998): a message is forwarded until it is delivered; a
    bad member notes whom it came from. States: (rounds left, times the sender was seen, holder)."""
    names, edges = {}, []

    def state(*key):
        return names.setdefault(key, len(names))

    todo = [(rounds, 0, "new")]
    state(*todo[0])
    while todo:
        left, seen, holder = key = todo.pop()
        share = forward / members
        if left == 0:
            moves = [(key, 1.0)]
        elif holder == "new":
            moves = [((left, seen, "sender"), 1.0)]
        else:
            noted = min(seen + (holder == "sender"), 2)
            moves = [
                ((left - 1, noted, "new"), bad * share),
                ((left, seen, "sender"), share),
                ((left, seen, "other"), (members - bad - 1) * share),
                ((left - 1, seen, "new"), 1.0 - forward),
            ]
        for other, p in moves:
            if other not in names:
                todo.append(other)
            edges.append((state(*key), state(*other), p))
    n = len(names)
    x, y, p = zip(*edges, strict=True)
    P = sp.coo_array((p, (x, y)), shape=(n, n)).tocsr()
    labels = {
        "init": [0],
        "over": [i for key, i in names.items() if key[0] == 0],
        "seen_twice": [i for key, i in names.items() if key[1] == 2],
    }
    return write_model(folder, "crowds", P, labels, header=header)
