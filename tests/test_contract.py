"""Every kernel obeys the same rules. A new kernel needs one more entry in KERNELS."""

from functools import lru_cache
from itertools import count, pairwise

import example_rules
import numpy as np
import pytest
import reference

from fastebm import _core
from fastebm.patterns import passes
from fastebm.patterns.lattice import LatticePattern
from fastebm.patterns.rule import RulePattern

WIDTHS = (1, 2, 3, 4, 5, 8, 16)
MANY = 3 * 4096 + 1001  # states in several blocks, the last one ragged


def stored(values, symmetric):
    """A builder of random stored kernels with self-loops and repeated indices; one that is not
    symmetric has an empty row."""

    def build(n, rng):
        x, y = rng.integers(n, size=(2, 4 * n))
        weight = rng.lognormal(sigma=3, size=x.size)
        repeat = np.arange(0, x.size, 3)
        x, y, weight = (
            np.append(x, x[repeat]),
            np.append(y, y[repeat]),
            np.append(weight, rng.lognormal(size=repeat.size)),
        )
        if symmetric:
            off = x != y
            x, y, weight = (
                np.append(x, y[off]),
                np.append(y, x[off]),
                np.append(weight, weight[off]),
            )
        else:
            kept = x != n // 2
            x, y, weight = x[kept], y[kept], weight[kept]
        order = np.lexsort((weight, y, x))
        x, y, weight = x[order], y[order], weight[order]
        data = {"none": None, "float32": weight.astype(np.float32), "float64": weight}[values]
        matrix = _core.Csr(
            np.append(0, np.cumsum(np.bincount(x, minlength=n))), y.astype(np.int32), data
        )
        kernel = _core.CsrKernel(matrix, matrix if symmetric else passes.transpose(matrix))
        return kernel, (x, y, np.ones(x.size) if data is None else data.astype(float))

    return build


def lattice(cyclic, self_loop, shape):
    """A builder of the lattice of shape(n), which has about n states."""

    steps = lru_cache(reference.lattice_steps)

    def build(n, rng):
        x, y = steps(shape(n), cyclic, self_loop)
        return LatticePattern(shape(n), cyclic=cyclic, self_loop=self_loop)._kernel, (
            x,
            y,
            np.ones(x.size),
        )

    return build


def word(n, q):
    """The shape of the words over q letters, long enough for at least n words."""
    return (q,) * next(length for length in range(1, 99) if q**length >= n)


def ruled(symmetric):
    """A builder of rule kernels that read random edges from arrays."""

    def build(n, rng):
        x, y = np.append(np.arange(n), rng.integers(n, size=3 * n)), rng.integers(n, size=4 * n)
        weight = rng.lognormal(sigma=3, size=x.size)
        if symmetric:
            off = x != y
            x, y, weight = (
                np.append(x, y[off]),
                np.append(y, x[off]),
                np.append(weight, weight[off]),
            )
        data = []
        for source, target in ((x, y), (y, x)):
            order = np.argsort(source, kind="stable")
            data += [
                np.append(0, np.cumsum(np.bincount(source, minlength=n))),
                target[order],
                weight[order],
            ]
        longest = max(np.diff(data[0]).max(), np.diff(data[3]).max())
        incoming = None if symmetric else example_rules.listed_columns
        return RulePattern(
            example_rules.listed, n, int(longest), tuple(data), symmetric, incoming, 1
        )._kernel, (x, y, weight)

    return build


