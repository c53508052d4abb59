# The C core as Cython sees it; private to this package. One block a header.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

cdef extern from "fastebm/base/status.h" nogil:
    enum: EBM_OK
    const char *ebm_status_text(int status)
    const char *ebm_status_exception(int status)

cdef extern from "fastebm/base/parallel.h" nogil:
    int64_t ebm_n_blocks(int64_t n)

cdef extern from "fastebm/base/kernel.h" nogil:
    ctypedef struct ebm_kernel_t:
        int64_t n_states
        const void *ctx
        int (*apply_t)(const void *, int64_t, int64_t, int64_t, const double *, double *)
        int (*step)(const void *, int64_t, const uint64_t *, int64_t *)
        int (*rows)(const void *, int64_t, int64_t, int64_t *, int64_t *, double *) noexcept nogil
        int64_t max_degree
        int all_ones
    ctypedef struct ebm_scaled_t:
        const ebm_kernel_t *kernel
        const double *row
        const double *col
        const double *shift

cdef extern from "fastebm/patterns/csr.h" nogil:
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
        int is_sorted, has_zeros, rows_uniform
        int64_t row, entry
    void ebm_csr_kernel(const ebm_csr_pair_t *pair, ebm_kernel_t *kernel)
    ebm_csr_facts_t EBM_CSR_FACTS_NONE
    int ebm_csr_inspect(const ebm_csr_t *A, int64_t nnz, int64_t begin, int64_t end, int num_threads, double *row_sum,
                        ebm_csr_facts_t *facts)
    int ebm_csr_transpose_count(const ebm_csr_t *A, int64_t begin, int64_t end, int num_threads, int64_t *t_indptr)
    int ebm_csr_transpose_place(int64_t n_states, int64_t *t_indptr)
    int ebm_csr_transpose_fill(const ebm_csr_t *A, int64_t begin, int64_t end, int num_threads, int64_t *t_indptr,
                               int32_t *t_indices, void *t_values)

cdef extern from "fastebm/patterns/lattice.h" nogil:
    ctypedef struct ebm_lattice_t:
        int64_t n_states, degree
    int ebm_lattice_start(int64_t n_axes, const int64_t *lengths, int is_cyclic, int self_loop, ebm_lattice_t *lattice)
    void ebm_lattice_kernel(const ebm_lattice_t *lattice, ebm_kernel_t *kernel)

cdef extern from "fastebm/patterns/rule.h" nogil:
    enum: EBM_RULE_MAX_DEGREE
    ctypedef void (*ebm_rule_rows_t)(int64_t begin, int64_t end, const void *data, int64_t *degree, int64_t *states,
                                     double *weights)
    ctypedef struct ebm_rule_t:
        int64_t n_states, max_degree
        ebm_rule_rows_t outgoing, incoming
        const void *data
    ctypedef struct ebm_rule_facts_t:
        int64_t nnz
        double least, largest
        int64_t state, degree, entry, target
        double weight
    int ebm_rule_inspect(const ebm_rule_t *rule, int num_threads, int allow_empty, int64_t begin, int64_t end, double *row_sum,
                         ebm_rule_facts_t *facts)
    int ebm_rule_kernel(const ebm_rule_t *rule, ebm_kernel_t *kernel)

cdef extern from "fastebm/patterns/rows.h" nogil:
    int ebm_rows_count(const ebm_kernel_t *kernel, const int64_t *states, int num_threads, int64_t begin, int64_t end,
                       int64_t *degree)
    int ebm_rows_fill(const ebm_kernel_t *kernel, const int64_t *states, int num_threads, int64_t begin, int64_t end,
                      const int64_t *indptr, int64_t *work, int32_t *indices, double *values)
    ctypedef struct ebm_rows_search_t:
        const ebm_kernel_t *kernel
        int64_t *queue
        int64_t *row
        int64_t root, head, tail
    int ebm_rows_reach(ebm_rows_search_t *search, int64_t n_rows, const uint8_t *avoid, uint8_t *reached, int *done)
    int ebm_rows_classes(ebm_rows_search_t *search, int64_t n_rows, int64_t *level, int32_t *labels, int64_t *n_classes,
                         int64_t *period, int64_t *size, int *done)
    int ebm_rows_potential(ebm_rows_search_t *search, int64_t n_rows, double *row_values, double *w, double *mismatch,
                           int *done)
    void ebm_rows_walker(const ebm_scaled_t *M, ebm_kernel_t *kernel)

