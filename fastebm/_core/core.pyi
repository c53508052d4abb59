# Signatures of the compiled core, for type checkers and readers; meanings stand in the .pxi files and in csrc/*.h.
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

EVOLVE_WIDTH: int

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

class AliasKernel(Kernel):
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

def csr_inspect(A: Csr, row_sum: Doubles) -> tuple[str | None, dict[str, int]]: ...
def csr_transpose(A: Csr) -> Csr: ...
def scaled_apply(M: Scaled, x: Doubles, y: Doubles, scratch: Doubles | None, transposed: bool, num_threads: int) -> None: ...
def scaled_difference(M: Scaled, x: Doubles, y: Doubles, power: int, num_threads: int) -> None: ...
def vec_dot(x: Doubles, y: Doubles | None, num_threads: int) -> float: ...
def vec_l1(x: Doubles, y: Doubles | None, num_threads: int) -> float: ...
def vec_change(x: Doubles, y: Doubles, num_threads: int) -> float: ...
def normalize_logs(logs: Doubles, num_threads: int) -> tuple[Doubles, Doubles, float]: ...
def graph_components(A: Csr) -> tuple[NDArray[np.int32], int]: ...
def graph_classes(
    A: Csr, labels: NDArray[np.int32], n_classes: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]: ...
def graph_reach(A: Csr, reached: NDArray[np.uint8], avoid: NDArray[np.uint8] | None) -> None: ...
def graph_potential(A: Csr, T: Csr) -> tuple[Doubles, float]: ...
def tilt_values(
    A: Csr, log_row: Doubles | None, log_col: Doubles | None, reward: Doubles | None, normalize: bool, num_threads: int
) -> tuple[Doubles, Doubles | None, int]: ...
def flux_balance(
    A: Csr, T: Csr, log_row: Doubles | None, log_col: Doubles | None, log_pi: Doubles, num_threads: int
) -> dict[str, Any]: ...
def flux_additive(
    A: Csr, T: Csr, log_row: Doubles | None, log_col: Doubles | None, log_pi: Doubles, num_threads: int
) -> Csr: ...
def evolve_distances(pi: Doubles, g: Doubles, num_threads: int) -> Doubles: ...

class PairGraph:
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    forward: Doubles
    backward: Doubles
    mirror: NDArray[np.int64]
    n_states: int
    nnz: int
    def __init__(self, A: Csr, T: Csr) -> None: ...

class Potential:
    graph: PairGraph
    v: Doubles
    weight: Doubles
    n_newton: int
    n_products: int
    step_size: float
    imbalance: float
    def __init__(self, graph: PairGraph, kind: str, guess: bool, tol: float, max_newton: int, num_threads: int) -> None: ...
    @classmethod
    def multipliers(
        cls, graph: PairGraph, law: Doubles, stay: Doubles, start: Doubles, tol: float, max_newton: int, num_threads: int
    ) -> Potential: ...
    def run(self, max_products: int) -> bool: ...
    def slopes(self) -> Doubles: ...
    def probe(
        self, slope: Doubles, total: Doubles, scale: Doubles, key: NDArray[np.uint64], probe: int, flow: Doubles, tol: float,
        max_products: int
    ) -> Doubles: ...

class CycleRanking:
    found: tuple[list[tuple[list[int], float, float, float]], dict[str, Any]]
    def __init__(
        self, indptr: NDArray[np.int64], indices: NDArray[np.int32], ratio: Doubles, variance: Doubles | None, n_keep: int
    ) -> None: ...
    def expand(self, begin: int, end: int) -> None: ...

def resample_rows(
    indptr: NDArray[np.int64], weight: Doubles, total: Doubles, key: NDArray[np.uint64], replicate: int, num_threads: int
) -> Doubles: ...
def reversible_statistics(
    counts: PairGraph, labels: NDArray[np.int32] | None, v: Doubles
) -> tuple[float, float, Doubles]: ...
def reversible_bootstrap(
    pattern: PairGraph, expected: Doubles, total: Doubles, v: Doubles, key: NDArray[np.uint64], first: int, n_replicates: int,
    n_slots: int, deviations: bool
) -> tuple[Doubles, Doubles, Doubles | None]: ...
