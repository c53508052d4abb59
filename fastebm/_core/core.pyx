"""Thin bindings of the C core: typed contiguous memoryviews, length checks, one call without the GIL, one status check.
No loops and no mathematics here; the families are the .pxi files."""

import builtins

import numpy as np

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .ebm cimport *

from fastebm import errors as _errors


cdef int check(int status) except -1:
    """Raise the exception that the status table names."""
    if status != EBM_OK:
        name = ebm_status_exception(status).decode()
        kind = getattr(_errors, name, None) or getattr(builtins, name)
        raise kind(ebm_status_text(status).decode())
    return 0


cdef int need(bint condition, str what) except -1:
    """Length and layout checks of the bindings themselves: a failure is a defect of fastebm, not of its user."""
    if not condition:
        raise ValueError(f"core: {what}")
    return 0


cdef const double *pointer(const double[::1] x) noexcept:
    return &x[0] if x is not None else NULL


include "kernels.pxi"
include "computed.pxi"
include "graphs.pxi"
include "spectra.pxi"
include "bases.pxi"
include "solves.pxi"
include "multigrid.pxi"
include "walks.pxi"
include "counts.pxi"
include "bernoulli.pxi"
include "interface.pxi"

__all__ = [
    "Csr", "Kernel", "CsrKernel", "Scaled", "Inspection", "Transposition", "scaled_apply", "scaled_apply_rows", "scaled_difference",
    "vec_change", "vec_dot", "vec_l1", "normalize_logs",
    "Components", "Classes", "Reach", "Potential", "components_unite", "components_flatten", "components_loops", "graph_mismatch",
    "cut_steps", "lump_order", "Lump", "tilt_values", "Balance", "flux_additive_count", "flux_additive_fill",
    "ComputedKernel", "LatticeKernel", "RuleKernel", "RULE_MAX_DEGREE", "rows_of", "rows_reach", "rows_classes", "rows_potential",
    "RowsWalker", "basis_project", "basis_remove", "basis_rotate", "compose_apply",
    "Lanczos", "ConjugateGradients", "Evolution", "EVOLVE_WIDTH", "EVOLVE_KINDS",
    "Flow", "flow_members", "Multigrid", "rayleigh_gram", "rayleigh_step", "rayleigh_residual", "rayleigh_put",
    "Preconditioner", "Jacobi", "residual", "residual_add", "leaving", "Sweep", "rates", "MinimumDegree",
    "Elimination",
    "AliasKernel", "walk_hit", "walk_paths", "walk_watch", "philox_block",
    "PairGraph", "PotentialFit", "resample_rows", "reversible_statistics", "reversible_bootstrap", "CycleRanking",
    "bernoulli_divergence", "bernoulli_reach",
]
