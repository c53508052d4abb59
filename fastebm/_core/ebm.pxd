# The C core as Cython sees it; private to this package. One block a header.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

cdef extern from "status.h" nogil:
    enum: EBM_OK
    const char *ebm_status_text(int status)
    const char *ebm_status_exception(int status)

cdef extern from "parallel.h" nogil:
    int64_t ebm_n_blocks(int64_t n)

cdef extern from "kernel.h" nogil:
    ctypedef struct ebm_kernel_t:
        int64_t n_states
        const void *ctx
        int (*apply_t)(const void *, int64_t, int64_t, int64_t, const double *, double *)
    ctypedef struct ebm_scaled_t:
        const ebm_kernel_t *kernel
        const double *row
        const double *col
        const double *shift

cdef extern from "csr.h" nogil:
    ctypedef enum ebm_value_type_t:
        EBM_VALUES_NONE
        EBM_VALUES_F32
        EBM_VALUES_F64
    ctypedef struct ebm_csr_t:
        int64_t n_states
        const int64_t *indptr
        const int32_t *indices
        const void *values
        ebm_value_type_t value_type
    ctypedef struct ebm_csr_pair_t:
        const ebm_csr_t *forward
        const ebm_csr_t *transpose
    ctypedef struct ebm_csr_facts_t:
        int is_sorted, has_zeros, rows_uniform, has_repeats
        int64_t row, entry
    void ebm_csr_kernel(const ebm_csr_pair_t *pair, ebm_kernel_t *kernel)
    int ebm_csr_inspect(const ebm_csr_t *A, int64_t nnz, double *row_sum, ebm_csr_facts_t *facts)
    int ebm_csr_transpose(const ebm_csr_t *A, int64_t *t_indptr, int32_t *t_indices, void *t_values)

cdef extern from "vec.h" nogil:
    int ebm_vec_dot(int64_t n, int num_threads, const double *x, const double *y, double *out)
    int ebm_vec_l1(int64_t n, int num_threads, const double *x, const double *y, double *out)
    int ebm_vec_change(int64_t n, int num_threads, const double *x, const double *y, double *out)
    int ebm_vec_normalize_logs(int64_t n, int num_threads, const double *logs, double *u, double *weights, double *log_sum)

cdef extern from "scaled.h" nogil:
    int ebm_scaled_apply(const ebm_scaled_t *M, int transposed, int num_threads, int64_t width, const double *x,
                         double *scratch, double *y)
    int ebm_scaled_difference(const ebm_scaled_t *M, int num_threads, int power, const double *x, double *y)

cdef extern from "graph.h" nogil:
    int ebm_graph_components(const ebm_csr_t *A, int32_t *work32, int64_t *work64, int32_t *labels, int64_t *n_classes)
    int ebm_graph_classes(const ebm_csr_t *A, const int32_t *labels, int64_t n_classes, int32_t *work, uint8_t *closed,
                          int64_t *period, int64_t *size)
    int ebm_graph_reach(const ebm_csr_t *A, const uint8_t *avoid, int32_t *work, uint8_t *reached)
    int ebm_graph_potential(const ebm_csr_t *A, const ebm_csr_t *T, int32_t *work, double *w, double *mismatch)

cdef extern from "tilt.h" nogil:
    int ebm_tilt_values(const ebm_csr_t *A, const double *log_row, const double *log_col, const double *reward,
                        int normalize, int num_threads, double *values, double *log_norm, int64_t *row)

cdef extern from "flux.h" nogil:
    enum: EBM_FLUX_WORST
    ctypedef struct ebm_flux_edge_t:
        int64_t source, target
        double forward, backward
    ctypedef struct ebm_flux_balance_t:
        double max_violation, violation, one_way, entropy_production
        int64_t n_one_way, n_worst
        ebm_flux_edge_t *worst
    int ebm_flux_balance(const ebm_csr_t *A, const ebm_csr_t *T, const double *log_row, const double *log_col,
                         const double *log_pi, int num_threads, ebm_flux_balance_t *partial, ebm_flux_balance_t *out)
    int ebm_flux_additive_count(const ebm_csr_t *A, const ebm_csr_t *T, int64_t *indptr)
    int ebm_flux_additive_fill(const ebm_csr_t *A, const ebm_csr_t *T, const double *log_row, const double *log_col,
                               const double *log_pi, int num_threads, const int64_t *indptr, int32_t *indices,
                               double *values)

cdef extern from "lanczos.h" nogil:
    ctypedef struct ebm_lanczos_t:
        const ebm_scaled_t *S
        const double *deflate
        double *v
        double *v_prev
        double *scaled_v
        double norm
    int ebm_lanczos_start(ebm_lanczos_t *state, int num_threads)
    int ebm_lanczos_expand(ebm_lanczos_t *state, int64_t n_steps, const double *combine, int num_threads, double *ritz,
                           double *alpha, double *beta, int64_t *n_done)

cdef extern from "solve.h" nogil:
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
    int ebm_cg_expand(ebm_cg_t *state, int64_t n_steps, double target, double least, int num_threads, int64_t *n_done)

cdef extern from "residual.h" nogil:
    int ebm_residual(const ebm_csr_t *A, const double *row, const double *col, const uint8_t *inside, const double *hi,
                     const double *lo, const double *b, int num_threads, double *r)
    int ebm_residual_add(int64_t n, int num_threads, const double *x, double *hi, double *lo)
    int ebm_residual_leaving(const ebm_csr_t *A, const double *row, const double *col, int num_threads, double *out)

cdef extern from "order.h" nogil:
    enum: EBM_MINDEG_ARRAYS
    ctypedef struct ebm_mindeg_t:
        int64_t n, n_done
    ctypedef struct ebm_fill_t:
        int64_t n_supernodes, n_entries, n_rows, n_factor, n_stack
        double n_flops
    int ebm_mindeg_start(ebm_mindeg_t *state, int64_t n, const int64_t *indptr, const int32_t *indices, int64_t size,
                         int32_t *lists, int64_t *work)
    int ebm_mindeg_expand(ebm_mindeg_t *state, int64_t n_pivots)
    int ebm_mindeg_order(ebm_mindeg_t *state, int32_t *order)
    int ebm_order_supernodes(int64_t n, const int64_t *indptr, const int32_t *indices, int64_t limit, int64_t *work,
                             int32_t *order, int64_t *first, int64_t *height, int64_t *parent, ebm_fill_t *fill)

cdef extern from "eliminate.h" nogil:
    int ebm_rates_count(const ebm_csr_t *A, const ebm_csr_t *T, const int32_t *number, int64_t *indptr)
    int ebm_rates_fill(const ebm_csr_t *A, const ebm_csr_t *T, const double *row, const double *col, const int32_t *number,
                       int64_t n_groups, int num_threads, const int64_t *indptr, int32_t *indices, double *out_rate,
                       double *in_rate, double *leak)
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
        double *exits
        double *leak
        double *stack
        int64_t supernode
        int underflow
    int ebm_eliminate_start(ebm_eliminate_t *state)
    int ebm_eliminate_expand(ebm_eliminate_t *state, double n_flops, int num_threads)
    int ebm_eliminate_solve(const ebm_eliminate_t *state, int64_t width, const double *b, double *work, double *x)

cdef extern from "evolve.h" nogil:
    enum: EBM_EVOLVE_WIDTH
    int ebm_evolve_distances(int64_t n, int64_t width, int num_threads, const double *pi, const double *g, double *tv,
                             double *kl, double *chi2)
