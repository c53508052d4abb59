# Signatures of the compiled core, for type checkers and readers; what the functions do is explained
# in the .pxi files and in the headers of csrc/fastebm.
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Words = NDArray[np.uint64]

EVOLVE_WIDTH: int
EVOLVE_KINDS: int
RULE_MAX_DEGREE: int

class Csr:
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.floating[Any]] | None
    n_states: int
    nnz: int
    nbytes: int
    def __init__(
        self, indptr: NDArray[np.int64], indices: NDArray[np.int32], values: NDArray[Any] | None
    ) -> None: ...

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
        self,
        n_states: int,
        max_degree: int,
        outgoing: int,
        incoming: int,
        data: NDArray[np.int64],
        keep: object,
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
    indptr: NDArray[np.integer[Any]] | None
    cells: NDArray[np.uint64] | None
    matrix: Csr | None
    nbytes: int
    def __init__(self, scaled: Scaled, num_threads: int) -> None: ...

class Scaled:
    kernel: Kernel
    row: Doubles | None
    col: Doubles | None
    shift: Doubles | None
    def __init__(
        self,
        kernel: Kernel,
        row: Doubles | None = None,
        col: Doubles | None = None,
        shift: Doubles | None = None,
    ) -> None: ...

class Lanczos:
    P: Scaled
    def __init__(
        self, P: Scaled, ratio: Doubles | None, top_scale: float, w: Doubles, num_threads: int
    ) -> None: ...
    def expand(
        self, n_steps: int, combine: Doubles | None = None, ritz: Doubles | None = None
    ) -> tuple[Doubles, Doubles]: ...
    def state(self) -> dict[str, Doubles]: ...
    def restore(self, state: dict[str, Doubles]) -> None: ...

class Preconditioner:
    def apply(self, r: Doubles, z: Doubles, num_threads: int) -> None: ...

class Jacobi(Preconditioner):
    def __init__(self, diagonal: Doubles) -> None: ...

class ConjugateGradients:
    F: Scaled
    precond: Preconditioner
    x: Doubles
    energy: float
    worst: float
    def __init__(
        self, F: Scaled, precond: Preconditioner, weight: Doubles, b: Doubles, num_threads: int
    ) -> None: ...
    def state(self) -> tuple[Doubles, Doubles, Doubles, float, float]: ...
    def restore(self, x: Doubles, r: Doubles, p: Doubles, energy: float, worst: float) -> None: ...
    def expand(self, n_steps: int, target: float, least: float) -> int: ...

class MinimumDegree:
    def __init__(self, indptr: NDArray[np.int64], indices: NDArray[np.int32]) -> None: ...
    def expand(self, n_pivots: int) -> bool: ...
    def supernodes(
        self, limit: int
    ) -> (
        tuple[
            NDArray[np.int32],
            NDArray[np.int64],
            NDArray[np.int64],
            NDArray[np.int64],
            dict[str, Any],
        ]
        | None
    ): ...

class Elimination:
    factor: Doubles
    underflow: bool
    def __init__(
        self,
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        out_rate: Doubles,
        in_rate: Doubles,
        leak: Doubles,
        symbolic: Any,
    ) -> None: ...
    def expand(self, n_flops: float, num_threads: int) -> bool: ...
    def solve(self, b: Doubles) -> Doubles: ...

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
    def __init__(
        self, A: Csr, reached: NDArray[np.uint8], avoid: NDArray[np.uint8] | None
    ) -> None: ...
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
    def __init__(
        self, A: Csr, T: Csr, log_row: Doubles | None, log_col: Doubles | None, log_pi: Doubles
    ) -> None: ...
    def expand(self, first: int, last: int, num_threads: int) -> None: ...
    def total(self) -> dict[str, Any]: ...

def compose_apply(
    S: Scaled, kind: str, x: Doubles, scratch: Doubles, y: Doubles, num_threads: int
) -> None: ...
def basis_project(V: Doubles, W: Doubles, num_threads: int) -> Doubles: ...
def basis_remove(V: Doubles, C: Doubles, W: Doubles, num_threads: int) -> Doubles: ...
def basis_rotate(
    V: Doubles, Q: Doubles, done: NDArray[np.int64], n_more: int, num_threads: int
) -> None: ...
def scaled_apply(
    M: Scaled, x: Doubles, y: Doubles, scratch: Doubles | None, transposed: bool, num_threads: int
) -> None: ...
def scaled_apply_rows(
    M: Scaled,
    x: Doubles,
    inner: Doubles,
    y: Doubles,
    begin: int,
    end: int,
    transposed: bool,
    num_threads: int,
) -> None: ...
def scaled_difference(M: Scaled, x: Doubles, y: Doubles, power: int, num_threads: int) -> None: ...
def rows_of(
    kernel: ComputedKernel, states: NDArray[np.int64] | None, num_threads: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], Doubles | None]: ...
