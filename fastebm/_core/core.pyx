"""Thin bindings of the C core: typed contiguous memoryviews, length checks, one call without the
GIL, one status check. No loops and no mathematics here. The .pxi files are the families of
csrc/fastebm; what the functions compute is explained in the headers."""

import builtins

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .ebm cimport *
from .ebm_counts cimport *
from .ebm_linalg cimport *

from fastebm import errors as _errors

include "base.pxi"
include "patterns.pxi"
include "patterns_computed.pxi"
include "patterns_graph.pxi"
include "linalg.pxi"
include "linalg_solve.pxi"
include "linalg_multigrid.pxi"
include "chains.pxi"
include "counts.pxi"
include "simulation.pxi"
include "rlvr.pxi"
include "interface.pxi"

__all__ = [
    # base
    "vec_dot", "vec_l1", "vec_change", "normalize_logs", "philox_block",
    # patterns
    "Csr", "Kernel", "CsrKernel", "Scaled", "Inspection", "Transposition", "scaled_apply",
    "scaled_apply_rows", "scaled_difference",
    # patterns_computed
    "RULE_MAX_DEGREE", "ComputedKernel", "LatticeKernel", "RuleKernel", "rows_of", "rows_reach",
    "rows_classes", "rows_potential", "RowsWalker",
    # patterns_graph
    "Components", "Classes", "Reach", "Potential", "components_unite", "components_flatten",
    "components_loops", "graph_mismatch",
    # linalg
    "composed_apply", "basis_project", "basis_remove", "basis_rotate", "Lanczos",
    # linalg_solve
    "Preconditioner", "Jacobi", "ConjugateGradients", "residual", "residual_balance",
    "residual_add", "exit_rate", "Sweep", "rates", "MinimumDegree", "Elimination",
    # linalg_multigrid
    "Flow", "flow_members", "Multigrid", "lobpcg_gram", "lobpcg_step", "lobpcg_residual",
    "lobpcg_put",
    # chains
    "EVOLVE_WIDTH", "EVOLVE_KINDS", "cut_steps", "lump_order", "Lump", "tilt_values",
    "tilt_log_sums", "Balance",
    "flux_additive_count", "flux_additive_fill", "Evolution",
    # counts
    "PairGraph", "PairNewton", "resample_rows", "balance_expected", "BalanceWalk",
    "CycleRanking", "Posterior", "posterior_rows",
    # simulation
    "AliasKernel", "walk_hit", "walk_watch", "walk_paths",
    # rlvr
    "bernoulli_divergence", "bernoulli_reach",
]
