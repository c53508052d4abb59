# csrc/fastebm/linalg as Cython sees it, private to this package: one block a header.
from libc.stdint cimport int32_t, int64_t, uint8_t

from .ebm cimport ebm_csr_t, ebm_kernel_t, ebm_scaled_t

cdef extern from "fastebm/linalg/lanczos.h" nogil:
    ctypedef struct ebm_lanczos_t:
        const ebm_kernel_t *kernel
        const double *square
        const double *ratio
        const double *shift
        const double *top
        double top_scale
        double *w
        double *w_prev
        double norm, norm_prev, mean, mean_prev
    int ebm_lanczos_start(ebm_lanczos_t *state, int num_threads)
    int ebm_lanczos_expand(ebm_lanczos_t *state, int64_t n_steps, const double *combine,
                           int num_threads, double *ritz, double *alpha, double *beta,
                           int64_t *n_done)

cdef extern from "fastebm/linalg/cg.h" nogil:
    ctypedef struct ebm_precond_t:
        void *ctx
        int (*apply)(void *ctx, int num_threads, const double *r, double *z) noexcept nogil
    ctypedef struct ebm_jacobi_t:
        int64_t n_states
        const double *diagonal
    void ebm_jacobi_precond(ebm_jacobi_t *jacobi, ebm_precond_t *precond)
    ctypedef struct ebm_cg_t:
        const ebm_scaled_t *F
        const ebm_precond_t *precond
        const double *weight
        double *x
        double *r
        double *z
        double *p
        double *q
        double energy, worst
    int ebm_cg_start(ebm_cg_t *state, int num_threads)
    int ebm_cg_expand(ebm_cg_t *state, int64_t n_steps, double target, double least,
                      int num_threads, int64_t *n_done)

cdef extern from "fastebm/linalg/residual.h" nogil:
    int ebm_residual(const ebm_csr_t *A, const double *row, const double *col,
                     const uint8_t *inside, const double *hi, const double *lo, const double *b,
                     int num_threads, double *r)
    int ebm_residual_balance(const ebm_csr_t *A, const ebm_csr_t *T, const double *row,
                             const double *col, const double *hi, const double *lo,
                             const int32_t *exponent, int num_threads, double *r, double *flow)
    int ebm_residual_add(int64_t n, int num_threads, const double *x, double *hi, double *lo)
    int ebm_residual_exit_rate(const ebm_csr_t *A, const double *row, const double *col,
                             int num_threads, double *out)

cdef extern from "fastebm/linalg/sweep.h" nogil:
    ctypedef struct ebm_sweep_order_t:
        const ebm_csr_t *A
        const uint8_t *inside
        int32_t *order
        int32_t *parent
        int64_t *next
        int64_t root, n_found, at
    int ebm_sweep_order_expand(ebm_sweep_order_t *search, int64_t n_entries, int *done)
    int ebm_sweep_apply(const ebm_csr_t *A, const double *row, const double *col,
                        const int32_t *order, int64_t begin, int64_t end, const double *exit_rate,
                        const double *b, double *x)

cdef extern from "fastebm/linalg/min_degree.h" nogil:
    enum: EBM_MINDEG_ARRAYS
    ctypedef struct ebm_mindeg_t:
        int64_t n, n_done, n_visited
    ctypedef struct ebm_fill_t:
        int64_t n_supernodes, n_entries, n_rows, n_factor, n_stack
        double n_flops
    int ebm_mindeg_start(ebm_mindeg_t *state, int64_t n, const int64_t *indptr,
                         const int32_t *indices, int64_t size, int32_t *lists, int64_t *work)
    int ebm_mindeg_expand(ebm_mindeg_t *state, int64_t n_pivots)
    int ebm_mindeg_order(ebm_mindeg_t *state, int32_t *order)
    int ebm_mindeg_supernodes(int64_t n, const int64_t *indptr, const int32_t *indices,
                              int64_t limit, int64_t *work, int32_t *order, int64_t *first,
                              int64_t *height, int64_t *parent, ebm_fill_t *fill)

cdef extern from "fastebm/base/wide.h" nogil:
    ctypedef struct ebm_wide_t:
        double value
        int32_t exponent

