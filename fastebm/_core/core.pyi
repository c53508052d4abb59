# Signatures of the compiled core, for type checkers and readers; meanings stand in the .pxi files and in csrc/*.h.
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Words = NDArray[np.uint64]

EVOLVE_WIDTH: int
RULE_MAX_DEGREE: int

class Csr:
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.floating[Any]] | None
    n_states: int
    nnz: int
    nbytes: int
    def __init__(self, indptr: NDArray[np.int64], indices: NDArray[np.int32], values: NDArray[Any] | None) -> None: ...

class Kernel:
    n_states: int
    has_transpose: bool

class CsrKernel(Kernel):
    matrix: Csr
    transpose: Csr | None
    def __init__(self, matrix: Csr, transpose: Csr | None = None) -> None: ...

class ComputedKernel(Kernel):
    rows_per_call: int

class LatticeKernel(ComputedKernel):
    degree: int
    def __init__(self, lengths: NDArray[np.int64], is_cyclic: bool, self_loop: bool) -> None: ...

class RuleKernel(ComputedKernel):
    def __init__(
        self, n_states: int, max_degree: int, outgoing: int, incoming: int, data: NDArray[np.int64], keep: object
    ) -> None: ...
    def inspect(
        self, num_threads: int, allow_empty: bool, begin: int, end: int, row_sum: Doubles
    ) -> tuple[str | None, dict[str, Any]]: ...
    def set_all_ones(self) -> None: ...

class RowsWalker(Kernel):
    scaled: Scaled
    offered: bool
    nbytes: int
    def __init__(self, scaled: Scaled) -> None: ...

class AliasKernel(Kernel):
    indptr: NDArray[np.int64]
    cells: NDArray[Any]
    nbytes: int
    def __init__(self, scaled: Scaled, num_threads: int) -> None: ...

class Scaled:
    kernel: Kernel
    row: Doubles | None
    col: Doubles | None
    shift: Doubles | None
    def __init__(
        self, kernel: Kernel, row: Doubles | None = None, col: Doubles | None = None, shift: Doubles | None = None
    ) -> None: ...

class Lanczos:
    S: Scaled
    norm: float
    def __init__(self, S: Scaled, deflate: Doubles, v: Doubles, num_threads: int) -> None: ...
    def expand(self, n_steps: int, combine: Doubles | None = None, ritz: Doubles | None = None) -> tuple[Doubles, Doubles]: ...

class ConjugateGradients:
    S: Scaled
    x: Doubles
    square: float
    def __init__(self, S: Scaled, b: Doubles, num_threads: int) -> None: ...
    def expand(self, n_steps: int, target: float) -> int: ...

class Inspection:
    matrix: Csr
    row_sum: Doubles
    facts: dict[str, int]
    fault: str | None
    def __init__(self, A: Csr) -> None: ...
    def expand(self, begin: int, end: int, num_threads: int) -> bool: ...

class Transposition:
    matrix: Csr
    result: Csr
    def __init__(self, A: Csr) -> None: ...
    def count(self, begin: int, end: int, num_threads: int) -> None: ...
    def place(self) -> None: ...
    def fill(self, begin: int, end: int, num_threads: int) -> None: ...

class Components:
    matrix: Csr
    labels: NDArray[np.int32]
    n_classes: int
    def __init__(self, A: Csr) -> None: ...
    def expand(self, n_entries: int) -> bool: ...

class Classes:
    matrix: Csr
    closed: NDArray[np.bool_]
    period: NDArray[np.int64]
    size: NDArray[np.int64]
    def __init__(self, A: Csr, labels: NDArray[np.int32], n_classes: int) -> None: ...
    def expand(self, n_entries: int) -> bool: ...

class Reach:
    matrix: Csr
    def __init__(self, A: Csr, reached: NDArray[np.uint8], avoid: NDArray[np.uint8] | None) -> None: ...
    def expand(self, n_entries: int) -> bool: ...

class Potential:
    matrix: Csr
    transpose: Csr
    w: Doubles
    one_way: bool
    def __init__(self, A: Csr, T: Csr) -> None: ...
    def expand(self, n_entries: int) -> bool: ...

class Balance:
    matrix: Csr
    transpose: Csr
    n_blocks: int
    def __init__(self, A: Csr, T: Csr, log_row: Doubles | None, log_col: Doubles | None, log_pi: Doubles) -> None: ...
    def expand(self, first: int, last: int, num_threads: int) -> None: ...
    def total(self) -> dict[str, Any]: ...

def scaled_apply(M: Scaled, x: Doubles, y: Doubles, scratch: Doubles | None, transposed: bool, num_threads: int) -> None: ...
def scaled_apply_rows(
    M: Scaled, x: Doubles, inner: Doubles, y: Doubles, begin: int, end: int, transposed: bool, num_threads: int
) -> None: ...
def scaled_difference(M: Scaled, x: Doubles, y: Doubles, power: int, num_threads: int) -> None: ...
def rows_of(
    kernel: ComputedKernel, states: NDArray[np.int64] | None, num_threads: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], Doubles | None]: ...
def rows_reach(kernel: ComputedKernel, reached: NDArray[np.uint8], avoid: NDArray[np.uint8] | None) -> None: ...
def rows_classes(kernel: ComputedKernel) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]: ...
def rows_potential(kernel: ComputedKernel) -> tuple[Doubles, float]: ...
def vec_dot(x: Doubles, y: Doubles | None, num_threads: int) -> float: ...
def vec_l1(x: Doubles, y: Doubles | None, num_threads: int) -> float: ...
def vec_change(x: Doubles, y: Doubles, num_threads: int) -> float: ...
def normalize_logs(logs: Doubles, num_threads: int) -> tuple[Doubles, Doubles, float]: ...
def graph_mismatch(A: Csr, T: Csr, w: Doubles, begin: int, end: int, num_threads: int) -> float: ...
def tilt_values(
    A: Csr, log_row: Doubles | None, log_col: Doubles | None, reward: Doubles | None, begin: int, end: int, num_threads: int,
    values: Doubles, log_norm: Doubles | None,
) -> int: ...
def flux_additive_count(A: Csr, T: Csr, begin: int, end: int, num_threads: int, degree: NDArray[np.int64]) -> None: ...
def flux_additive_fill(
    A: Csr, T: Csr, log_row: Doubles | None, log_col: Doubles | None, log_pi: Doubles, begin: int, end: int, num_threads: int,
    indptr: NDArray[np.int64], indices: NDArray[np.int32], values: Doubles,
) -> None: ...
def evolve_distances(pi: Doubles, g: Doubles, num_threads: int) -> Doubles: ...
def walk_hit(
    kernel: Kernel, key: Words, target_bits: Words, num_threads: int, first_walker: int, t_begin: int, t_end: int,
    states: NDArray[np.int64], hit_time: NDArray[np.int64],
) -> None: ...
def walk_paths(
    kernel: Kernel, key: Words, num_threads: int, first_walker: int, t_begin: int, t_end: int, states: NDArray[np.int64],
    paths: NDArray[np.int32],
) -> None: ...
def philox_block(key: Words, counter: Words) -> Words: ...