cdef extern from "fastebm/base/vec.h" nogil:
    int ebm_vec_dot(int64_t n, int num_threads, const double *x, const double *y, double *out)
    int ebm_vec_l1(int64_t n, int num_threads, const double *x, const double *y, double *out)
    int ebm_vec_change(int64_t n, int num_threads, const double *x, const double *y, double *out)
    int ebm_vec_normalize_logs(int64_t n, int num_threads, const double *logs, double *u, double *weights, double *log_sum)

cdef extern from "fastebm/patterns/scaled.h" nogil:
    int ebm_scaled_apply(const ebm_scaled_t *M, int transposed, int num_threads, int64_t width, const double *x,
                         double *scratch, double *y)
    int ebm_scaled_apply_rows(const ebm_scaled_t *M, int transposed, int num_threads, int64_t width, int64_t begin,
                              int64_t end, const double *x, const double *inner, double *y)
    int ebm_scaled_difference(const ebm_scaled_t *M, int num_threads, int power, const double *x, double *y)

cdef extern from "fastebm/patterns/components.h" nogil:
    int ebm_components_unite(const ebm_csr_t *A, int64_t begin, int64_t end, int64_t first, int64_t last, int32_t skip,
                             int num_threads, int32_t *parent)
    int ebm_components_flatten(int64_t begin, int64_t end, int num_threads, int32_t *parent)
    int ebm_components_loops(const ebm_csr_t *A, int64_t begin, int64_t end, const int32_t *label, uint8_t *looped)

cdef extern from "fastebm/patterns/graph.h" nogil:
    ctypedef struct ebm_graph_components_t:
        const ebm_csr_t *A
        int32_t *labels
        int32_t *low
        int32_t *open
        int32_t *parent
        int64_t *next
        int64_t n_classes
    ctypedef struct ebm_graph_queue_t:
        int32_t *states
    int ebm_graph_components_expand(ebm_graph_components_t *search, int64_t n_entries, int *done)
    int ebm_graph_classes_expand(const ebm_csr_t *A, const int32_t *labels, int64_t n_entries, ebm_graph_queue_t *queue,
                                 int32_t *level, uint8_t *closed, int64_t *period, int64_t *size, int *done)
    int ebm_graph_reach_expand(const ebm_csr_t *A, const uint8_t *avoid, int64_t n_entries, ebm_graph_queue_t *queue,
                               uint8_t *reached, int *done)
    int ebm_graph_potential_expand(const ebm_csr_t *A, const ebm_csr_t *T, int64_t n_entries, ebm_graph_queue_t *queue,
                                   double *w, int *one_way, int *done)
    int ebm_graph_mismatch(const ebm_csr_t *A, const ebm_csr_t *T, const double *w, int64_t begin, int64_t end,
                           int num_threads, double *mismatch)

cdef extern from "fastebm/chains/tilt.h" nogil:
    int ebm_tilt_values(const ebm_csr_t *A, const double *log_row, const double *log_col, const double *reward,
                        int normalize, int64_t first, int64_t last, int num_threads, double *values, double *log_norm,
                        int64_t *row)

cdef extern from "fastebm/rlvr/bernoulli.h" nogil:
    ctypedef struct ebm_numbers_t:
        const double *x
        int64_t step
    int ebm_bernoulli_divergence(int64_t n, int logit, int num_threads, ebm_numbers_t p, ebm_numbers_t p0, ebm_numbers_t beta,
                                 double *out)
    int ebm_bernoulli_reach(int64_t n, int num_threads, ebm_numbers_t x0, ebm_numbers_t kl, double *out)

cdef extern from "fastebm/chains/cut.h" nogil:
    int ebm_cut_steps(const ebm_csr_t *A, const double *col, const int32_t *rank, int64_t begin, int64_t end, int num_threads,
                      double *step)

cdef extern from "fastebm/chains/lump.h" nogil:
    ctypedef struct ebm_lump_t:
        const ebm_csr_t *A
        const double *row
        const double *col
        const double *shift
        const int32_t *labels
        const int32_t *order
        const double *weight
        double *probability
        double *high
        double *low
        double *flow
        int32_t *high_at
        int32_t *low_at
        int32_t *last
        int32_t *touched
        int32_t *row_touched
        int64_t n_sets, start, at, n_touched
        int64_t *degree
        int32_t *out_into
        double *out_flow
        int64_t capacity, n_out
        double defect
        int32_t x, y, into
    int ebm_lump_order(const int32_t *labels, int64_t begin, int64_t end, int64_t *place, int32_t *order)
    int ebm_lump_expand(ebm_lump_t *lump, int64_t n_entries, int *done)
    int ebm_lump_judge(ebm_lump_t *lump)

