/* The flow of a reversible chain, F[x, y] = left[x] A[x, y] right[y] for y != x: symmetric and
   non-negative, its probability flux. L = D - F, D = diag(row sums of F, plus a non-negative leak),
   is its Dirichlet form; with a leak into a target, I - P_BB outside it. Its row sums, and its
   aggregation into the flow of a coarser chain: sums of non-negative numbers only.

   Stored matrices only: coarse flows are stored, and their rows are built entry by entry. */
#ifndef FASTEBM_LINALG_DIRICHLET_FLOW_H
#define FASTEBM_LINALG_DIRICHLET_FLOW_H

#include "fastebm/patterns/csr.h"

/* left and right NULL for ones. A row with left[x] == 0 takes no part. */
typedef struct ebm_flow {
    const ebm_csr_t *A;
    const double *left, *right;
} ebm_flow_t;

/* diag[x] = leak[x] + sum_{y != x} F[x, y]; leak NULL for zeros. */
int ebm_flow_diagonal(const ebm_flow_t *F, const double *leak, int num_threads, double *diag);

/* Pairwise aggregation (Notay 2010) of the states x in begin..end-1: x is paired with the free
   neighbour of the strongest flux among those it is strongly coupled to (the flux is not negligible
   compared with their masses), if that is at least a quarter of x's strongest; otherwise x joins
   the aggregate of its strongest neighbour, or is an aggregate of its own if it is strongly coupled
   to none. mass (n_states,) is `diag`, summed over the states that x represents; a state of mass 0
   takes no part. aggregate (n_states,) holds -1 for free states before the first call; *n_coarse
   counts the aggregates so far. Greedy in the order of the states, hence sequential. */
int ebm_flow_pairs(const ebm_flow_t *F, const double *mass, int64_t begin, int64_t end,
                   int64_t *n_coarse, int32_t *aggregate);

/* members[start[c] .. start[c + 1] - 1] are the states of aggregate c, ascending. */
int ebm_flow_members(int64_t n, const int32_t *aggregate, int64_t n_coarse, int64_t *start,
                     int32_t *members);

/* F summed over the aggregates, without its diagonal: first the row lengths (indptr (n_coarse +
   1,)), then the entries, in no particular order within a row. place: (num_threads, n_coarse). */
int ebm_flow_coarse_count(const ebm_flow_t *F, const int32_t *aggregate, int64_t n_coarse,
                          const int64_t *start, const int32_t *members, int num_threads,
                          int64_t *place, int64_t *indptr);
int ebm_flow_coarse_fill(const ebm_flow_t *F, const int32_t *aggregate, int64_t n_coarse,
                         const int64_t *start, const int32_t *members, int num_threads,
                         int64_t *place, const int64_t *indptr, int32_t *indices, double *values);

/* The dense elimination of the coarsest level, pivots summed and never subtracted (Grassmann,
   Taksar & Heyman 1985). On return factor (n, n) holds what ebm_flow_solve needs. leak (n,) is used
   up. */
int ebm_flow_eliminate(const ebm_flow_t *F, double *leak, double *factor);

/* x = L^-1 r from the factor; without a leak up to a constant, chosen so that x[0] = 0. */
int ebm_flow_solve(int64_t n, const double *factor, const double *r, double *x);

#endif
