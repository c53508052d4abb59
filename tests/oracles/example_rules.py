"""Rules for `row_kernel`, in a module of their own so that chains of them can be pickled and saved
by name."""


def listed(state, data, out_states, out_weights):
    """Edges from arrays: data = (indptr, states, weights, ...)."""
    degree = 0
    for entry in range(data[0][state], data[0][state + 1]):
        out_states[degree], out_weights[degree] = data[1][entry], data[2][entry]
        degree += 1
    return degree


def listed_columns(state, data, out_states, out_weights):
    """The edges that arrive, from three more arrays."""
    degree = 0
    for entry in range(data[3][state], data[3][state + 1]):
        out_states[degree], out_weights[degree] = data[4][entry], data[5][entry]
        degree += 1
    return degree


def hypercube(state, data, out_states, out_weights):
    """Flip one of data[0] bits, the highest first."""
    for bit in range(data[0]):
        out_states[bit], out_weights[bit] = state ^ (1 << (data[0] - 1 - bit)), 1.0
    return data[0]


def birth_death(state, data, out_states, out_weights):
    """Up with weight data[0], down with data[1], on 0..data[2] - 1; reversible but not
    symmetric."""
    degree = 0
    if state + 1 < data[2]:
        out_states[degree], out_weights[degree] = state + 1, data[0]
        degree += 1
    if state > 0:
        out_states[degree], out_weights[degree] = state - 1, data[1]
        degree += 1
    return degree


def faulty(state, data, out_states, out_weights):
    """A fault of kind data[0][0] in state 7 and beyond, a self-loop before."""
    kind = data[0][0] if state >= 7 else 0
    out_states[0], out_weights[0] = state, 1.0
    if kind == 1:
        return -1
    if kind == 2:
        raise ValueError
    if kind == 3:
        return 4
    if kind == 4:
        return -7
    if kind == 5:
        out_states[0] = 10
    if kind == 6:
        out_states[0] = -1
    if kind == 7:
        out_weights[0] = -1.0
    if kind == 8:
        out_weights[0] = float("nan")
    if kind == 9:
        out_weights[0] = float("inf")
    if kind == 10:
        out_weights[0] = 0.0
    if kind == 11:
        for k in range(4):  # one more than max_degree
            out_states[k], out_weights[k] = 0, 1.0
    if kind == 12:
        return 0
    if kind == 13:
        out_weights[0] = 1e-310
    if kind == 14:
        out_states[1], out_weights[0], out_weights[1] = 0, 1e308, 1e308
        return 2
    return 1


def one_way(state, data, out_states, out_weights):
    """One step around a ring of ten states."""
    out_states[0], out_weights[0] = (state + 1) % 10, 1.0
    return 1


def slightly(state, data, out_states, out_weights):
    """Pairs of states whose weights differ by data[0]: symmetric but for that."""
    out_states[0], out_weights[0] = state ^ 1, 1.0 + data[0] * state
    return 1