def rows_reach(
    kernel: ComputedKernel, reached: NDArray[np.uint8], avoid: NDArray[np.uint8] | None
) -> None: ...
def rows_classes(
    kernel: ComputedKernel,
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]: ...
def rows_potential(kernel: ComputedKernel) -> tuple[Doubles, float]: ...
def vec_dot(x: Doubles, y: Doubles | None, num_threads: int) -> float: ...
def vec_l1(x: Doubles, y: Doubles | None, num_threads: int) -> float: ...
def vec_change(x: Doubles, y: Doubles, num_threads: int) -> float: ...
def normalize_logs(logs: Doubles, num_threads: int) -> tuple[Doubles, Doubles, float]: ...
def components_unite(
    A: Csr,
    begin: int,
    end: int,
    first: int,
    last: int,
    skip: int,
    num_threads: int,
    parent: NDArray[np.int32],
) -> None: ...
def components_flatten(
    begin: int, end: int, num_threads: int, parent: NDArray[np.int32]
) -> None: ...
def components_loops(
    A: Csr, begin: int, end: int, label: NDArray[np.int32], looped: NDArray[np.uint8]
) -> None: ...
def bernoulli_divergence(
    p: Doubles, p0: Doubles, beta: Doubles | None, logit: bool, num_threads: int, out: Doubles
) -> None: ...
def bernoulli_reach(x0: Doubles, kl: Doubles, num_threads: int, out: Doubles) -> None: ...
def graph_mismatch(A: Csr, T: Csr, w: Doubles, begin: int, end: int, num_threads: int) -> float: ...
def cut_steps(
    A: Csr,
    col: Doubles | None,
    rank: NDArray[np.int32],
    begin: int,
    end: int,
    num_threads: int,
    step: Doubles,
) -> None: ...
def lump_order(
    labels: NDArray[np.int32],
    begin: int,
    end: int,
    place: NDArray[np.int64],
    order: NDArray[np.int32],
) -> None: ...

class Lump:
    matrix: Csr
    degree: NDArray[np.int64]
    n_seen: int
    defect: tuple[float, int, int, int]
    def __init__(
        self,
        A: Csr,
        row: Doubles | None,
        col: Doubles | None,
        shift: Doubles | None,
        labels: NDArray[np.int32],
        order: NDArray[np.int32],
        n_sets: int,
        weight: Doubles | None,
    ) -> None: ...
    def expand(self, n_entries: int) -> bool: ...
    def take(self) -> tuple[NDArray[np.int32], Doubles]: ...

def tilt_values(
    A: Csr,
    log_row: Doubles | None,
    log_col: Doubles | None,
    reward: Doubles | None,
    begin: int,
    end: int,
    num_threads: int,
    values: Doubles,
    log_norm: Doubles | None,
) -> int: ...
def flux_additive_count(
    A: Csr, T: Csr, begin: int, end: int, num_threads: int, degree: NDArray[np.int64]
) -> None: ...
def flux_additive_fill(
    A: Csr,
    T: Csr,
    log_row: Doubles | None,
    log_col: Doubles | None,
    log_pi: Doubles,
    begin: int,
    end: int,
    num_threads: int,
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    values: Doubles,
) -> None: ...
def residual(
    A: Csr,
    row: Doubles | None,
    col: Doubles | None,
    inside: NDArray[np.uint8],
    hi: Doubles,
    lo: Doubles,
    b: Doubles,
    r: Doubles,
    num_threads: int,
) -> None: ...
def residual_add(x: Doubles, hi: Doubles, lo: Doubles, num_threads: int) -> None: ...
def leaving(A: Csr, row: Doubles | None, col: Doubles | None, num_threads: int) -> Doubles: ...

class Sweep:
    matrix: Csr
    def __init__(
        self,
        A: Csr,
        row: Doubles | None,
        col: Doubles | None,
        inside: NDArray[np.uint8],
        leaving: Doubles,
    ) -> None: ...
    def expand(self, n_entries: int) -> bool: ...
    def apply(self, b: Doubles, x: Doubles, begin: int, end: int) -> None: ...

def rates(
    A: Csr,
    T: Csr,
    row: Doubles | None,
    col: Doubles | None,
    number: NDArray[np.int32],
    n_inside: int,
    n_groups: int,
    num_threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32], Doubles, Doubles, Doubles]: ...

class Evolution:
    kernel: Kernel
    n_blocks: int
    def __init__(
        self,
        kernel: Kernel,
        scale: Doubles | None,
        shift: Doubles | None,
        unit: Doubles | None,
        root: Doubles,
    ) -> None: ...
    def step(
        self,
        h: Doubles | None,
        next: Doubles,
        mean: Doubles,
        measured: bool,
        first: int,
        last: int,
        num_threads: int,
        partial: Doubles,
    ) -> None: ...
    def total(self, partial: Doubles) -> Doubles: ...