KERNELS = {
    f"{values}-{'symmetric' if symmetric else 'general'}": stored(values, symmetric)
    for values in ("none", "float32", "float64")
    for symmetric in (False, True)
} | {
    "torus": lattice(True, False, lambda n: (-(-n // 77), 7, 11)),
    "torus-flat": lattice(True, True, lambda n: (-(-n // 2 // 2), 2, 1, 2)),
    "cycle": lattice(True, True, lambda n: (n,)),
    "hypercube": lattice(False, False, lambda n: word(n, 2)),
    "hypercube-self-loop": lattice(False, True, lambda n: word(n, 2)),
    "hamming-3": lattice(False, True, lambda n: word(n, 3)),
    "hamming-5": lattice(False, False, lambda n: word(n, 5)),
    "rule-symmetric": ruled(True),
    "rule-general": ruled(False),
}
SCALINGS = ("", "row", "col", "shift", "row col", "row col shift")

every_kernel = pytest.mark.parametrize("build", KERNELS.values(), ids=KERNELS)
every_scaling = pytest.mark.parametrize(
    "names", SCALINGS, ids=lambda names: names.replace(" ", "+") or "plain"
)


def scalings(names, n, rng):
    return {name: rng.lognormal(size=n) for name in names.split()}


def operator(build, n, names, rng):
    """(Scaled, dense diag(row) A diag(col), shift) of about n states."""
    kernel, (x, y, weight) = build(n, rng)
    n = kernel.n_states
    parts = scalings(names, n, rng)
    A = np.zeros((n, n))
    np.add.at(A, (x, y), weight)
    A = parts.get("row", np.ones(n))[:, None] * A * parts.get("col", np.ones(n))
    return _core.Scaled(kernel, **parts), A, parts.get("shift", np.zeros(n))


def apply(M, x, *, transposed=False, num_threads=1):
    block = np.ascontiguousarray(x).reshape(len(x), -1)
    y = np.full_like(block, np.nan)
    _core.scaled_apply(M, block, y, np.full_like(block, np.nan), transposed, num_threads)
    return y.reshape(x.shape)


def difference(M, x, power, *, num_threads=1):
    y = np.full_like(x, np.nan)
    _core.scaled_difference(M, x, y, power, num_threads)
    return y


def assert_close(found, wanted, scale):
    """Equal up to the rounding of sums of a hundred terms, relative to the sum of their sizes."""
    assert (np.abs(found - wanted) <= 1e-14 * scale).all()


@every_kernel
@every_scaling
@pytest.mark.parametrize("transposed", (False, True), ids=("P x", "x P"))
def test_products(build, names, transposed):
    rng = np.random.default_rng(1)
    M, A, shift = operator(build, 61, names, rng)
    P = (A + np.diag(shift)).T if transposed else A + np.diag(shift)
    for width in WIDTHS:
        x = rng.normal(size=(len(P), width))
        assert_close(apply(M, x, transposed=transposed), P @ x, np.abs(P) @ np.abs(x))


@every_kernel
@every_scaling
def test_columns_of_a_block_have_the_bits_of_single_products(build, names):
    """Except for stored matrices of eight or more entries per row, which sum a single product in
    lanes."""
    rng = np.random.default_rng(2)
    M, A, shift = operator(build, 500, names, rng)
    P = A + np.diag(shift)
    x = rng.normal(size=(len(A), max(WIDTHS)))
    for transposed in (False, True):
        single = np.column_stack(
            [apply(M, np.ascontiguousarray(column), transposed=transposed) for column in x.T]
        )
        whole = apply(M, x, transposed=transposed)
        if isinstance(M.kernel, _core.CsrKernel) and M.kernel.matrix.nnz >= 8 * len(P):
            assert_close(single, whole, np.abs(P.T if transposed else P) @ np.abs(x))
            single = whole
        for width in (w for w in WIDTHS if w > 1):
            assert np.array_equal(apply(M, x[:, :width], transposed=transposed), single[:, :width])


@pytest.mark.parametrize("dtype", (np.float64, np.float32))
def test_long_rows_are_summed_in_four_lanes(dtype):
    """The same bits with any instruction set: entry k of a row is added to lane k mod 4, and the
    last entries, fewer than four, to the total."""
    rng = np.random.default_rng(4)
    degree = rng.integers(1, 41, size=300)
    indptr = np.append(0, np.cumsum(degree))
    indices, values = (
        rng.integers(300, size=indptr[-1]).astype(np.int32),
        rng.lognormal(size=indptr[-1]).astype(dtype),
    )
    x, expected = rng.normal(size=300), np.empty(300)
    for i, (begin, end) in enumerate(pairwise(indptr)):
        terms, whole = (
            values[begin:end].astype(float) * x[indices[begin:end]],
            (end - begin) // 4 * 4,
        )
        lane = np.zeros(4)
        for group in terms[:whole].reshape(-1, 4):
            lane += group
        expected[i] = (lane[0] + lane[2]) + (lane[1] + lane[3])
        for term in terms[whole:]:
            expected[i] += term
    found = apply(_core.Scaled(_core.CsrKernel(_core.Csr(indptr, indices, values))), x)
    assert np.array_equal(np.ravel(found), expected)


@every_kernel
@every_scaling
def test_left_and_right_products_are_adjoint(build, names):
    rng = np.random.default_rng(3)
    M, A, shift = operator(build, 300, names, rng)
    x, y = rng.normal(size=(2, len(A)))
    scale = np.abs(x) @ (A + np.diag(shift)) @ np.abs(y)
    assert abs(x @ apply(M, y) - apply(M, x, transposed=True) @ y) <= 1e-14 * scale


@every_kernel
@every_scaling
@pytest.mark.parametrize("power", (1, 2))
def test_differences(build, names, power):
    rng = np.random.default_rng(4)
    M, A, _ = operator(build, 61, names, rng)
    x = rng.normal(size=len(A))
    terms = A * (x[:, None] - x) ** power
    assert_close(difference(M, x, power), terms.sum(axis=1), np.abs(terms).sum(axis=1))


@every_kernel
def test_differences_do_not_cancel(build):
    rng = np.random.default_rng(5)
    M, A, _ = operator(build, 61, "row col", rng)
    x = rng.integers(8, size=len(A)).astype(float)
    for power in (1, 2):
        assert np.array_equal(difference(M, x + 2.0**50, power), difference(M, x, power))


@every_kernel
def test_any_number_of_threads_gives_the_same_bits(build):
    rng = np.random.default_rng(6)
    kernel, (x, y, weight) = build(MANY, rng)
    n = kernel.n_states
    parts = scalings("row col shift", n, rng)
    M = _core.Scaled(kernel, **parts)
    for width in (1, 4, 5):
        v = rng.random((n, width))
        for transposed in (False, True):
            first = apply(M, v, transposed=transposed, num_threads=1)
            for num_threads in (2, 4):
                assert np.array_equal(
                    apply(M, v, transposed=transposed, num_threads=num_threads), first
                )
        inner = v * parts["col"][:, None]
        wanted = np.column_stack([np.bincount(x, weight * column[y], n) for column in inner.T])
        np.testing.assert_allclose(
            apply(M, v), parts["row"][:, None] * wanted + parts["shift"][:, None] * v, rtol=1e-13
        )
    u = rng.random(n)
    for power in (1, 2):
        first = difference(M, u, power, num_threads=1)
        terms = parts["row"][x] * weight * parts["col"][y] * (u[x] - u[y]) ** power
        assert_close(first, np.bincount(x, terms, n), np.bincount(x, np.abs(terms), n))
        for num_threads in (2, 4):
            assert np.array_equal(difference(M, u, power, num_threads=num_threads), first)


@pytest.mark.parametrize("n", (1, 2, 1023, 1025, 4097, 8191, 8193))
def test_sizes_around_tiles_and_blocks(n):
    rng = np.random.default_rng(n)
    kernel, (x, y, weight) = stored("float64", False)(n, rng)
    v = rng.random(n)
    M = _core.Scaled(kernel)
    np.testing.assert_allclose(
        apply(M, v, num_threads=2), np.bincount(x, weight * v[y], n), rtol=1e-13
    )
    np.testing.assert_allclose(
        apply(M, v, transposed=True, num_threads=2), np.bincount(y, weight * v[x], n), rtol=1e-13
    )


@pytest.mark.parametrize("values", ("none", "float32", "float64"))
def test_read_only_and_memory_mapped_arrays_are_read_in_place(values, tmp_path):
    rng = np.random.default_rng(7)
    kernel, _ = stored(values, False)(200, rng)
    v, row = rng.random((200, 3)), rng.random(200)
    wanted = apply(_core.Scaled(kernel, row), v)

    def frozen(array):
        array = array.copy()
        array.setflags(write=False)
        return array

    number = count()

    def mapped(array):
        file = tmp_path / f"{next(number)}.npy"
        np.save(file, array)
        return np.load(file, mmap_mode="r")

    for view in (frozen, mapped):
        arrays = [
            None if a is None else view(a)
            for a in (kernel.matrix.indptr, kernel.matrix.indices, kernel.matrix.values)
        ]
        matrix = _core.Csr(*arrays)
        assert matrix.indices is arrays[1]
        assert np.array_equal(
            apply(_core.Scaled(_core.CsrKernel(matrix), view(row)), view(v)), wanted
        )


def test_what_a_kernel_cannot_do_is_refused():
    kernel, _ = stored("none", False)(10, np.random.default_rng(8))
    one_sided = _core.CsrKernel(kernel.matrix)
    x, y = np.ones((10, 1)), np.ones((10, 1))
    assert kernel.has_transpose and not one_sided.has_transpose
    with pytest.raises(NotImplementedError):
        _core.scaled_apply(_core.Scaled(one_sided), x, y, None, True, 1)
    with pytest.raises(ValueError):
        _core.scaled_difference(_core.Scaled(kernel), x[:, 0].copy(), y[:, 0].copy(), 3, 1)
    for wrong in (np.ones((9, 1)), np.ones((10, 2))):
        with pytest.raises(ValueError):
            _core.scaled_apply(_core.Scaled(kernel), wrong, y, None, False, 1)
    with pytest.raises(ValueError):
        _core.Scaled(kernel, row=np.ones(9))
    with pytest.raises(ValueError):  # the inner scaling needs a work array
        _core.scaled_apply(_core.Scaled(kernel, col=np.ones(10)), x, y, None, False, 1)