cdef extern from "fastebm/linalg/eliminate.h" nogil:
    int ebm_rates_count(const ebm_csr_t *A, const ebm_csr_t *T, const int32_t *number,
                        int64_t *indptr)
    int ebm_rates_fill(const ebm_csr_t *A, const ebm_csr_t *T, const double *row, const double *col,
                       const int32_t *number, int64_t n_groups, int num_threads,
                       const int64_t *indptr, int32_t *indices, double *out_rate, double *in_rate,
                       double *leak)
    ctypedef struct ebm_eliminate_t:
        int64_t n, n_supernodes
        const int64_t *indptr
        const int32_t *indices
        const double *out_rate
        const double *in_rate
        const int32_t *order
        const int64_t *first
        const int64_t *height
        const int64_t *parent
        int64_t *place
        int64_t *local
        int64_t *waiting
        int64_t *row_begin
        int64_t *factor_begin
        int32_t *rows
        double *factor
        double *exit_rate
        double *leak
        double *stack
        int64_t supernode
        int underflow
    int ebm_eliminate_start(ebm_eliminate_t *state)
    int ebm_eliminate_expand(ebm_eliminate_t *state, double n_flops, int num_threads)
    int ebm_eliminate_solve(const ebm_eliminate_t *state, int64_t width, const double *b,
                            double *work, double *x)
    int ebm_eliminate_solve_left(const ebm_eliminate_t *state, const double *b,
                                 const int32_t *b_exponent, ebm_wide_t *work, double *x,
                                 int32_t *x_exponent)

cdef extern from "fastebm/linalg/basis.h" nogil:
    int ebm_basis_project(int64_t n, int64_t m, int64_t w, const double *V, const double *W,
                          int num_threads, double *partial, double *H)
    int ebm_basis_remove(int64_t n, int64_t m, int64_t w, const double *V, const double *C,
                         int num_threads, double *W, double *partial, double *H)
    int ebm_basis_rotate(int64_t n, int64_t begin, int64_t end, int64_t m, int64_t k,
                         const double *Q, int num_threads, double *V)

cdef extern from "fastebm/linalg/composed.h" nogil:
    ctypedef enum ebm_composed_kind_t:
        EBM_COMPOSED_RIGHT
        EBM_COMPOSED_LEFT
        EBM_COMPOSED_MULTIPLICATIVE
        EBM_COMPOSED_ADDITIVE
    int ebm_composed_apply(const ebm_scaled_t *S, ebm_composed_kind_t kind, int num_threads,
                           int64_t width, const double *x, double *scratch, double *y)

cdef extern from "fastebm/linalg/dirichlet_flow.h" nogil:
    ctypedef struct ebm_flow_t:
        const ebm_csr_t *A
        const double *left
        const double *right
    int ebm_flow_diagonal(const ebm_flow_t *F, const double *leak, int num_threads, double *diag)
    int ebm_flow_pairs(const ebm_flow_t *F, const double *mass, int64_t begin, int64_t end,
                       int64_t *n_coarse, int32_t *aggregate)
    int ebm_flow_members(int64_t n, const int32_t *aggregate, int64_t n_coarse, int64_t *start,
                         int32_t *members)
    int ebm_flow_coarse_count(const ebm_flow_t *F, const int32_t *aggregate, int64_t n_coarse,
                              const int64_t *start, const int32_t *members, int num_threads,
                              int64_t *place, int64_t *indptr)
    int ebm_flow_coarse_fill(const ebm_flow_t *F, const int32_t *aggregate, int64_t n_coarse,
                             const int64_t *start, const int32_t *members, int num_threads,
                             int64_t *place, const int64_t *indptr, int32_t *indices,
                             double *values)
    int ebm_flow_eliminate(const ebm_flow_t *F, double *leak, double *factor)

cdef extern from "fastebm/linalg/multigrid.h" nogil:
    ctypedef struct ebm_multigrid_level_t:
        ebm_flow_t F
        const double *diag
        const double *inverse
        int64_t n, n_coarse
        const int32_t *aggregate
        const int64_t *start
        const int32_t *members
        const double *factor
        double *x
        double *scaled
        double *r
        double *c
        double *v
        double *d
        double *w
    ctypedef struct ebm_multigrid_t:
        int64_t n_levels
        ebm_multigrid_level_t *levels
    void ebm_multigrid_precond(ebm_multigrid_t *mg, ebm_precond_t *precond)

cdef extern from "fastebm/linalg/lobpcg.h" nogil:
    int ebm_lobpcg_gram(const ebm_flow_t *F, const double *pi, const double *basis, int num_threads,
                        double *energy, double *mass, double *mean)
    int ebm_lobpcg_step(int64_t n, const double *a, const double *shift, int num_threads,
                        double *basis)
    int ebm_lobpcg_residual(const ebm_flow_t *F, const double *pi, const double *basis, double gap,
                            int num_threads, double *r, double *square)
    int ebm_lobpcg_put(int64_t n, int column, const double *x, int num_threads, double *basis)