def walk_hit(
    kernel: Kernel,
    key: Words,
    target_bits: Words,
    num_threads: int,
    first_walker: int,
    t_begin: int,
    t_end: int,
    states: NDArray[np.int64],
    hit_time: NDArray[np.int64],
) -> None: ...
def walk_paths(
    kernel: Kernel,
    key: Words,
    num_threads: int,
    first_walker: int,
    t_begin: int,
    t_end: int,
    states: NDArray[np.int64],
    paths: NDArray[np.int32],
) -> None: ...
def philox_block(key: Words, counter: Words) -> Words: ...
def walk_watch(
    kernel: Kernel,
    key: NDArray[np.uint64],
    target_bits: NDArray[np.uint64],
    num_threads: int,
    streams: NDArray[np.int64],
    t_begin: int,
    t_end: int,
    states: NDArray[np.int64],
    stop_time: NDArray[np.int64],
    score: Doubles | None = None,
    level: Doubles | None = None,
    best: Doubles | None = None,
    weight: Doubles | None = None,
    sum: Doubles | None = None,
) -> None: ...

class Flow:
    matrix: Csr
    left: Doubles | None
    right: Doubles | None
    n_states: int
    def __init__(
        self, matrix: Csr, left: Doubles | None = None, right: Doubles | None = None
    ) -> None: ...
    def diagonal(self, leak: Doubles | None, num_threads: int) -> Doubles: ...
    def pair(
        self, mass: Doubles, begin: int, end: int, n_coarse: int, aggregate: NDArray[np.int32]
    ) -> int: ...
    def coarse(
        self,
        aggregate: NDArray[np.int32],
        n_coarse: int,
        start: NDArray[np.int64],
        members: NDArray[np.int32],
        num_threads: int,
    ) -> Flow: ...
    def eliminate(self, leak: Doubles) -> Doubles: ...

class Multigrid(Preconditioner):
    nbytes: int
    def __init__(self, levels: list[tuple[Any, ...]]) -> None: ...

def flow_members(
    aggregate: NDArray[np.int32], n_coarse: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]: ...
def rayleigh_gram(
    F: Flow, pi: Doubles, basis: Doubles, num_threads: int
) -> tuple[Doubles, Doubles, Doubles]: ...
def rayleigh_step(a: Doubles, shift: Doubles, basis: Doubles, num_threads: int) -> None: ...
def rayleigh_residual(
    F: Flow, pi: Doubles, basis: Doubles, gap: float, r: Doubles, num_threads: int
) -> float: ...
def rayleigh_put(basis: Doubles, column: int, x: Doubles, num_threads: int) -> None: ...

class PairGraph:
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    forward: Doubles
    backward: Doubles
    mirror: NDArray[np.int64]
    n_states: int
    nnz: int
    def __init__(self, A: Csr, T: Csr) -> None: ...

class PotentialFit:
    graph: PairGraph
    v: Doubles
    weight: Doubles
    n_newton: int
    n_products: int
    step_size: float
    imbalance: float
    def __init__(
        self,
        graph: PairGraph,
        kind: str,
        guess: bool,
        tol: float,
        max_newton: int,
        num_threads: int,
    ) -> None: ...
    @classmethod
    def multipliers(
        cls,
        graph: PairGraph,
        law: Doubles,
        stay: Doubles,
        start: Doubles,
        tol: float,
        max_newton: int,
        num_threads: int,
    ) -> PotentialFit: ...
    def run(self, max_products: int) -> bool: ...
    def slopes(self) -> Doubles: ...
    def probe(
        self,
        slope: Doubles,
        total: Doubles,
        scale: Doubles,
        key: NDArray[np.uint64],
        probe: int,
        flow: Doubles,
        tol: float,
        max_products: int,
    ) -> Doubles: ...

class CycleRanking:
    found: tuple[list[tuple[list[int], float, float, float]], dict[str, Any]]
    def __init__(
        self,
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        ratio: Doubles,
        variance: Doubles | None,
        n_keep: int,
    ) -> None: ...
    def expand(self, begin: int, end: int) -> None: ...

def resample_rows(
    indptr: NDArray[np.int64],
    weight: Doubles,
    total: Doubles,
    key: NDArray[np.uint64],
    replicate: int,
    num_threads: int,
) -> Doubles: ...
def reversible_statistics(
    counts: PairGraph, labels: NDArray[np.int32] | None, v: Doubles
) -> tuple[float, float, Doubles]: ...
def reversible_bootstrap(
    pattern: PairGraph,
    expected: Doubles,
    total: Doubles,
    v: Doubles,
    key: NDArray[np.uint64],
    first: int,
    n_replicates: int,
    n_slots: int,
    deviations: bool,
) -> tuple[Doubles, Doubles, Doubles | None]: ...
