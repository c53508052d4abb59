# csrc/fastebm/counts as Cython sees it, private to this package: one block a header.
from libc.stdint cimport int32_t, int64_t, uint64_t

from .ebm cimport ebm_csr_t

cdef extern from "fastebm/counts/pair_graph.h" nogil:
    ctypedef struct ebm_pairgraph_t:
        int64_t n_states
        const int64_t *indptr
        const int32_t *indices
        const double *forward
        const double *backward
    int ebm_pairgraph_count(const ebm_csr_t *A, const ebm_csr_t *T, int64_t *indptr)
    int ebm_pairgraph_fill(const ebm_csr_t *A, const ebm_csr_t *T, const int64_t *indptr,
                           int64_t *work, int32_t *indices, double *forward, double *backward,
                           int64_t *mirror)

cdef extern from "fastebm/counts/pair_newton.h" nogil:
    ctypedef enum ebm_pair_newton_kind_t:
        EBM_PAIR_NEWTON_SQUARES
        EBM_PAIR_NEWTON_LOGISTIC
        EBM_PAIR_NEWTON_EXPONENTIAL
        EBM_PAIR_NEWTON_MULTIPLIER
    ctypedef enum ebm_pair_newton_phase_t:
        EBM_PAIR_NEWTON_START
        EBM_PAIR_NEWTON_DONE
    ctypedef struct ebm_pair_newton_t:
        ebm_pairgraph_t graph
        ebm_pair_newton_kind_t kind
        double tol
        int64_t max_newton
        double *v
        double *gradient
        double *diagonal
        double *step
        double *residual
        double *direction
        double *product
        double *weight
        const double *law
        const double *stay
        ebm_pair_newton_phase_t phase
        int guess
        int64_t n_newton
        int64_t n_products
        int64_t cg_steps
        double rho
        double rho_start
        double rho_floor
        double step_size
        double imbalance
    int ebm_pair_newton_run(ebm_pair_newton_t *state, int64_t max_products, int num_threads)
    int ebm_pair_newton_solve(ebm_pair_newton_t *state, double tol, int64_t max_products,
                              int num_threads)

cdef extern from "fastebm/counts/pair_probe.h" nogil:
    int ebm_pair_probe_slopes(const ebm_pair_newton_t *state, int num_threads, double *slope)
    int ebm_pair_probe_draw(const ebm_pairgraph_t *graph, const int64_t *mirror,
                            const double *slope, const double *total, const double *scale,
                            const uint64_t *key, int64_t probe, int num_threads, double *flow,
                            double *g)

cdef extern from "fastebm/counts/resample.h" nogil:
    int ebm_resample_rows(int64_t n_rows, const int64_t *indptr, const double *weight,
                          const double *mass, const double *total, const uint64_t *key,
                          int64_t replicate, int num_threads, double *out)

cdef extern from "fastebm/counts/posterior.h" nogil:
    ctypedef struct ebm_posterior_t:
        ebm_pairgraph_t counts
        const int64_t *mirror
        const double *stay
        const double *total
        int64_t n_clusters
        const int64_t *cluster
        const int32_t *order
        const int64_t *place
        int64_t n_chains
        double *flow
        double *stay_flow
        double *sum
        double *work
    int ebm_posterior_rescale(ebm_posterior_t *state, int num_threads)
    int ebm_posterior_flows(ebm_posterior_t *state, const uint64_t *key, int64_t sweep,
                            int64_t begin, int64_t end, int num_threads)
    int ebm_posterior_clusters(ebm_posterior_t *state, const uint64_t *key, int64_t sweep,
                               int64_t begin, int64_t end, int num_threads)
    int ebm_posterior_rows(int64_t n_rows, const int64_t *indptr, const double *weight,
                           const uint64_t *key, int64_t replicate, int num_threads, double *out)

cdef extern from "fastebm/counts/balance_expected.h" nogil:
    int ebm_balance_expected(const ebm_pairgraph_t *counts, const int32_t *labels, const double *v,
                             double *expected)

cdef extern from "fastebm/counts/balance_walk.h" nogil:
    ctypedef struct ebm_balance_walk_t:
        ebm_pairgraph_t counts
        const int64_t *mirror
        const double *expected
        const int64_t *up
        const int32_t *depth
        int64_t n_chords
        const int64_t *chords
        const double *ends
        int64_t n_classes
        const int32_t *labels
        const int64_t *start_range
        const int64_t *starts
        const double *start_sum
    int64_t ebm_balance_walk_place(const ebm_balance_walk_t *walk)
    int ebm_balance_walk_run(const ebm_balance_walk_t *walk, int64_t n_moves,
                             const uint64_t *key, int64_t leg, int64_t first, int64_t n_tables,
                             int n_slots, double *spare_total, int64_t *place, double *tables)
    int64_t ebm_balance_walk_tree_steps(const ebm_balance_walk_t *walk, const uint64_t *key,
                                        int64_t max_steps, double *spare_total, int64_t *place,
                                        double *table)

cdef extern from "fastebm/counts/cycle.h" nogil:
    ctypedef struct ebm_cycle_t:
        double affinity
        double variance
        double score
        int64_t length
        int32_t *states
    ctypedef struct ebm_cycle_totals_t:
        int64_t n_triangles, n_longer
        double triangle_square
    int ebm_cycle_forest(int64_t n_states, const int64_t *indptr, const int32_t *indices,
                         const double *ratio, int32_t *queue, int32_t *parent, int32_t *depth)
    int ebm_cycle_rank(int64_t n_states, const int64_t *indptr, const int32_t *indices,
                       const double *ratio, const double *variance, const int32_t *parent,
                       const int32_t *depth, int64_t begin, int64_t end, int64_t n_keep,
                       ebm_cycle_t *best, int64_t *n_best, ebm_cycle_totals_t *totals)
