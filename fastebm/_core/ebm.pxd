# The C core as Cython sees it, private to this package: one block a header. Linear algebra and
# counts have files of their own, ebm_linalg.pxd and ebm_counts.pxd.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

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

cdef extern from "fastebm/base/vec.h" nogil:
    int ebm_vec_dot(int64_t n, int num_threads, const double *x, const double *y, double *out)
    int ebm_vec_l1(int64_t n, int num_threads, const double *x, const double *y, double *out)
    int ebm_vec_change(int64_t n, int num_threads, const double *x, const double *y, double *out)
    int ebm_vec_normalize_logs(int64_t n, int num_threads, const double *logs, double *u,
                               double *weights, double *log_sum)

cdef extern from "fastebm/base/random.h" nogil:
    void ebm_philox_block(const uint64_t *key, const uint64_t *counter, uint64_t *out)

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
    int ebm_csr_inspect(const ebm_csr_t *A, int64_t nnz, int64_t begin, int64_t end,
                        int num_threads, double *row_sum, ebm_csr_facts_t *facts)
    int ebm_csr_transpose_count(const ebm_csr_t *A, int64_t begin, int64_t end, int num_threads,
                                int64_t *t_indptr)
    int ebm_csr_transpose_place(int64_t n_states, int64_t *t_indptr)
    int ebm_csr_transpose_fill(const ebm_csr_t *A, int64_t begin, int64_t end, int num_threads,
                               int64_t *t_indptr, int32_t *t_indices, void *t_values)

cdef extern from "fastebm/patterns/lattice.h" nogil:
    ctypedef struct ebm_lattice_t:
        int64_t n_states, degree
    int ebm_lattice_start(int64_t n_axes, const int64_t *lengths, int is_cyclic, int self_loop,
                          ebm_lattice_t *lattice)
    void ebm_lattice_kernel(const ebm_lattice_t *lattice, ebm_kernel_t *kernel)

cdef extern from "fastebm/patterns/rule.h" nogil:
    enum: EBM_RULE_MAX_DEGREE
    ctypedef void (*ebm_rule_rows_t)(int64_t begin, int64_t end, const void *data, int64_t *degree,
                                     int64_t *states, double *weights)
    ctypedef struct ebm_rule_t:
        int64_t n_states, max_degree
        ebm_rule_rows_t outgoing, incoming
        const void *data
    ctypedef struct ebm_rule_facts_t:
        int64_t nnz
        double least, largest
        int64_t state, degree, entry, target
        double weight
    int ebm_rule_inspect(const ebm_rule_t *rule, int num_threads, int allow_empty, int64_t begin,
                         int64_t end, double *row_sum, ebm_rule_facts_t *facts)
    int ebm_rule_kernel(const ebm_rule_t *rule, ebm_kernel_t *kernel)

cdef extern from "fastebm/patterns/rows.h" nogil:
    int ebm_rows_count(const ebm_kernel_t *kernel, const int64_t *states, int num_threads,
                       int64_t begin, int64_t end, int64_t *degree)
    int ebm_rows_fill(const ebm_kernel_t *kernel, const int64_t *states, int num_threads,
                      int64_t begin, int64_t end, const int64_t *indptr, int64_t *work,
                      int32_t *indices, double *values)
    ctypedef struct ebm_rows_search_t:
        const ebm_kernel_t *kernel
        int64_t *queue
        int64_t *row
        int64_t root, head, tail
    int ebm_rows_reach(ebm_rows_search_t *search, int64_t n_rows, const uint8_t *avoid,
                       uint8_t *reached, int *done)
    int ebm_rows_classes(ebm_rows_search_t *search, int64_t n_rows, int64_t *level, int32_t *labels,
                         int64_t *n_classes, int64_t *period, int64_t *size, int *done)
    int ebm_rows_potential(ebm_rows_search_t *search, int64_t n_rows, double *row_values, double *w,
                           double *mismatch, int *done)
    void ebm_rows_walker(const ebm_scaled_t *M, ebm_kernel_t *kernel)

cdef extern from "fastebm/patterns/scaled.h" nogil:
    int ebm_scaled_apply(const ebm_scaled_t *M, int transposed, int num_threads, int64_t width,
                         const double *x, double *scratch, double *y)
    int ebm_scaled_apply_rows(const ebm_scaled_t *M, int transposed, int num_threads, int64_t width,
                              int64_t begin, int64_t end, const double *x, const double *inner,
                              double *y)
    int ebm_scaled_difference(const ebm_scaled_t *M, int num_threads, int power, const double *x,
                              double *y)

cdef extern from "fastebm/patterns/components.h" nogil:
    int ebm_components_unite(const ebm_csr_t *A, int64_t begin, int64_t end, int64_t first,
                             int64_t last, int32_t skip, int num_threads, int32_t *parent)
    int ebm_components_flatten(int64_t begin, int64_t end, int num_threads, int32_t *parent)
    int ebm_components_loops(const ebm_csr_t *A, int64_t begin, int64_t end, const int32_t *label,
                             uint8_t *looped)

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
    int ebm_graph_classes_expand(const ebm_csr_t *A, const int32_t *labels, int64_t n_entries,
                                 ebm_graph_queue_t *queue, int32_t *level, uint8_t *closed,
                                 int64_t *period, int64_t *size, int *done)
    int ebm_graph_reach_expand(const ebm_csr_t *A, const uint8_t *avoid, int64_t n_entries,
                               ebm_graph_queue_t *queue, uint8_t *reached, int *done)
    int ebm_graph_potential_expand(const ebm_csr_t *A, const ebm_csr_t *T, int64_t n_entries,
                                   ebm_graph_queue_t *queue, double *w, int *one_way, int *done)
    int ebm_graph_mismatch(const ebm_csr_t *A, const ebm_csr_t *T, const double *w, int64_t begin,
                           int64_t end, int num_threads, double *mismatch)