cdef extern from "fastebm/chains/flux.h" nogil:
    enum: EBM_FLUX_WORST
    ctypedef struct ebm_flux_edge_t:
        int64_t source, target
        double forward, backward
    ctypedef struct ebm_flux_balance_t:
        double max_violation, violation, one_way, entropy_production
        int64_t n_one_way, n_worst
        ebm_flux_edge_t *worst
    int ebm_flux_balance_blocks(const ebm_csr_t *A, const ebm_csr_t *T, const double *log_row, const double *log_col,
                                const double *log_pi, int64_t first, int64_t last, int num_threads,
                                ebm_flux_balance_t *partial)
    int ebm_flux_balance_total(int64_t n_blocks, const ebm_flux_balance_t *partial, ebm_flux_balance_t *out)
    int ebm_flux_additive_count(const ebm_csr_t *A, const ebm_csr_t *T, int64_t begin, int64_t end, int num_threads,
                                int64_t *degree)
    int ebm_flux_additive_fill(const ebm_csr_t *A, const ebm_csr_t *T, const double *log_row, const double *log_col,
                               const double *log_pi, int64_t begin, int64_t end, int num_threads, const int64_t *indptr,
                               int32_t *indices, double *values)

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
    int ebm_lanczos_expand(ebm_lanczos_t *state, int64_t n_steps, const double *combine, int num_threads, double *ritz,
                           double *alpha, double *beta, int64_t *n_done)

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
    int ebm_cg_expand(ebm_cg_t *state, int64_t n_steps, double target, double least, int num_threads, int64_t *n_done)

cdef extern from "fastebm/linalg/residual.h" nogil:
    int ebm_residual(const ebm_csr_t *A, const double *row, const double *col, const uint8_t *inside, const double *hi,
                     const double *lo, const double *b, int num_threads, double *r)
    int ebm_residual_add(int64_t n, int num_threads, const double *x, double *hi, double *lo)
    int ebm_residual_leaving(const ebm_csr_t *A, const double *row, const double *col, int num_threads, double *out)

cdef extern from "fastebm/linalg/sweep.h" nogil:
    ctypedef struct ebm_sweep_order_t:
        const ebm_csr_t *A
        const uint8_t *inside
        int32_t *order
        int32_t *parent
        int64_t *next
        int64_t root, n_found, at
    int ebm_sweep_order_expand(ebm_sweep_order_t *search, int64_t n_entries, int *done)
    int ebm_sweep_apply(const ebm_csr_t *A, const double *row, const double *col, const int32_t *order, int64_t begin, int64_t end,
                        const double *leaving, const double *b, double *x)

cdef extern from "fastebm/linalg/min_degree.h" nogil:
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
    int ebm_mindeg_supernodes(int64_t n, const int64_t *indptr, const int32_t *indices, int64_t limit, int64_t *work,
                             int32_t *order, int64_t *first, int64_t *height, int64_t *parent, ebm_fill_t *fill)

cdef extern from "fastebm/linalg/eliminate.h" nogil:
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

cdef extern from "fastebm/chains/evolution.h" nogil:
    enum: EBM_EVOLUTION_WIDTH
    enum: EBM_EVOLUTION_KINDS
    ctypedef struct ebm_evolution_t:
        const ebm_kernel_t *kernel
        const double *scale
        const double *shift
        const double *unit
        const double *root
    int ebm_evolution_step(const ebm_evolution_t *E, int64_t width, int64_t first, int64_t last, int measured, int num_threads,
                        const double *mean, const double *h, double *next, double *partial)
    int ebm_evolution_total(int64_t n_blocks, int64_t width, const double *partial, double *total)

cdef extern from "fastebm/linalg/basis.h" nogil:
    int ebm_basis_project(int64_t n, int64_t m, int64_t w, const double *V, const double *W, int num_threads, double *partial,
                          double *H)
    int ebm_basis_remove(int64_t n, int64_t m, int64_t w, const double *V, const double *C, int num_threads, double *W,
                         double *partial, double *H)
    int ebm_basis_rotate(int64_t n, int64_t begin, int64_t end, int64_t m, int64_t k, const double *Q, int num_threads, double *V)

cdef extern from "fastebm/linalg/composed.h" nogil:
    ctypedef enum ebm_composed_kind_t:
        EBM_COMPOSED_RIGHT
        EBM_COMPOSED_LEFT
        EBM_COMPOSED_MULTIPLICATIVE
        EBM_COMPOSED_ADDITIVE
    int ebm_composed_apply(const ebm_scaled_t *S, ebm_composed_kind_t kind, int num_threads, int64_t width, const double *x,
                          double *scratch, double *y)