cdef extern from "fastebm/chains/tilt.h" nogil:
    int ebm_tilt_values(const ebm_csr_t *A, const double *log_row, const double *log_col,
                        const double *reward, int normalize, int64_t first, int64_t last,
                        int num_threads, double *values, double *log_norm, int64_t *row)
    int ebm_tilt_log_sums(const ebm_csr_t *A, const double *log_row, const double *log_col,
                          const double *reward, int64_t first, int64_t last, int num_threads,
                          double *log_sum)

cdef extern from "fastebm/chains/cut.h" nogil:
    int ebm_cut_steps(const ebm_csr_t *A, const double *col, const int32_t *rank, int64_t begin,
                      int64_t end, int num_threads, double *step)

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
    int ebm_lump_order(const int32_t *labels, int64_t begin, int64_t end, int64_t *place,
                       int32_t *order)
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
    int ebm_flux_balance_blocks(const ebm_csr_t *A, const ebm_csr_t *T, const double *log_row,
                                const double *log_col, const double *log_pi, int64_t first,
                                int64_t last, int num_threads, ebm_flux_balance_t *partial)
    int ebm_flux_balance_total(int64_t n_blocks, const ebm_flux_balance_t *partial,
                               ebm_flux_balance_t *out)
    int ebm_flux_additive_count(const ebm_csr_t *A, const ebm_csr_t *T, int64_t begin, int64_t end,
                                int num_threads, int64_t *degree)
    int ebm_flux_additive_fill(const ebm_csr_t *A, const ebm_csr_t *T, const double *log_row,
                               const double *log_col, const double *log_pi, int64_t begin,
                               int64_t end, int num_threads, const int64_t *indptr,
                               int32_t *indices, double *values)

cdef extern from "fastebm/chains/evolution.h" nogil:
    enum: EBM_EVOLUTION_WIDTH
    enum: EBM_EVOLUTION_KINDS
    ctypedef struct ebm_evolution_t:
        const ebm_kernel_t *kernel
        const double *scale
        const double *shift
        const double *unit
        const double *root
    int ebm_evolution_step(const ebm_evolution_t *E, int64_t width, int64_t first, int64_t last,
                           int measured, int num_threads, const double *mean, const double *h,
                           double *next, double *partial)
    int ebm_evolution_total(int64_t n_blocks, int64_t width, const double *partial, double *total)

cdef extern from "fastebm/simulation/alias.h" nogil:
    ctypedef struct ebm_alias_cell_t:
        pass
    ctypedef struct ebm_alias_t:
        int64_t n_states, degree
        const uint32_t *narrow
        const int64_t *indptr
        const ebm_alias_cell_t *cells
        const int32_t *targets
    int ebm_alias_count(const ebm_csr_t *A, const double *shift, int64_t *indptr,
                        int64_t *even_degree)
    int ebm_alias_build(const ebm_csr_t *A, const double *row, const double *col,
                        const double *shift, int num_threads, int64_t begin, int64_t end,
                        const int64_t *indptr, ebm_alias_cell_t *cells)
    void ebm_alias_kernel(const ebm_alias_t *table, ebm_kernel_t *kernel)

cdef extern from "fastebm/simulation/walk.h" nogil:
    ctypedef struct ebm_watch_t:
        const double *score
        const double *level
        double *best
        const double *weight
        double *sum
    int ebm_walk_hit(const ebm_kernel_t *kernel, const uint64_t *key, const uint64_t *target_bits,
                     int num_threads, int64_t n_walkers, int64_t first_walker, int64_t t_begin,
                     int64_t t_end, int64_t *states, int64_t *hit_time)
    int ebm_walk_watch(const ebm_kernel_t *kernel, const uint64_t *key, const uint64_t *target_bits,
                       const ebm_watch_t *watch, int num_threads, int64_t n_walkers,
                       const int64_t *streams,
                       int64_t t_begin, int64_t t_end, int64_t *states, int64_t *stop_time)
    int ebm_walk_paths(const ebm_kernel_t *kernel, const uint64_t *key, int num_threads,
                       int64_t n_walkers, int64_t first_walker, int64_t t_begin, int64_t t_end,
                       int64_t stride, int is_int32, int64_t *states, void *paths)

cdef extern from "fastebm/rlvr/bernoulli.h" nogil:
    ctypedef struct ebm_numbers_t:
        const double *x
        int64_t step
    int ebm_bernoulli_divergence(int64_t n, int logit, int num_threads, ebm_numbers_t p,
                                 ebm_numbers_t p0, ebm_numbers_t beta, double *out)
    int ebm_bernoulli_reach(int64_t n, int num_threads, ebm_numbers_t x0, ebm_numbers_t kl,
                            double *out)
